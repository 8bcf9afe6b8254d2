"""Which clips of a machine count, and by which year's cells."""

from __future__ import annotations

import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.metrics import cells_batch, evaluable_clips


def frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["id", "domain", "label"])


BOTH = [("00", domain, label) for domain in ("source", "target") for label in ("normal", "anomaly")]
PLAIN = [("00", "source", "normal"), ("00", "source", "anomaly")]


@pytest.mark.parametrize("year", [None, 2020, 2021, 2022, 2025])
def test_clips_that_fill_every_cell_all_count(year: int | None) -> None:
    evaluable = evaluable_clips("fan", frame(*BOTH), year)
    assert evaluable.rows.tolist() == [0, 1, 2, 3]
    assert (evaluable.year, evaluable.notes) == (year, [])


def test_unlabelled_clips_do_not_count() -> None:
    evaluable = evaluable_clips("fan", frame(*PLAIN, ("00", "source", "unknown")), 2020)
    assert evaluable.rows.tolist() == [0, 1]


def test_an_id_of_one_class_does_not_count_and_is_named() -> None:
    evaluable = evaluable_clips("fan", frame(*PLAIN, ("02", "source", "normal"), ("04", "source", "unknown")), None)
    assert evaluable.rows.tolist() == [0, 1]
    assert evaluable.notes == ["fan: id 02, 04 does not count: it lacks a label or a domain"]


@pytest.mark.parametrize(
    ("missing", "year", "counts"),
    [
        (("00", "target", "anomaly"), 2021, False),
        (("00", "target", "anomaly"), 2022, True),
        (("00", "target", "normal"), 2022, False),
        (("00", "source", "normal"), 2021, False),
        (("00", "target", "normal"), 2020, True),
    ],
)
def test_what_an_id_needs_is_the_years(missing: tuple[str, str, str], year: int, counts: bool) -> None:
    whole = [("02", domain, label) for _, domain, label in BOTH]
    evaluable = evaluable_clips("fan", frame(*whole, *(row for row in BOTH if row != missing)), year)
    assert evaluable.year == year
    assert len(evaluable.rows) == (7 if counts else 4)
    assert bool(evaluable.notes) != counts


def test_where_no_id_fills_the_years_cells_plain_auc_and_pauc_are_used_and_it_is_noted() -> None:
    evaluable = evaluable_clips("fan", frame(*PLAIN), 2022)
    assert evaluable.year is None
    assert evaluable.rows.tolist() == [0, 1]
    assert evaluable.notes == [
        "fan: its labelled test clips do not fill 2022's cells; AUC and pAUC of each id are used"
    ]
    assert evaluable.cells == "AUC and pAUC of each id"


def test_a_year_whose_score_is_not_known_uses_the_newest_known_and_it_is_noted() -> None:
    evaluable = evaluable_clips("fan", frame(*BOTH), 2026)
    assert evaluable.year == 2025
    assert evaluable.notes == ["fan: the score of 2026 is not known yet, 2025's is used"]
    assert evaluable.cells == "the AUC and pAUC cells of DCASE 2025"


@pytest.mark.parametrize("label", ["normal", "anomaly", "unknown"])
@pytest.mark.parametrize("year", [None, 2020, 2022])
def test_one_class_alone_is_refused_with_what_to_look_at(label: str, year: int | None) -> None:
    with pytest.raises(AsdRayError, match="fan: no id has normal and anomalous test clips, .* see: asd-ray data check"):
        evaluable_clips("fan", frame(("00", "source", label), ("00", "target", label)), year)


@pytest.mark.parametrize("year", [None, 2020, 2021, 2022, 2023, 2024, 2025, 2026])
@pytest.mark.parametrize("drop", [None, *BOTH])
def test_whatever_counts_can_be_scored(year: int | None, drop: tuple[str, str, str] | None) -> None:
    """The rule here and that of the cells are the same rule."""
    rows = [("02", domain, label) for _, domain, label in BOTH] + [row for row in BOTH if row != drop]
    table = frame(*rows)
    evaluable = evaluable_clips("fan", table, year)
    clips = table.iloc[evaluable.rows].reset_index(drop=True)
    names, _ = cells_batch(clips, [[float(number) for number in range(len(clips))]], evaluable.year)
    assert {name.partition("/")[0] for name in names} == set(clips["id"])
