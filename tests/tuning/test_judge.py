from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.metrics import hmean, objective
from asd_ray.tuning.judge import FaultJudge, LabelJudge, Verdict

BOTH = ("source", "target")


def clips(*groups: tuple[str, str, tuple[str, ...]], each: int = 5) -> pd.DataFrame:
    """`each` clips of every (id, label, domains)."""
    rows = [(i, label, domain) for i, label, domains in groups for domain in domains for _ in range(each)]
    return pd.DataFrame(rows, columns=["id", "label", "domain"])


FULL = clips(("00", "normal", BOTH), ("00", "anomaly", BOTH), ("01", "normal", BOTH), ("01", "anomaly", BOTH))


def scores(test: pd.DataFrame, *names: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=len(test)) for name in names}


def judged(judge: LabelJudge, scores: dict[str, Any]) -> Verdict:
    return judge({"test": scores})


@pytest.mark.parametrize(
    ("year", "used", "cells", "text"),
    [
        (None, None, {"auc", "pauc"}, "AUC and pAUC of each id"),
        (2020, 2020, {"auc", "pauc"}, "DCASE 2020"),
        (2021, 2021, {"auc_source", "auc_target", "pauc_source", "pauc_target"}, "DCASE 2021"),
        (2022, 2022, {"auc_source", "auc_target", "pauc"}, "DCASE 2022"),
        (2025, 2025, {"auc_source", "auc_target", "pauc"}, "DCASE 2025"),
        (2026, 2025, {"auc_source", "auc_target", "pauc"}, "DCASE 2025"),
    ],
)
def test_the_cells_are_those_of_the_year(year: int | None, used: int | None, cells: set[str], text: str) -> None:
    judge = LabelJudge("fan", FULL, year)
    drawn = scores(FULL, "a")
    verdict = judged(judge, drawn)
    assert judge.year == used
    assert judge.phrase.startswith("harmonic mean of ")
    assert judge.phrase.endswith(" on the labelled test clips")
    assert text in judge.phrase
    assert set(verdict.parts) == {f"{i}/{cell}" for i in ("00", "01") for cell in cells}
    assert verdict.objective == pytest.approx(hmean(list(verdict.parts.values())))
    assert verdict.objective == objective(FULL, drawn["a"][None], used)[0]


def test_a_future_year_is_judged_by_the_newest_known_and_a_note_reports_it() -> None:
    assert LabelJudge("fan", FULL, 2026).notes == ["fan: the score of 2026 is not known yet, 2025's is used"]
    assert LabelJudge("fan", FULL, 2025).notes == []


def test_the_best_variant_is_chosen_by_the_test_labels() -> None:
    truth = (FULL["label"] == "anomaly").to_numpy(float)
    verdict = judged(
        LabelJudge("fan", FULL, 2022), {"wrong": -truth, "right": truth, "middling": scores(FULL, "x")["x"]}
    )
    assert (verdict.variant, verdict.objective) == ("right", 1.0)


def test_a_tie_of_variants_is_decided_by_name() -> None:
    same = scores(FULL, "x")["x"]
    judge = LabelJudge("fan", FULL, 2022)
    assert judged(judge, {"b": same, "a": same}).variant == judged(judge, {"a": same, "b": same}).variant == "a"


def test_an_id_without_labels_does_not_count_and_is_named() -> None:
    test = pd.concat([clips(("02", "normal", BOTH), ("03", "unknown", BOTH)), FULL], ignore_index=True)
    judge = LabelJudge("fan", test, 2022)
    assert judge.notes == ["fan: id 02, 03 does not count: it lacks a label or a domain"]
    drawn = scores(test, "a")
    assert judged(judge, drawn) == judged(LabelJudge("fan", FULL, 2022), {"a": drawn["a"][20:]})


def test_unlabelled_clips_among_labelled_ones_do_not_count() -> None:
    test = pd.concat([clips(("00", "unknown", BOTH)), FULL], ignore_index=True)
    drawn = scores(test, "a")
    assert judged(LabelJudge("fan", test, 2022), drawn) == judged(LabelJudge("fan", FULL, 2022), {"a": drawn["a"][10:]})


