"""cross_machine: the choice that the labels of other machines make for this one, and its number on this one.

What carries over from the other machines, and nothing else:

1. The recipe. Of the recipes whose ensembles are stored for this machine and for every other one, the one with the
   best mean value on the other machines (the value by which their final ensembles were chosen). This is also how a
   criterion carries over: a recipe that chooses by a criterion is one of them.
2. The weights. A recipe that uses no label is followed on this machine as it is. Of one that uses labels, each other
   machine's ensemble has members; a member is a setting: family, variant and parameters. The weight of a setting is its
   share of the ensemble's weights, averaged over the other machines. On this machine the weight goes to the trials of
   the same setting, or else to those of the paper's setting of the same family and variant; if there are neither, it
   is dropped.
3. The best single detector, with which the ensemble is compared: the setting with the best mean value on the other
   machines, of those that this machine and all others have.

This machine's scores are standardised by its own normal clips. Its labels choose none of these. But a search by labels
chose which settings were tried on it, and so which candidates a recipe without labels finds. Such an ensemble has a
note on that. Trials whose epoch was chosen by test labels (``--checkpoint oracle``) are not taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray.ensembling import protocols
from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.ensemble_file import FINAL, intact, stamped, stored, write
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.final import Comparison
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.of_final import with_measurement
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.trust import with_warnings
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from asd_ray.ensembling.result import Ensemble
    from asd_ray.ledger import Ledger

NOTE = "cross_machine: "  # start of the note on what was chosen
SHOWN = 3  # members in that note
Setting = tuple[str, str, str]  # family, variant, parameters as JSON


@dataclass(frozen=True)
class MachineChoice:
    """What one machine's labels chose: its compared ensembles, and the value of each setting alone."""

    machine: str
    maximise: str
    ensembles: Mapping[str, Ensemble]  # recipe's name -> ensemble
    values: Mapping[Setting, float]  # mean over trials of one setting

    @classmethod
    def of(cls, candidates: Candidates, ensembles: Mapping[str, Ensemble]) -> MachineChoice:
        """`ensembles` are those of the machine, its final one among them."""
        final = ensembles[FINAL]
        evaluation = EvaluationSet.of(candidates, final.recipe.standardise, final.config.maximise)
        by_setting: dict[Setting, list[float]] = {}
        for setting, value in zip(settings_of(candidates), evaluation.scorer(evaluation.scores), strict=True):
            by_setting.setdefault(setting, []).append(float(value))
        means = {setting: float(np.mean(values)) for setting, values in by_setting.items()}
        compared = {name: ensemble for name, ensemble in ensembles.items() if name != FINAL}
        return cls(candidates.machine, final.config.maximise, compared, means)


def setting_of(family: str, variant: str, params: Mapping[str, Any]) -> Setting:
    return family, variant, json.dumps(dict(params), sort_keys=True)


def settings_of(candidates: Candidates) -> list[Setting]:
    table = candidates.table
    return list(map(setting_of, table["family"], table["variant"], table["params"]))


def best_recipe(own: Mapping[str, Ensemble], others: Sequence[MachineChoice]) -> Ensemble | None:
    """This machine's ensemble of the recipe with the best mean value on the others; the first of equals.

    None if no recipe has an ensemble on all machines.
    """
    means: dict[str, float] = {}
    for name, ensemble in sorted(own.items()):
        alike = [other.ensembles[name] for other in others if name in other.ensembles]
        if len(alike) == len(others) and all(_same(other.recipe, ensemble.recipe) for other in alike):
            means[name] = float(np.mean([_value(other) for other in alike]))
    return own[max(means, key=means.__getitem__)] if means else None


def carried_over(recipe: Recipe, others: Sequence[MachineChoice], candidates: Candidates) -> Selection | None:
    """The members and weights of a recipe that uses labels, from other machines; None if no member carries over."""
    shares: dict[Setting, float] = {}
    for other in others:
        members = other.ensembles[recipe.name].members
        total = sum(member.weight for member in members)
        for member in members:
            setting = setting_of(member.family, member.variant, member.params)
            shares[setting] = shares.get(setting, 0.0) + member.weight / total / len(others)
    rows_of, papers = _rows(candidates)
    weights: dict[int, float] = {}
    for setting, share in shares.items():
        rows = rows_of.get(setting) or papers.get(setting[:2], [])
        for row in rows:
            weights[row] = weights.get(row, 0.0) + share / len(rows)
    return Selection(tuple(weights), tuple(weights.values())) if weights else None


def best_setting(others: Sequence[MachineChoice], candidates: Candidates) -> Selection | None:
    """The candidate with the best setting by the other machines; None if no setting is on all machines."""
    rows_of, _ = _rows(candidates)
    means = {
        setting: float(np.mean([other.values[setting] for other in others]))
        for setting in rows_of
        if all(setting in other.values for other in others)
    }
    return Selection((rows_of[max(means, key=means.__getitem__)][0],), (1.0,)) if means else None


def _rows(candidates: Candidates) -> tuple[dict[Setting, list[int]], dict[tuple[str, str], list[int]]]:
    """The rows of each setting, and of each paper's setting by family and variant."""
    rows: dict[Setting, list[int]] = {}
    papers: dict[tuple[str, str], list[int]] = {}
    paper, peeked = candidates.table["paper"].to_numpy(bool), candidates.table["peeked"].to_numpy(bool)
    for row, setting in enumerate(settings_of(candidates)):
        if not peeked[row]:
            rows.setdefault(setting, []).append(row)
            if paper[row]:
                papers.setdefault(setting[:2], []).append(row)
    return rows, papers


