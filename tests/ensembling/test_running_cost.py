"""What a final ensemble costs to run, by times that are given: when it is measured, and where it is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ensembling import Comparison, Ensemble, EnsembleConfig, choose, choose_all, read, verify
from asd_ray.ensembling.costs import Costs, RunningCost
from asd_ray.ensembling.verifying import Verification
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.ledger.states import States
from tests.ensembling.conftest import SMALL, make_ledger

QUICK = EnsembleConfig(repeats=1, folds=2, draws=20)
COST = RunningCost(0.0123, "a computer")


@dataclass
class GivenTime:
    """A `Timer` that remembers what it measured. It cannot measure the `unmeasured`."""

    seconds: float = COST.seconds
    computer: str = COST.computer
    unmeasured: dict[str, str] = field(default_factory=dict)
    wholes: list[list[str]] = field(default_factory=list)

    def costs(self, trials: Sequence[str]) -> Costs:
        return Costs(self.computer, dict.fromkeys(trials, 0.001), {}, dict.fromkeys(trials, ()))

    def whole(self, trials: Sequence[str]) -> float:
        self.wholes.append(list(trials))
        if set(trials) & set(self.unmeasured):
            raise AsdRayError("its class cannot be imported")
        return self.seconds


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """All trials have a state."""
    ledger = make_ledger(tmp_path / "run", SMALL)
    for record in ledger.records():
        States(ledger).put(record.family, record.trial, b"learned")
    return ledger


def chosen(ledger: Ledger, timer: GivenTime, recipes: Any = ("best_per_family",), **options: Any) -> Comparison:
    how = {"config": QUICK, **options}
    return choose_all(ledger, ["fan"], recipes, timer_of=lambda machine: timer, **how).of_machine["fan"]


def path_of(ledger: Ledger, name: str) -> Path:
    return Path(ledger.layout.ensemble_file("fan", name))


def test_only_the_final_ensemble_has_its_cost_and_is_verified(ledger: Ledger) -> None:
    timer = GivenTime()
    comparison = chosen(ledger, timer)
    final = comparison.final
    assert final.cost == final.running_cost == COST
    assert COST.sentence == "12.3 ms for 10 s of sound, in one thread of a computer"
    assert timer.wholes == [list(dict.fromkeys(member.trial for member in final.members))]
    assert len(timer.wholes[0]) == 2
    assert read(comparison.path) == final
    assert Verification(verify(ledger, final)).reason == ""
    assert "cost" not in json.loads(path_of(ledger, final.name).read_text())


def test_a_changed_cost_is_noticed_by_the_checksum_alone(ledger: Ledger) -> None:
    final = chosen(ledger, GivenTime()).final
    assert Verification(verify(ledger, replace(final, cost=replace(COST, seconds=0.001)))).wrong == ["checksum"]


def test_each_choice_measures_the_ensemble_that_it_makes_final(ledger: Ledger) -> None:
    chosen(ledger, GivenTime(), ["best_per_family"])
    path_of(ledger, "best_per_family.mean").unlink()  # so the final file takes part in the next comparison
    path_of(ledger, "best_per_family.max").unlink()
    again = chosen(ledger, GivenTime(0.5), ["best_single"], final=True)
    assert again.earlier == 1
    assert again.final.cost == RunningCost(0.5, "a computer")
    kept = {path.stem: read(path).cost for path in path_of(ledger, "final").parent.glob("*.json")}
    assert [name for name, cost in kept.items() if cost] == ["final"]
    assert choose(ledger, "fan", ["best_single"], QUICK, final=True).final.cost is None  # without a timer


def without_a_state(ledger: Ledger, timer: GivenTime) -> None:
    record = ledger.records("fan", "idnn")[0]
    for other in ledger.records("fan", "idnn"):
        States(ledger).remove("idnn", other.trial)
    assert not States(ledger).has_all([("idnn", record.trial)])


def without_its_class(ledger: Ledger, timer: GivenTime) -> None:
    timer.unmeasured |= {record.trial: "" for record in ledger.records("fan", "idnn")}


@pytest.mark.parametrize(("change", "tries"), [(without_a_state, 0), (without_its_class, 1)])
def test_what_cannot_be_measured_has_no_cost(
    change: Callable[[Ledger, GivenTime], None], tries: int, ledger: Ledger
) -> None:
    timer = GivenTime()
    change(ledger, timer)
    comparison = chosen(ledger, timer)
    final = comparison.final
    assert {member.family for member in final.members} == set(SMALL)
    assert list(comparison.notes) == ["its cost was not measured: its class cannot be imported"] * tries
    assert final.cost is None
    assert len(timer.wholes) == tries
    stored = json.loads(path_of(ledger, "final").read_text())
    assert "cost" not in stored
    assert stored.get("cost_unmeasured") == ("its class cannot be imported" if tries else None)
    assert read(path_of(ledger, "final")) == final
    assert max(verify(ledger, final).values()) <= 1e-9
    if tries:
        changed = Ensemble.from_json({**stored, "cost_unmeasured": "another"})
        assert verify(ledger, changed)["checksum"] > 1
        with pytest.raises(AsdRayError, match="cost_unmeasured must be text"):
            Ensemble.from_json({**stored, "cost_unmeasured": 5})


def test_the_reason_goes_when_the_cost_is_measured(ledger: Ledger) -> None:
    timer = GivenTime()
    without_its_class(ledger, timer)
    assert chosen(ledger, timer).final.cost_unmeasured == "its class cannot be imported"
    later = chosen(ledger, GivenTime()).final
    assert (later.cost, later.cost_unmeasured) == (COST, None)


def test_within_a_limit_the_time_that_the_limit_measured_is_the_cost(ledger: Ledger) -> None:
    timer = GivenTime()
    comparison = chosen(ledger, timer, config=replace(QUICK, infer_limit=0.05))
    assert len(timer.wholes) == len(comparison.ensembles)  # once each
    assert comparison.final.cost is None
    assert comparison.final.running_cost == COST


def test_a_final_ensemble_that_stays_gets_its_cost_unless_somebody_changed_its_file(ledger: Ledger) -> None:
    path = path_of(ledger, "final")
    first = choose(ledger, "fan", ["best_per_family"], QUICK).final
    others = replace(QUICK, seed=1)
    stays = chosen(ledger, GivenTime(), ["best_single"], config=others)
    assert any("was not replaced" in note for note in stays.notes)
    assert stays.final.cost == COST
    assert replace(stays.final, cost=None, checksum=None) == replace(first, checksum=None)
    stored = json.loads(path.read_text())
    del stored["cost"]
    path.write_text(json.dumps(stored))  # with the checksum of before
    assert chosen(ledger, GivenTime(), ["best_single"], config=others).final.cost is None
    assert json.loads(path.read_text()) == stored


@pytest.mark.parametrize(
    ("cost", "fault"),
    [
        (None, "cost must be an object"),
        ({"seconds": 1.0}, "cost lacks computer"),
        ({"seconds": -1.0, "computer": "c"}, "cost/seconds must be"),
        ({"seconds": 1.0, "computer": 5}, "cost/computer must be"),
    ],
    ids=str,
)
def test_a_wrong_cost_is_refused(cost: Any, fault: str, ledger: Ledger) -> None:
    stored = chosen(ledger, GivenTime()).final.to_json()
    with pytest.raises(AsdRayError, match=fault):
        Ensemble.from_json({**stored, "cost": cost})
    del stored["cost"]  # as in files of earlier versions
    assert Ensemble.from_json(stored).running_cost is None