@pytest.mark.parametrize(
    ("year", "groups"),
    [
        (2022, [("00", "normal", ("source",)), ("00", "anomaly", BOTH)]),
        (2021, [("00", "normal", BOTH), ("00", "anomaly", ("source",))]),
        (2023, [("00", "normal", ("",)), ("00", "anomaly", ("",))]),
    ],
)
def test_clips_that_do_not_fill_the_cells_of_the_year_are_judged_by_id(year: int, groups: list[Any]) -> None:
    test = clips(*groups)
    judge = LabelJudge("fan", test, year)
    assert judge.year is None
    assert judge.notes == [f"fan: its labelled test clips do not fill {year}'s cells; AUC and pAUC of each id are used"]
    assert set(judged(judge, scores(test, "a")).parts) == {"00/auc", "00/pauc"}


@pytest.mark.parametrize("year", [None, 2020, 2022])
@pytest.mark.parametrize("groups", [[("00", "normal", BOTH)], [("00", "unknown", BOTH)], []], ids=len)
def test_no_usable_id_is_an_error_that_names_machine_and_cure(year: int | None, groups: list[Any]) -> None:
    with pytest.raises(AsdRayError, match=r"^fan: no id has normal and anomalous test clips.*asd-ray data check"):
        LabelJudge("fan", clips(*groups), year)


def test_without_labels_the_best_variant_is_that_which_tells_faults_from_normal_clips() -> None:
    held_out = pd.DataFrame({"clip": [f"n{i}.wav" for i in range(20)], "id": ["00", "01"] * 10})
    faults = pd.DataFrame({"clip": [f"n{i}.wav~tone~{i % 3}" for i in range(20)], "id": ["00", "01"] * 10})
    rng = np.random.default_rng(0)
    normal = {name: rng.normal(size=20) for name in ("far", "near", "blind")}
    shift = {"far": 9.0, "near": 1.0, "blind": 0.0}
    faulty = {name: rng.normal(size=20) + shift[name] for name in normal}
    verdict = FaultJudge(held_out, faults)({"held_out": normal, "fault": faulty})
    assert verdict.variant == "far"
    assert verdict.objective > 0.95
    turned = FaultJudge(held_out, faults)({"held_out": {"x": normal["far"]}, "fault": {"x": -faulty["far"]}})
    assert turned.objective < 0.05


def test_the_phrase_of_the_faults_says_what_the_value_is() -> None:
    """The median over kinds of the harmonic mean: not a harmonic mean of medians."""
    held_out = pd.DataFrame({"clip": [f"n{i}.wav" for i in range(20)], "id": "00"})
    kinds = ("tone", "click", "speed")
    faults = pd.concat([held_out.assign(clip=held_out["clip"] + f"~{kind}~0") for kind in kinds])
    rng = np.random.default_rng(0)
    normal = rng.normal(size=20)
    by_kind = [rng.normal(size=20) + shift for shift in (0.5, 1.0, 2.0)]
    judge = FaultJudge(held_out, faults)
    verdict = judge({"held_out": {"x": normal}, "fault": {"x": np.concatenate(by_kind)}})
    alone = [
        FaultJudge(held_out, faults[at * 20 : (at + 1) * 20])({"held_out": {"x": normal}, "fault": {"x": of_kind}})
        for at, of_kind in enumerate(by_kind)
    ]
    assert verdict.objective == pytest.approx(np.median([one.objective for one in alone]))
    assert judge.phrase.startswith("median over kinds of injected faults of the harmonic mean of AUC and pAUC")


def test_ids_of_other_levels_do_not_change_the_value_of_faults() -> None:
    """A louder unit has higher scores, and each id is put into its own unit first."""
    held_out = pd.DataFrame({"clip": [f"n{i}.wav" for i in range(20)], "id": ["00", "01"] * 10})
    faults = held_out.assign(clip=held_out["clip"] + "~tone~0")
    rng = np.random.default_rng(0)
    normal, faulty = rng.normal(size=20), rng.normal(size=20) + 2
    level = np.array([0.0, 50.0] * 10)
    judge = FaultJudge(held_out, faults)
    plain = judge({"held_out": {"x": normal}, "fault": {"x": faulty}})
    assert judge({"held_out": {"x": normal + level}, "fault": {"x": faulty + level}}).objective == pytest.approx(
        plain.objective
    )