def _same(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes are one, whatever split of their machine standardises."""
    return replace(one, by="test") == replace(other, by="test")


def _value(ensemble: Ensemble) -> float:
    """The value by which ensembles of one machine are compared."""
    name = protocols.choice(ensemble.metrics)
    assert name is not None  # only measured ensembles are kept
    return ensemble.metrics[name].value


def measured(
    candidates: Candidates, final: Ensemble, best: Ensemble, others: Sequence[MachineChoice]
) -> Ensemble | None:
    """The final ensemble of a machine with its number under cross_machine; None if no member carries over.

    `best` is this machine's ensemble of the `best_recipe`, and `candidates` are those that it was chosen from.
    """
    recipe = best.recipe
    if recipe.uses_labels:
        chosen = carried_over(recipe, others, candidates)
    else:
        place = {pair: row for row, pair in enumerate(candidates.pairs)}
        members = tuple(place[member.pair] for member in best.members)
        chosen = Selection(members, tuple(member.weight for member in best.members))
    single = best_setting(others, candidates)
    if chosen is None or single is None:
        return None
    evaluation = EvaluationSet.of(candidates, recipe.standardise, final.config.maximise)
    measurement, against = (protocols.CROSS_MACHINE.measure(evaluation, recipe, each) for each in (chosen, single))
    names = ", ".join(candidates.label(row) for row in chosen.members[:SHOWN])
    more = f" and {len(chosen.members) - SHOWN} more" if len(chosen.members) > SHOWN else ""
    by = ", ".join(dict.fromkeys(other.machine for other in others))
    note = f"{NOTE}recipe {recipe.name} with {names}{more}, chosen by the labels of {by}"
    final = with_measurement(final, evaluation, measurement, {measurement.protocol: against}, final.config)
    return replace(final, notes=(*(one for one in final.notes if not one.startswith(NOTE)), note))


def across_machines(
    ledger: Ledger, comparisons: Sequence[Comparison], others: Sequence[Ledger] = ()
) -> list[Comparison]:
    """Measure the final ensembles under cross_machine and write them again. Called after all of them were chosen.

    The other machines are those of the run and of the runs `others` that have labelled ensembles of the same measure; a
    machine of the same name is never among them. Nothing is measured where there is none. Ensembles of a limited time
    are left as they are, because the times of one machine's trials say nothing of another's.
    """
    own, notes = _compared(ledger), list[str]()
    wanted = [each.machine for each in comparisons if each.machine in own and not _is_limited(own[each.machine][FINAL])]
    learned = [choice for run in (ledger, *others) for choice in _choices(run, notes)] if wanted else []
    measured_ones: list[Comparison] = []
    for comparison in comparisons:
        again, reason = None, ""
        if comparison.machine in wanted:
            again, reason = _measure(ledger, own[comparison.machine], learned)
            if others and again is None and not reason:
                reason = "no other machine of this run or of --others has ensembles that labels chose, of this measure"
        of_runs = notes if not measured_ones else []  # they are no machine's own, so the first of them has them
        reasons = (*comparison.notes, *of_runs, *([f"no cross_machine: {reason}"] if reason else []))
        measured_ones.append(replace(comparison, final=again or comparison.final, notes=reasons))
    return measured_ones


def _measure(
    ledger: Ledger, own: Mapping[str, Ensemble], learned: Sequence[MachineChoice]
) -> tuple[Ensemble | None, str]:
    """The final ensemble with its number, or the reason why there is none; neither if there is no other machine."""
    final = own[FINAL]
    others = [
        choice for choice in learned if choice.machine != final.machine and choice.maximise == final.config.maximise
    ]
    if not others:
        return None, ""
    best = best_recipe({name: ensemble for name, ensemble in own.items() if name != FINAL}, others)
    if best is None:
        return None, "no recipe has an ensemble on every other machine"
    try:
        candidates, own_candidates = (
            load(ledger, final.machine, each.recipe.by, only=each.candidates.all, drop=True) for each in (best, final)
        )
    except AsdRayError as error:
        return None, str(error)
    again = measured(candidates, final, best, others)
    if again is None:
        return None, "no setting of the other machines is among this machine's candidates"
    again = with_warnings(again, own_candidates)
    write(ledger, again, final=True)
    return stamped(again), ""


def _is_limited(ensemble: Ensemble) -> bool:
    return ensemble.config.infer_limit is not None


def _compared(ledger: Ledger) -> dict[str, dict[str, Ensemble]]:
    """machine -> its final ensemble, if that was measured, and the ensembles that it was compared with.

    Files that were changed after they were written are left out.
    """
    by_machine: dict[str, dict[str, Ensemble]] = {}
    for machine, ensembles in stored(ledger).ensembles.items():
        final = ensembles.get(FINAL)
        if final is None or not final.metrics or intact(final) is False:
            continue
        tried = final.tried.names if final.tried else None
        own = {
            name: each
            for name, each in ensembles.items()
            if name != FINAL and name in (tried or (final.name,)) and each.metrics and intact(each) is not False
        }
        by_machine[machine] = {name: each for name, each in own.items() if each.config == final.config}
        by_machine[machine][FINAL] = final
    return by_machine


def _choices(ledger: Ledger, notes: list[str]) -> Iterator[MachineChoice]:
    """The choice of each machine of a run whose candidates can still be read."""
    for machine, ensembles in _compared(ledger).items():
        final = ensembles[FINAL]
        try:
            candidates = load(ledger, machine, final.recipe.by, only=final.candidates.all, drop=True)
            yield MachineChoice.of(candidates, ensembles)
        except AsdRayError as error:
            notes.append(f"cross_machine is measured without {machine} of {ledger.layout.root}: {error}")
