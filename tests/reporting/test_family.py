from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from asd_ray.ledger import Settings, TrialRecord, trial_hash
from asd_ray.reporting import importances as module
from asd_ray.reporting.family import AXES, LINES, cost, family_facts, parallel, reason, seed_spread
from asd_ray.reporting.importances import importances


def record(number: int = 0, **changes: Any) -> TrialRecord:
    result: dict[str, Any] = {
        "trial": trial_hash(number=number, **{"seed": changes.get("seed", 0)}),
        "name": f"fan-idnn-{number:04d}",
        "machine": "fan",
        "family": "idnn",
        "number": number,
        "params": {"lr": 10.0 ** -(1 + number % 5), "norm": ("batch", "layer")[number % 2], "frames": 5},
        "objective": 0.6 + 0.05 * (number % 5),
        "protocol": "oracle",
        "seconds": 10.0,
        "device": "cpu",
    }
    return TrialRecord(**(result | changes))


def test_a_study_is_told_trial_by_trial_in_order() -> None:
    records = [record(2, status="pruned", objective=None, intermediate={3: 0.52, 1: 0.5}), record(1), record(0)]
    study = family_facts(records)["studies"]["fan"]
    assert [each["number"] for each in study["trials"]] == [0, 1, 2]
    assert [each["at"] for each in study["trials"]] == [0, 1, 2]
    assert study["trials"][2]["objective"] == 0.52  # where it was stopped
    assert study["counts"] == {"complete": 2, "pruned": 1, "failed": 0}
    assert (study["best"], study["protocol"]) == (0.65, "oracle")
    assert study["no_importances"] == "left out: 2 complete trials, and 10 are needed"


def test_a_value_that_is_no_number_is_not_a_trials_last() -> None:
    ended = {"status": "pruned", "objective": None}
    records = [
        record(0, **ended, intermediate={1: 0.5, 3: 0.52, 5: float("nan")}),
        record(1, **ended, intermediate={1: float("nan")}),
    ]
    trials = family_facts(records)["studies"]["fan"]["trials"]
    assert [each["objective"] for each in trials] == [0.52, None]


def test_cost_counts_all_trials_and_gpus_apart() -> None:
    records = [
        record(0, objective=0.7),
        record(1, device="NVIDIA H100", objective=0.6),
        record(2, status="failed", objective=None, seconds=30.0),
    ]
    result = cost(records)
    assert (result["seconds"], result["gpu_seconds"]) == (50.0, 10.0)
    assert result["points"] == pytest.approx(20)
    assert result["seconds_per_point"] == pytest.approx(2.5)
    assert result["gpu_seconds_per_point"] == pytest.approx(0.5)


def test_a_trial_over_several_machines_is_shared_among_them() -> None:
    assert cost([record(machines=["fan", "pump"])])["seconds"] == 5.0


def test_no_gain_has_no_price_and_unknown_seconds_stay_unknown() -> None:
    assert cost([record(objective=0.5)])["seconds_per_point"] is None
    assert cost([record(seconds=None)])["seconds"] is None


def test_seed_spread_is_of_trials_that_differ_in_their_seed_alone() -> None:
    same = {"params": {"lr": 0.1}}
    records = [
        record(0, **same, seed=0, objective=0.6),
        record(1, **same, seed=1, objective=0.8),
        record(2, params={"lr": 0.2}, seed=1),
        record(3, **same, seed=2, status="failed", objective=None),
        record(4, **same, seed=3, settings=Settings(checkpoint="oracle")),
    ]
    (row,) = seed_spread(records)
    assert (row["seeds"], row["lowest"], row["highest"]) == (2, 0.6, 0.8)
    assert row["mean"] == pytest.approx(0.7)
    assert row["deviation"] == pytest.approx(0.2 / 2**0.5)


def test_pruned_and_failed_trials_say_why() -> None:
    failed = record(1, status="failed", objective=None, error="loss is nan")
    pruned = record(0, status="pruned", objective=None, intermediate={11: 0.51})
    ended = family_facts([pruned, failed, record(2)])["ended"]
    assert [each["status"] for each in ended] == ["failed", "pruned"]
    assert ended[0]["reason"] == "loss is nan"
    assert ended[1]["reason"] == "value 0.5100 after epoch 11: others were better there"
    assert reason(dataclasses.replace(pruned, intermediate={})) == "no reason was stored"


def test_parallel_coordinates_show_what_differs_the_weightiest_first() -> None:
    result = parallel([record(number) for number in range(10)], {"norm": 0.9, "lr": 0.1})
    assert result["axes"] == ["norm", "lr"]  # frames never changed
    assert result["rows"][0]["objective"] == max(row["objective"] for row in result["rows"])
    assert all(len(row["values"]) == 2 for row in result["rows"])


def test_parallel_coordinates_are_limited_and_say_what_is_left_out() -> None:
    wide = [record(number, params={f"p{at}": number + at for at in range(AXES + 3)}) for number in range(LINES + 5)]
    result = parallel(wide, {})
    assert (len(result["axes"]), result["left_out"]) == (AXES, 3)
    assert (len(result["rows"]), result["of"]) == (LINES, LINES + 5)


def test_importances_find_the_parameter_that_decides() -> None:
    done = [
        record(
            n,
            params={"lr": 10.0 ** -(n % 5), "norm": ("a", "b")[n % 2], "deep": n % 3 == 0, "one": 1},
            objective=0.5 + 0.1 * (n % 2),
        )
        for n in range(40)
    ]
    found, why_not = importances(done)
    assert next(iter(found)) == "norm"
    assert found["norm"] > 0.8
    assert sum(found.values()) == pytest.approx(1)
    assert "one" not in found
    assert why_not == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"params": {"lr": 0.1}}, "no parameter was varied"), ({"objective": 0.7}, "all trials reached the same value")],
)
def test_importances_are_left_out_with_a_reason(changes: dict[str, Any], why: str) -> None:
    found, why_not = importances([record(number, **changes) for number in range(12)])
    assert not found
    assert why in why_not


def test_a_parameter_that_some_trials_lack_is_not_weighed() -> None:
    done = [record(n, params={"lr": 10.0 ** -(n % 5)} | ({"extra": n} if n % 2 else {})) for n in range(20)]
    assert set(importances(done)[0]) == {"lr"}


def test_only_the_studies_that_are_named_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TREES", 2)
    records = [record(number) for number in range(12)]
    assert family_facts(records)["studies"]["fan"]["no_importances"] == "left out: only the largest studies are weighed"
    weighed = family_facts(records, importance=frozenset({"fan"}))["studies"]["fan"]
    assert set(weighed["importances"]) == {"lr", "norm"}
    assert weighed["no_importances"] == ""
