from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from asd_ray.ensembling import Ensemble
from asd_ray.ensembling.result import DatasetInfo
from asd_ray.reporting.published import TABLES, comparison
from tests.ensembling.conftest import make_ensemble, make_metric


def facts(
    machine: str = "fan",
    year: int | None = 2020,
    ids: tuple[str, ...] | None = None,
    count: int = 100,
    name: str | None = None,
) -> Any:
    table = next(each for each in TABLES if each.year == (year or 2020))
    own = table.ids[machine] if ids is None else ids
    aucs = ("auc",) if table.year == 2020 else ("auc_source", "auc_target")
    cells = {f"{each}/{kind}": value for each in own for kind, value in (*((auc, 0.9) for auc in aucs), ("pauc", 0.8))}
    cells[f"{own[0]}/{aucs[0]}"] = 0.7
    return {
        "ids": list(own),
        "counts": {f"{each}/{label}": count for each in own for label in ("normal", "anomaly")},
        "final": measured(("crossval", "oracle"), cells, DatasetInfo(name or f"dcase{year}", "f0", year)),
        "leaderboard": {"rows": []},
    }


def measured(protocols: Sequence[str], cells: Mapping[str, float], dataset: DatasetInfo) -> Ensemble:
    metric = replace(make_metric(), cells=cells)
    return replace(make_ensemble(**dict.fromkeys(protocols, metric)), dataset=dataset)


def test_every_number_is_a_percentage_and_every_row_has_a_protocol() -> None:
    assert {table.year: len(table.rows) for table in TABLES} == {2020: 14, 2022: 8}
    for table in TABLES:
        for row in table.rows:
            assert row.protocol
            assert set(row.values) <= set(table.ids)
            for values in row.values.values():
                assert len(values) == (2 if table.year == 2020 else 1)
                assert all(40 < value <= 100 for value in values)
                assert values == tuple(sorted(values, reverse=True))  # AUC is above pAUC in all of them


def test_the_rows_are_those_of_the_papers() -> None:
    of_2020, of_2022 = ({row.system: row for row in table.rows} for table in TABLES)
    assert of_2020["STgram-MFN, ArcFace (Liu et al. 2022)"].values["fan"] == (94.04, 88.97)
    assert of_2022["AEGAN-AD (Jiang et al. 2023)"].values["slider"] == (74.06,)
    assert TABLES[0].ids == {
        **dict.fromkeys(("fan", "pump", "slider", "valve"), ("00", "02", "04", "06")),
        "ToyCar": ("01", "02", "03", "04"),
        "ToyConveyor": ("01", "02", "03"),
    }
    assert TABLES[1].ids == dict.fromkeys(("bearing", "fan", "gearbox", "slider", "ToyCar"), ("00", "01", "02"))


def test_protocols_say_who_chose_by_test_labels() -> None:
    protocols = {row.system: row.protocol for row in TABLES[0].rows}
    for number in (1, 2, 3):
        assert protocols[f"System {number}, mean (Giri et al. 2020)"].endswith("chosen with test labels")
    assert "chosen without test labels" in protocols["TASTgram, Noisy-ArcMix (Choi, Choi 2024)"]
    assert protocols["STgram-MFN, cross entropy (Liu et al. 2022)"].endswith("chosen with test labels")


def test_a_run_of_the_same_clips_is_compared_in_the_tables_own_measure() -> None:
    compared = comparison({"fan": facts(), "mine": {**facts(), "ids": ["00"]}})
    assert compared is not None
    assert compared["machines"] == ["fan"]
    own = [row for row in compared["rows"] if row["own"]]
    assert [row["system"] for row in own] == ["this run, crossval", "this run, oracle"]
    assert own[0]["values"]["fan"] == pytest.approx([85.0, 80.0])  # arithmetic means over ids
    assert len(compared["rows"]) == 2 + len(TABLES[0].rows)
    assert all(row["protocol"] for row in compared["rows"])


@pytest.mark.parametrize(
    "other",
    [
        facts(year=None),  # the demo set, MIMII
        facts(ids=("01", "03", "05")),  # the evaluation set
        facts(ids=("00", "02")),
        facts(count=20),  # a part of it
        facts(name="mimii_minus6dB"),  # its ids are the same
    ],
    ids=["no year", "evaluation set", "fewer ids", "fewer clips", "another dataset"],
)
def test_another_runs_clips_are_compared_with_nothing(other: Any) -> None:
    assert comparison({"fan": other}) is None


def test_the_table_says_what_was_compared_and_what_was_not() -> None:
    made = comparison({"fan": facts()})
    assert made is not None
    assert made["compared"].startswith("the dataset's name, dcase2020, the ids, and that each id has 80 test clips")
    assert "neither the exact number of clips nor the clips themselves" in made["compared"]


def test_a_label_free_ensemble_is_one_row_in_its_own_words() -> None:
    given = facts()
    final = given["final"]
    given["final"] = measured(("label_free", "oracle"), final.metrics["oracle"].cells, final.dataset)
    given["labels"] = "members were chosen without labels; this recipe was picked from 4 by test labels"
    compared = comparison({"fan": given})
    assert compared is not None
    (own,) = (row for row in compared["rows"] if row["own"])
    assert own["system"] == "this run, label_free"
    assert own["protocol"] == f"final ensemble, {given['labels']}"


def test_2022_is_compared_by_the_harmonic_mean_of_all_cells() -> None:
    table = next(each for each in TABLES if each.year == 2022)
    given = facts("bearing", 2022)
    cells = dict.fromkeys(given["final"].metrics["crossval"].cells, 0.5)
    given["final"] = measured(("crossval", "oracle"), cells, given["final"].dataset)
    compared = comparison({"bearing": given})
    assert compared is not None
    assert compared["rows"][0]["values"]["bearing"] == pytest.approx([50.0])
    assert len(compared["rows"]) == 2 + len(table.rows)
