"""Choosing within a limit on the ensemble's time, by costs that are given."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe, build, choose, read, verify
from asd_ray.ensembling.budget import Budget
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.costs import Costs, in_ms
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.final import Comparison
from asd_ray.ensembling.measuring import measurements
from asd_ray.ensembling.recipe import Slot
from asd_ray.ensembling.requirements import CannotFollow, check
from asd_ray.ensembling.select import select
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.ensembling.verifying import Verification
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from tests.ensembling.conftest import SMALL, make_ledger

QUICK = EnsembleConfig(repeats=1, folds=2, draws=20)
STRENGTH = (0.2, 1.4, 0.9, 0.5, 1.1, 0.7)  # of six candidates, of the families idnn and group_made in turn
OWN = (1.0, 8.0, 2.0, 1.0, 5.0, 1.0)  # ms of their detectors


def costs_of(trials: Sequence[str], own: Sequence[float], front_end: float = 2.0) -> Costs:
    """Milliseconds: `own` of each trial, and `front_end` of the one that they all have."""
    detectors = dict(zip(trials, [ms / 1000 for ms in own], strict=True))
    return Costs("a computer", detectors, {"mel": front_end / 1000}, dict.fromkeys(trials, ("mel",)))


@pytest.fixture
def limited(candidates: Callable[..., Candidates]) -> Callable[..., Candidates]:
    """`limited(10)`: six candidates within 10 ms."""

    def make(limit: float, own: Sequence[float] = OWN) -> Candidates:
        few = candidates(STRENGTH, per=60)
        return replace(few, costs=costs_of(few.table["trial"].tolist(), own), limit=limit / 1000)

    return make


@dataclass
class GivenTimes:
    """A `Timer` whose times are given. The whole takes `factor` times the sum of its parts."""

    own: Mapping[str, float]  # name of the trial -> ms
    names: Mapping[str, str]  # trial -> name
    factor: float = 1.0
    computer: str = "a computer"
    unmeasured: dict[str, str] = field(default_factory=dict)
    wholes: list[float] = field(default_factory=list)

    def costs(self, trials: Sequence[str]) -> Costs:
        self.unmeasured |= {trial: "no state" for trial in trials if self.names[trial] not in self.own}
        known = [trial for trial in trials if trial not in self.unmeasured]
        self._costs = costs_of(known, [self.own[self.names[trial]] for trial in known])
        return self._costs

    def whole(self, trials: Sequence[str]) -> float:
        self.wholes.append(self.factor * self._costs.of(trials))
        return self.wholes[-1]


def timer_of(ledger: Ledger, factor: float = 1.0, computer: str = "a computer", **own: float) -> GivenTimes:
    """`timer_of(ledger, idnn_0000=3)`"""
    names = {record.trial: record.name for record in ledger.records("fan")}
    times = {f"fan-{name[:-5]}-{name[-4:]}": ms for name, ms in own.items()}
    return GivenTimes(times, names, factor, computer)


ALL = {"idnn_0000": 1.0, "idnn_0001": 4.0, "group_made_0000": 8.0}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return make_ledger(tmp_path / "run", SMALL)


def chosen_of(ledger: Ledger, limit: float, timer: GivenTimes, recipes: Any = ("top_k",), **options: Any) -> Comparison:
    return choose(ledger, "fan", recipes, replace(QUICK, infer_limit=limit / 1000), timer=timer, **options)


# -- the budget ------------------------------------------------------------------------------------------------------


def test_a_trial_and_a_front_end_are_paid_once() -> None:
    costs = Costs(
        "", {"a": 1.0, "b": 2.0, "c": 4.0}, {"x": 10.0, "y": 20.0}, {"a": ("x",), "b": ("x",), "c": ("x", "y")}
    )
    assert costs.of(["a", "a"]) == 11.0
    assert costs.of(["a", "b", "c"]) == 37.0
    budget = Budget.of(["a", "a", "b", "c"], costs, 13.0)  # the first two are variants of one trial
    assert [budget.cost(rows) for rows in ([], [0], [0, 1], [1, 2], [0, 3])] == [0, 11, 11, 13, 35]
    assert budget.added([0]).tolist() == [0, 0, 2, 24]
    assert budget.room([0]).tolist() == [True, True, True, False]
    assert budget.room([0, 2]).tolist() == [True, True, True, False]
    assert budget.chosen([3, 2, 1, 0]) == [2, 1, 0]
    assert budget.chosen([3, 2, 1, 0], 2) == [2, 1]
    assert budget.take([3, 2]).added([]).tolist() == [34, 12]


def test_room_is_left_for_the_cheapest_of_the_rest() -> None:
    budget = Budget.of(["a", "b", "c"], Costs("", {"a": 1.0, "b": 5.0, "c": 6.0}, {}, dict.fromkeys("abc", ())), 7.0)
    assert budget.room().tolist() == [True, True, True]
    assert budget.room((), [np.array([1, 2])]).tolist() == [True, True, True]  # b and c are members of the rest, too
    assert budget.room((), [np.array([2])]).tolist() == [True, False, True]


def test_without_costs_nothing_is_limited() -> None:
    budget = Budget.of(["a", "b"], None, math.inf)
    assert budget.room([0, 1]).all()
    assert budget.chosen([1, 0]) == [1, 0]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12.3 ms"), (0.0999, "99.9 ms"), (1.5, "1500 ms"), (1e-4, "0.1 ms")]
)
def test_times_are_shown_in_ms(seconds: float, text: str) -> None:
    assert in_ms(seconds) == text


# -- ways to select --------------------------------------------------------------------------------------------------

SLOTS = (Slot("idnn"), Slot("group_made"))
MORE = (Slot("idnn", size=3), Slot("group_made"))
WAYS = [
    # recipe, limit in ms, members; alone the order is 1, 4, 2, 5, 3, 0
    (Recipe("r", "best"), 10, [1]),
    (Recipe("r", "best"), 9, [4]),
    (Recipe("r", "best", slots=(Slot("group_made"),)), 9, [5]),
    (Recipe("r", "top_k", k=3), 12, [1, 2]),
    (Recipe("r", "top_k", k=3), 11, [1, 5]),
    (Recipe("r", "top_k", k=2), 15, [1, 4]),
    (Recipe("r", "best_per_family"), 14, [1, 2]),
    (Recipe("r", "best_per_family"), 8, [4, 5]),
    (Recipe("r", "slots", slots=SLOTS), 15, [4, 1]),
    (Recipe("r", "slots", slots=SLOTS), 10, [4, 5]),
    (Recipe("r", "slots", slots=SLOTS), 5, [2, 5]),
    (Recipe("r", "slots", slots=MORE), 18, [4, 1, 2, 0]),
    (Recipe("r", "slots", slots=MORE), 17, [4, 1, 2]),
    (Recipe("r", "slots", slots=MORE), 16, [4, 1, 0]),  # further members after the first of every slot
    (Recipe("r", "slots", slots=MORE), 10, [4, 5, 2]),
]


@pytest.mark.parametrize(("recipe", "limit", "members"), WAYS, ids=lambda value: getattr(value, "select", str(value)))
def test_candidates_without_time_are_skipped(
    limited: Callable[..., Candidates], recipe: Recipe, limit: float, members: list[int]
) -> None:
    few = limited(limit)
    check(recipe, few)
    own = EvaluationSet.of(few, Standardiser())
    assert [*select(recipe, few.table, own.scores, own.scorer, budget=own.budget).members] == members


STEPWISE = [
    Recipe("greedy", "greedy"),
    Recipe("max", "greedy", ("max",)),
    Recipe("bagged", "greedy", bags=8),
    Recipe("weights", "optuna_weights", k=4, trials=5),
    Recipe("smooth", "smooth_weights", k=4),
    Recipe("top_k", "top_k", k=4),
    Recipe("families", "best_per_family"),
    Recipe("slots", "slots", slots=SLOTS),
]


@pytest.mark.parametrize("recipe", STEPWISE, ids=lambda recipe: recipe.name)
def test_every_protocol_chooses_within_the_limit(limited: Callable[..., Candidates], recipe: Recipe) -> None:
    few = limited(9)
    evaluation = EvaluationSet.of(few, Standardiser())
    assert few.costs is not None
    spent = [
        few.costs.of(few.table["trial"].iloc[[*selection.members]])
        for measurement in measurements(evaluation, recipe, QUICK).values()
        for selection in measurement.selections
    ]
    assert len(spent) == 5  # oracle, two folds of crossval, two ids of cross_id
    assert max(spent) <= 0.0091
    free = EvaluationSet.of(replace(few, limit=math.inf), Standardiser())
    unlimited = select(recipe, few.table, free.scores, free.scorer, budget=free.budget)
    assert few.costs.of(few.table["trial"].iloc[[*unlimited.members]]) > 0.0091


def test_fixed_members_that_do_not_fit_are_reported(limited: Callable[..., Candidates]) -> None:
    free = Recipe("label_free.mean", "label_free")  # the papers' settings are candidates 0 and 1
    check(free, limited(11))
    with pytest.raises(CannotFollow) as raised:
        check(free, limited(10.5))
    assert str(raised.value) == (
        "fan: recipe label_free needs the 2 trials with the papers' settings, which take 11 ms for 10 s of sound, more "
        "than the limit of 10.5 ms; use --infer-limit 12ms or more, or search faster settings"
    )
    with pytest.raises(CannotFollow, match="the fastest candidates of its slots take up to 6 ms .* limit of 3.5 ms"):
        check(Recipe("r", "slots", slots=SLOTS), limited(3.5))
    with pytest.raises(CannotFollow, match="the fastest candidate of its slots takes 8 ms .* --infer-limit 9ms"):
        check(Recipe("r", "best", slots=(Slot("idnn"),)), limited(7.5, (6.0, 1.0, 7.0, 1.0, 8.0, 1.0)))


def test_if_nothing_fits_the_fastest_is_named(limited: Callable[..., Candidates]) -> None:
    with pytest.raises(CannotFollow) as raised:
        check(Recipe("r", "top_k"), limited(2.9, (3, 2, 1.5, 4, 5, 6)))
    assert str(raised.value) == (
        "fan: no candidate scores 10 s of sound within 2.9 ms on this computer; the fastest is fan-idnn-0002 with "
        "3.5 ms: use --infer-limit 4ms or more, or search faster settings"
    )


# -- ensembles and their files ---------------------------------------------------------------------------------------


def test_the_file_has_the_measured_time_and_is_verified(ledger: Ledger) -> None:
    timer = timer_of(ledger, 0.9, **ALL)
    for name in ("greedy", "label_free"):
        comparison = chosen_of(ledger, 15, timer, [name])
        for ensemble in comparison.ensembles:
            assert ensemble.inference is not None
            assert ensemble.inference.seconds in timer.wholes
            assert ensemble.inference.seconds <= 0.015
            path = ledger.layout.ensemble_file("fan", ensemble.name)
            stored = read(path)
            assert replace(stored, checksum=None) == ensemble
            assert Verification(verify(ledger, stored)).reason == ""
            assert json.loads(Path(path).read_text())["wishes"]["infer_limit"] == 0.015


def test_verifying_sees_changed_costs(ledger: Ledger) -> None:
    [ensemble] = chosen_of(ledger, 7, timer_of(ledger, **ALL), [Recipe("two", "top_k", k=2)]).ensembles
    inference = ensemble.inference
    assert inference is not None
    members = {member.trial: 1.0 for member in ensemble.members}
    costs = replace(inference.costs, detectors={**inference.costs.detectors, **members})
    changed = replace(ensemble, inference=replace(inference, costs=costs))
    with pytest.raises(AsdRayError, match="no candidate scores"):
        verify(ledger, replace(changed, inference=replace(inference, costs=costs, budget=0.001)))
    assert "members/0" in " ".join(Verification(verify(ledger, changed)).wrong)


def test_what_takes_longer_together_is_chosen_again(ledger: Ledger) -> None:
    """The limit holds for the measured whole: 6 ms of parts take 12 ms, so a smaller choice is made."""
    timer = timer_of(ledger, 2.0, **ALL)
    [ensemble] = chosen_of(ledger, 7, timer, [Recipe("all", "top_k", k=9)]).ensembles
    assert len(timer.wholes) == 2
    assert timer.wholes[0] > 0.007 >= timer.wholes[1]
    assert ensemble.inference is not None
    assert ensemble.inference.seconds == timer.wholes[1]
    assert ensemble.inference.budget < 0.007
    assert {member.name for member in ensemble.members} == {"fan-idnn-0000"}
    assert Verification(verify(ledger, ensemble)).wrong == []


def test_if_no_smaller_choice_fits_the_recipe_cannot_be_followed(ledger: Ledger) -> None:
    with pytest.raises(AsdRayError) as raised:
        chosen_of(ledger, 3.5, timer_of(ledger, 2.0, **ALL))
    assert str(raised.value) == (
        "fan: recipe top_k: its members took 6 ms for 10 s of sound when they were measured together, more than the "
        "limit of 3.5 ms, and no smaller choice fits; use a larger --infer-limit"
    )


def test_recipes_that_do_not_fit_are_skipped(ledger: Ledger) -> None:
    comparison = chosen_of(ledger, 7, timer_of(ledger, **ALL), None)
    [reason] = [skipped.reason for skipped in comparison.skipped if skipped.recipe == "label_free"]
    assert reason.startswith("recipe label_free needs the 2 trials with the papers' settings, which take 11 ms")
    assert {"best_single", "greedy.mean", "top_k.max"} <= {ensemble.name for ensemble in comparison.ensembles}


def test_trials_that_cannot_be_measured_are_left_out_and_named(ledger: Ledger) -> None:
    [ensemble] = chosen_of(ledger, 50, timer_of(ledger, idnn_0001=1.0), ["best_single"]).ensembles
    assert ensemble.candidates.tried == 2  # both variants of one trial
    assert [note for note in ensemble.notes if "left out" in note] == [
        "left out: fan-group_made-0000, fan-idnn-0000: time not measured: no state"
    ]
    assert set(ensemble.candidates.left_out) == {
        "fan-idnn-0000 (time not measured)",
        "fan-group_made-0000 (time not measured)",
    }
    with pytest.raises(
        AsdRayError, match="fan: no candidate can be measured, so --infer-limit cannot choose: no state"
    ):
        chosen_of(ledger, 50, timer_of(ledger))


def test_the_best_single_detector_of_the_gain_is_within_the_limit(ledger: Ledger) -> None:
    """A detector that cannot be afforded is no alternative."""
    [ensemble] = chosen_of(ledger, 5, timer_of(ledger, **ALL), ["best_single"]).ensembles
    single = ensemble.metrics["oracle"].single
    assert single.name.startswith("fan-idnn-0000")
    assert ensemble.metrics["oracle"].gain.value == 0
    [free] = choose(ledger, "fan", ["best_single"], QUICK).ensembles
    assert not free.metrics["oracle"].single.name.startswith("fan-idnn-0000")


def test_ensembles_of_other_limits_or_computers_are_not_compared(ledger: Ledger) -> None:
    choose(ledger, "fan", ["greedy"], QUICK)
    first = chosen_of(ledger, 15, timer_of(ledger, **ALL), ["best_single"], final=True)
    assert "chosen with other options (infer_limit None)" in " ".join(first.notes)
    same = chosen_of(ledger, 15, timer_of(ledger, **ALL), ["top_k"])
    assert same.earlier == 1
    other = chosen_of(ledger, 15, timer_of(ledger, computer="another computer", **ALL), ["best_per_family"])
    assert other.earlier == 0
    assert "its time was measured on another computer (a computer)" in " ".join(other.notes)
    assert "chosen with other options (infer_limit 0.015)" in " ".join(choose(ledger, "fan", ["greedy"], QUICK).notes)


def test_without_labels_a_limit_holds_too(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path / "run", SMALL, labels="unknown")
    [ensemble, _] = chosen_of(ledger, 11.5, timer_of(ledger, **ALL), ["label_free"]).ensembles
    assert ensemble.inference is not None
    assert ensemble.inference.seconds == pytest.approx(0.011)
    with pytest.raises(AsdRayError, match="recipe label_free needs the 2 trials"):
        chosen_of(ledger, 10, timer_of(ledger, **ALL), ["label_free"])


@pytest.mark.parametrize("limit", [0, -1.0, math.nan, math.inf, "50ms", True])
def test_a_limit_is_a_time(limit: Any) -> None:
    with pytest.raises(AsdRayError, match="infer_limit must be a time such as 50ms or 0.05s, but got"):
        EnsembleConfig(infer_limit=limit)


def test_a_limit_needs_costs(candidates: Callable[..., Candidates]) -> None:
    with pytest.raises(AsdRayError, match="infer_limit needs the costs of the candidates"):
        build(candidates(), Recipe("r", "best"), replace(QUICK, infer_limit=0.1))


@pytest.fixture
def stored(ledger: Ledger) -> dict[str, Any]:
    [ensemble] = chosen_of(ledger, 15, timer_of(ledger, **ALL), ["best_single"]).ensembles
    return ensemble.to_json()


def test_a_file_without_a_limit_is_as_before(stored: dict[str, Any], ledger: Ledger) -> None:
    [free] = choose(ledger, "fan", ["best_single"], QUICK).ensembles
    assert set(stored) - set(free.to_json()) == {"inference"}
    assert set(stored["wishes"]) - set(free.to_json()["wishes"]) == {"infer_limit"}
    assert Ensemble.from_json(stored).to_json() == stored


def _without_limit(stored: dict[str, Any]) -> None:
    del stored["wishes"]["infer_limit"]


def _without_times(stored: dict[str, Any]) -> None:
    del stored["inference"]


def _without_a_candidate(stored: dict[str, Any]) -> None:
    stored["inference"]["costs"]["detectors"].popitem()


def _without_a_front_end(stored: dict[str, Any]) -> None:
    stored["inference"]["costs"]["features"].clear()


def _negative(stored: dict[str, Any]) -> None:
    stored["inference"]["seconds"] = -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_limit, "inference must be there if wishes has infer_limit, and only then"),
        (_without_times, "inference must be there if wishes has infer_limit, and only then"),
        (_without_a_candidate, "inference/costs lacks the candidate t"),
        (_without_a_front_end, "names mel, which inference/costs/features lacks"),
        (_negative, "inference/seconds must be a number from 0"),
    ],
)
def test_a_file_whose_times_do_not_fit_is_refused(
    stored: dict[str, Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    change(stored)
    with pytest.raises(AsdRayError, match=message):
        Ensemble.from_json(stored)
