"""Measure every recipe in every unit under crossval: a table in Markdown.

    python -m benchmarks.bench_recipes RUN[:MACHINE,MACHINE] … [--recipe NAME] [--standardise HOW] [--repeats 3]

A value is the harmonic mean over machines of the crossval values, each the harmonic mean of the AUC and pAUC cells of
its year; members are chosen inside the folds only. The row `nested` has the number of the whole procedure: in each
fold, the other clips choose one of these recipes and its members. A run that has only test scores, such as one of
imported systems, is standardised by these. `python -m benchmarks recipes` measures the speed instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from asd_ray.ensembling.build import without_constants
from asd_ray.ensembling.candidates import Candidates, load, only_test_scores
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols import measure
from asd_ray.ensembling.protocols.nested import Nested
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.recipe_file import find_recipe
from asd_ray.ensembling.standardise import HOW
from asd_ray.ledger import Ledger
from asd_ray.metrics import hmean
from benchmarks import _timing
from benchmarks.bench_ensembles import made_up_candidates

RECIPES = ("best_single", "best_per_family", "top_k", "greedy", "smooth_weights")
UNITS = tuple(how for how in HOW if how != "none")
CANDIDATES, CLIPS = 500, 1200

Values = Mapping[tuple[str, str], float]  # recipe, unit -> value


def values_of(
    runs: Mapping[str, Sequence[Candidates]], names: Sequence[str], units: Sequence[str], config: EnsembleConfig
) -> dict[str, Values]:
    """The values of every run."""
    ways = [way for name in names for way in find_recipe(name).ways()]
    return {
        run: {
            (name, unit): float(hmean([values[name] for values in by_machine]))
            for unit in units
            for by_machine in [[_values(machine, ways, unit, config) for machine in machines]]
            for name in by_machine[0]
        }
        for run, machines in runs.items()
    }


def _values(candidates: Candidates, ways: Sequence[Recipe], unit: str, config: EnsembleConfig) -> dict[str, float]:
    """The value of each recipe on one machine, and that of choosing among them."""
    entries = [_entry(candidates, way, unit, config) for way in ways]
    values = {way.name: measure(*entry, "crossval", config).value for way, entry in zip(ways, entries, strict=True)}
    if Nested().possible(entries, config):
        values[Nested.name] = Nested().measure(entries, config).value
    return values


def _entry(candidates: Candidates, recipe: Recipe, unit: str, config: EnsembleConfig) -> tuple[EvaluationSet, Recipe]:
    standardise = replace(recipe.standardise, how=unit)
    own = replace(recipe, by=candidates.by, standardise=standardise)
    return EvaluationSet.of(candidates, standardise, config.maximise), own


def table(found: Mapping[str, Values], units: Sequence[str]) -> str:
    """Recipes by units, one group of columns for each run; the best recipe of each run is bold."""
    head = ["recipe", *(f"{run}: {unit}" for run in found for unit in units)]
    lines = [f"| {' | '.join(head)} |", f"|---{'|---:' * (len(head) - 1)}|"]
    names = list(dict.fromkeys(name for values in found.values() for name, _ in values))
    for name in names:
        cells = []
        for values in found.values():
            for unit in units:
                shown = f"{values[name, unit]:.4f}"
                best = max(value for (other, _), value in values.items() if other != Nested.name)
                cells.append(f"**{shown}**" if values[name, unit] == best else shown)
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def machines_of(runs: Sequence[str]) -> Iterator[tuple[str, list[Candidates]]]:
    """The candidates of the machines of each run. A candidate that lacks test clips is left out."""
    for place in runs:
        path, _, names = place.partition(":")
        ledger = Ledger(path).require()
        machines = names.split(",") if names else sorted({record.machine for record in ledger.records()})
        by = {machine: "test" if only_test_scores(ledger, machine) else "held_out" for machine in machines}
        own = [without_constants(load(ledger, machine, by[machine], drop=True)) for machine in machines]
        yield path.rstrip("/").rpartition("/")[2], own


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN[:MACHINE,…]")
    parser.add_argument("--recipe", action="append", help="a recipe's name or file; may be repeated")
    parser.add_argument("--standardise", action="append", choices=HOW, help="a unit; may be repeated")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of crossval (default: 3)")
    args = parser.parse_args(argv)
    runs = dict(machines_of(args.runs))
    for run, machines in runs.items():
        for each in machines:
            clips = f"{len(each.clips)} test clips, {len(each.normal)} clips that standardise"
            print(f"{run} {each.machine}: {len(each)} candidates, {clips}", file=sys.stderr)
    units = args.standardise or UNITS
    found = values_of(runs, args.recipe or RECIPES, units, EnsembleConfig(repeats=args.repeats))
    print(table(found, units))
    return 0


def run() -> Iterator[_timing.Row]:
    """The time of each recipe against greedy selection, in its own unit."""
    candidates = made_up_candidates(CANDIDATES, CLIPS, 0)
    ways = {name: find_recipe(name).ways()[0] for name in RECIPES}
    config = EnsembleConfig()
    spent = {
        name: _timing.seconds(
            lambda way=way: measure(*_entry(candidates, way, way.standardise.how, config), "crossval", config)  # type: ignore[misc]
        )
        for name, way in ways.items()
    }
    for name in RECIPES:
        what = f"crossval 5 × 3 of {name}, {CANDIDATES} candidates × {CLIPS:,} clips"
        yield what, "greedy", spent["greedy"] / spent[name], f"{spent[name]:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
