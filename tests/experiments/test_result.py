"""Averages, differences and spread over seeds, of numbers that are made up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from asd_ray.experiments import Number
from asd_ray.experiments.result import AVERAGE, numbers_of
from asd_ray.papers import PaperRow, find

LIU = find("liu2022").table("2")
IDNN = LIU.row("IDNN")  # AUC of fan 67.71, pump 73.76; pAUC 52.90, 61.07
TOTALS = find("baseline2022").table("development")


def numbers(ours: Mapping[str, Mapping[int, tuple[float, ...]]], row: PaperRow = IDNN) -> dict[tuple[str, str], Number]:
    return {(each.machine, each.measure): each for each in numbers_of(LIU, row, ours, LIU.machines)}


def test_a_number_has_a_difference_and_a_spread_over_seeds() -> None:
    found = numbers({"fan": {0: (70.0, 50.0), 1: (74.0, 50.0)}})["fan", "AUC"]
    assert found.ours == (70.0, 74.0)
    assert found.mean == 72.0
    assert found.difference == pytest.approx(72.0 - 67.71)
    assert found.spread == pytest.approx(8**0.5)
    assert numbers({"fan": {0: (70.0, 50.0)}})["fan", "AUC"].spread is None


def test_machines_without_ours_keep_the_published_number() -> None:
    found = numbers({"fan": {0: (70.0, 50.0)}})["valve", "pAUC"]
    assert (found.published, found.ours, found.mean, found.difference) == (64.94, (), None, None)


def test_an_average_over_a_part_is_compared_with_the_same_part() -> None:
    found = numbers({"fan": {0: (70.0, 50.0)}, "pump": {0: (80.0, 60.0)}})
    assert found[AVERAGE, "AUC"].ours == (75.0,)
    assert found[AVERAGE, "AUC"].published == pytest.approx((67.71 + 73.76) / 2)
    assert found[AVERAGE, "pAUC"].published == pytest.approx((52.90 + 61.07) / 2)


def test_an_average_over_all_machines_is_compared_with_the_printed_one() -> None:
    found = numbers({machine: {0: (70.0, 50.0)} for machine in LIU.machines})
    assert found[AVERAGE, "AUC"].published == IDNN.average[0]
    assert numbers({})[AVERAGE, "AUC"].published == IDNN.average[0]


def test_numbers_of_other_test_clips_have_no_difference() -> None:
    ours = {"fan": {0: (70.0, 50.0)}, "pump": {0: (80.0, 60.0)}}
    for other, comparable in (((), {"fan", "pump", AVERAGE}), (("fan", "valve"), {"pump"}), (LIU.machines, set())):
        found = list(numbers_of(LIU, IDNN, ours, LIU.machines, other))
        assert {each.machine for each in found if each.comparable} == comparable
        assert all(each.comparable == (each.difference is not None) for each in found)
        assert {each.machine for each in found if each.ours} == {"fan", "pump", AVERAGE}


def test_an_average_is_over_the_seeds_that_every_machine_has() -> None:
    ours = {"fan": {0: (70.0, 50.0), 1: (72.0, 50.0)}, "pump": {1: (80.0, 60.0)}}
    assert numbers(ours)[AVERAGE, "AUC"].ours == (76.0,)


def test_machines_are_averaged_by_the_rule_of_the_table() -> None:
    jiang = find("jiang2023").table("1")
    ours = {machine: {0: (50.0 if machine == "bearing" else 60.0,)} for machine in jiang.machines}
    found = [each for each in numbers_of(jiang, jiang.row("Ours"), ours, jiang.machines) if each.machine == AVERAGE]
    assert found[0].ours == (pytest.approx(5 / (1 / 50 + 4 / 60)),)
    assert found[0].published == 73.66


def test_totals_stay_those_of_all_machines() -> None:
    row = TOTALS.row("Autoencoder")
    found = list(numbers_of(TOTALS, row, {"fan": {0: (60.0, 50.0, 55.0)}}, ("fan", "valve")))
    assert [(each.machine, each.published) for each in found[:2]] == [("fan", None), (AVERAGE, 68.6)]
    assert found[1].ours == (60.0,)
    assert found[1].difference is None, "the averages are over different machines"
    whole = {machine: {0: (60.0, 50.0, 55.0)} for machine in ("fan", "valve")}
    assert list(numbers_of(TOTALS, row, whole, ("fan", "valve")))[2].difference == pytest.approx(60.0 - 68.6)
