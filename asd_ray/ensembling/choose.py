"""Choose the ensembles of a machine and its final one, as `asd-ray ensemble` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.ensembling import protocols
from asd_ray.ensembling.build import Builder
from asd_ray.ensembling.candidates import Candidates, only_test_scores
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.costs import Timer
from asd_ray.ensembling.final import Comparison, Skipped, store
from asd_ray.ensembling.on_faults import fault_values_of
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.recipe_file import find_recipe, is_file_name, shipped_recipes
from asd_ray.ensembling.requirements import CannotFollow
from asd_ray.ensembling.unmeasured import lack
from asd_ray.errors import AsdRayError
from asd_ray.metrics import hmean

if TYPE_CHECKING:
    from asd_ray.ensembling.result import Ensemble
    from asd_ray.ledger import Ledger


@dataclass(frozen=True)
class RecipeWay:
    """A recipe that combines in one way, and its file if it is a user's own."""

    recipe: Recipe
    file: str = ""

    def __str__(self) -> str:
        return self.recipe.name


Named = str | Path | Recipe | RecipeWay  # a shipped recipe's name, a file, or a recipe that was read


def find_ways(recipes: Sequence[Named] | None = None) -> list[RecipeWay]:
    """Every way to combine of these recipes, by default of all shipped ones; an AsdRayError where two have one name."""
    ways: dict[str, RecipeWay] = {}
    for named in shipped_recipes() if recipes is None else recipes:
        for way in _ways(named):
            name = way.recipe.name
            if name.casefold() in ways:
                source = named.name if isinstance(named, Recipe) else named
                raise AsdRayError(f"{source}: two recipes would be called {name}; name it once, or rename its file")
            ways[name.casefold()] = way
    return list(ways.values())


def _ways(named: Named) -> list[RecipeWay]:
    if isinstance(named, RecipeWay):
        return [named]
    if isinstance(named, Recipe):
        return [RecipeWay(way) for way in named.ways()]
    file = str(named) if is_file_name(str(named)) else ""
    return [RecipeWay(way, file) for way in find_recipe(str(named)).ways()]


def choose(
    ledger: Ledger,
    machine: str,
    recipes: Sequence[Named] | None = None,
    config: EnsembleConfig | None = None,
    *,
    by: str | None = None,
    standardise: str | None = None,
    drop: bool = False,
    final: bool = False,
    timer: Timer | None = None,
    followed: Callable[[int], None] = lambda recipes: None,
) -> Comparison:
    """Follow the recipes, write every ensemble, and write the best of these and of the stored ones as the final one.

    Without `recipes` all shipped ones are followed, and those that the candidates do not allow are `skipped`; so are
    recipes that choose by labels, if there are no anomalies or if the search was normal-only. A recipe that is named
    and cannot be followed is an error. `by` is the split whose scores standardise and `standardise` the unit, such as
    "rank", both in place of each recipe's own; a machine that has only test scores is standardised by these. `drop`
    leaves out candidates that lack test clips, which are an error otherwise. `final` makes the best of `recipes` the
    final one, even if a stored one is better. `timer` measures the candidates for `infer_limit` of `config`; see
    `asd_ray.deploy.costs`. `followed` gets how many recipes are done.
    """
    check_final(recipes, final)
    by_test = by is None and only_test_scores(ledger, machine)
    split = "test" if by_test else by
    builder = Builder(ledger, machine, config or EnsembleConfig(), drop=drop, timer=timer)
    ensembles, skipped = [], []
    for at, way in enumerate(find_ways(recipes)):
        followed(at)
        recipe = replace(way.recipe, by=split) if split else way.recipe
        if standardise is not None:
            recipe = replace(recipe, standardise=replace(recipe.standardise, how=standardise))
        try:
            if recipes is None and recipe.uses_labels and (why := _against_labels(builder.candidates(recipe.by))):
                reason = f"recipe {recipe.stem} chooses by labels, and {why}"
                skipped.append(Skipped(recipe.stem, reason, reason, why))
                continue
            ensembles.append(replace(builder(recipe), recipe_source=way.file))
        except AsdRayError as error:
            if recipes is not None:
                raise
            skipped.append(_skipped(machine, recipe, error))
    if not ensembles:
        reasons = "\n  ".join(dict.fromkeys(recipe.reason for recipe in skipped))
        raise AsdRayError(f"{machine}: no recipe can be followed:\n  {reasons}")
    comparison = store(ledger, builder, ensembles, every=recipes is None, by_user=final)
    own = builder.candidates(ensembles[0].recipe.by)  # those of a final ensemble that stays may be lost
    without_labels = not comparison.final.metrics or own.normal_only
    return replace(
        comparison,
        skipped=tuple(dict.fromkeys(skipped)),
        standardised_by_test=by_test,
        on_faults=fault_values_of(ledger, own, comparison.ensembles) if without_labels else {},
    )


def check_final(recipes: Sequence[Named] | None, final: bool) -> None:
    if final and recipes is None:
        raise AsdRayError("final makes the best of the named recipes the final ensemble; name a recipe")


def _against_labels(candidates: Candidates) -> str:
    """Why recipes that choose by labels are not followed unless they are named; "" if they are."""
    if not candidates.labelled:
        return lack(candidates.clips)
    if candidates.normal_only:
        return "the search was normal-only; to use labels from here on, name such a recipe: --recipe NAME"
    return ""


def _skipped(machine: str, recipe: Recipe, error: AsdRayError) -> Skipped:
    reason = str(error).removeprefix(f"{machine}: ")
    return Skipped(recipe.stem, reason, error.everywhere if isinstance(error, CannotFollow) else reason)


def over_machines(finals: Mapping[str, Ensemble]) -> dict[str, float]:
    """The harmonic mean over machines under each protocol that measured all of the final ensembles."""
    means = {}
    for protocol in protocols.names():
        metrics = [final.metrics.get(protocol) for final in finals.values()]
        values = [metric.value for metric in metrics if metric]
        if values and len(values) == len(metrics):
            means[protocol] = float(hmean(values))
    return means


def skipped_notes(comparisons: Sequence[Comparison]) -> list[str]:
    """One line for each reason why recipes could not be followed, for all machines together."""
    machines_of: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    for comparison in comparisons:
        for note, reason in _notes_on_skipped(comparison).items():
            machines_of.setdefault(note, []).append(comparison.machine)
            reasons[note] = reason
    return [
        reasons[note]
        if len(comparisons) == 1
        else note
        if len(machines) == len(comparisons)
        else f"{', '.join(machines)}: {note}"
        for note, machines in machines_of.items()
    ]


def _notes_on_skipped(comparison: Comparison) -> dict[str, str]:
    """The notes on one machine, by the form that can be for all machines. Recipes that need labels share one."""
    by_labels: dict[str, list[str]] = {}
    for skipped in comparison.skipped:
        if skipped.by_labels:
            by_labels.setdefault(skipped.by_labels, []).append(skipped.recipe)
    shared = [
        f"not followed, as they choose by labels: {', '.join(dict.fromkeys(names))} ({why})"
        for why, names in by_labels.items()
    ]
    alone = {skipped.everywhere: skipped.reason for skipped in comparison.skipped if not skipped.by_labels}
    return dict(zip(shared, shared, strict=True)) | alone
