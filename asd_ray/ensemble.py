"""``asd-ray ensemble``: choose and combine the best detectors of each machine, and say what that is worth."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray import _cli
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # numpy, pandas and rich are imported where they are used, so that --help answers at once
    from asd_ray.ensembling import Ensemble, Recipe, Wishes
    from asd_ray.ledger import Ledger

EXAMPLES = (
    "asd-ray ensemble fan --run runs/demo",
    "asd-ray ensemble --run runs/demo                      (every machine of the run, every recipe)",
    "asd-ray ensemble fan --run runs/demo --recipe greedy --recipe mine.toml --maximise auc",
    "asd-ray ensemble --verify runs/demo/ensembles/fan/final.json --run runs/demo",
)
TOLERANCE = 1e-9


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser(
        "ensemble",
        "Choose and combine the best detectors of each machine by recipes, measure every ensemble under the protocols\n"
        "oracle and crossval, and write the best under crossval as RUN/ensembles/MACHINE/final.json.",
        EXAMPLES,
    )
    add = made.add_argument
    add("machines", nargs="*", metavar="MACHINE", help="machines of the run (default: all)")
    add("--run", metavar="RUN", help="folder or s3://… of results (default: the one folder in runs/)")
    add(
        "--recipe",
        action="append",
        metavar="NAME",
        help="a shipped recipe or a file mine.toml; may be repeated (default: all)",
    )
    add("--maximise", choices=("hmean", "auc", "pauc"), default="hmean", help="harmonic mean of both (default), or one")
    add("--by", choices=("held_out", "train", "test"), help="whose scores standardise (default: what a recipe says)")
    add("--folds", type=_cli.positive, default=5, help="of crossval (default 5)")
    add("--repeats", type=_cli.positive, default=3, help="of crossval (default 3)")
    add("--seed", type=int, default=0, help="of folds, bags and resampled clips (default 0)")
    add("--threshold", choices=("gamma", "empirical"), default="gamma", help="how it is found of normal scores")
    add("--percentile", type=float, default=90.0, help="of normal scores that decides (default 90)")
    add(
        "--missing",
        choices=("raise", "drop"),
        default="raise",
        help="what to do with a candidate that lacks test clips: stop and name it (default), or leave it out",
    )
    add("--json", action="store_true", help="print the best ensemble of each machine as JSON, and nothing else")
    add("--verify", metavar="FILE", help="rebuild an ensemble file's numbers from the ledger, and do nothing else")
    return _cli.run(made, _ensemble, argv)


def _ensemble(args: argparse.Namespace) -> int:
    from asd_ray.ensembling import Wishes, read
    from asd_ray.ensembling.ensemble_file import run_of
    from asd_ray.ledger import Ledger

    if args.verify:
        stored = read(args.verify)
        return _verify(Ledger(args.run or run_of(args.verify)).require(), stored)
    ledger = Ledger(args.run or only_run()).require()
    machines = args.machines or sorted({record.machine for record in ledger.records()})
    for machine in machines:
        ledger.check_known(machine, None)
    wishes = Wishes(
        maximise=args.maximise,
        folds=args.folds,
        repeats=args.repeats,
        seed=args.seed,
        threshold=args.threshold,
        percentile=args.percentile,
    )
    recipes = _recipes(args)
    finals, failed = {}, []
    for machine in machines:
        try:
            made, notes = _of_machine(ledger, machine, recipes, wishes, args)
        except AsdRayError as error:  # the other machines have theirs all the same
            failed.append(str(error))
            continue
        finals[machine] = made[0]
        if not args.json:
            _print_machine(machine, made, notes)
    if args.json:
        print(json.dumps({"format": "asd_ray-ensembles/1", "machines": finals}, indent=1, allow_nan=False))
    else:
        _print_all(ledger, finals)
    if failed:
        raise AsdRayError("\n".join(failed))
    return 0


def only_run() -> str:
    """The one folder in runs/; several are named."""
    found = sorted(path for path in Path("runs").glob("*/") if (path / "ledger").is_dir())
    if len(found) == 1:
        return str(found[0])
    told = f"runs/ holds {', '.join(path.name for path in found)}" if found else "there is no run in runs/ here"
    raise AsdRayError(f"{told}; name one: --run runs/NAME" + ("" if found else ", or search first: asd-ray search"))


def _recipes(args: argparse.Namespace) -> list[tuple[Recipe, str]]:
    """Every way of every recipe, and the file of a user's own."""
    from asd_ray._names import check_name
    from asd_ray.ensembling import find_recipe, shipped_recipes

    found = [(find_recipe(name), name) for name in args.recipe or shipped_recipes()]
    own = [(way, name if name.endswith(".toml") else "") for recipe, name in found for way in recipe.ways()]
    ways = [way for way, _ in own]
    names = [way.name for way in ways]
    twice = sorted({name for name in names if names.count(name) > 1 or name == "final"})
    if twice:
        raise AsdRayError(f"two recipes, or one and the chosen one, would be called {twice[0]}; rename its file")
    for way in ways:
        check_name("recipe", way.name)
    return [(replace(way, by=args.by) if args.by else way, source) for way, source in own]


def _of_machine(
    ledger: Ledger, machine: str, recipes: Sequence[tuple[Recipe, str]], wishes: Wishes, args: argparse.Namespace
) -> tuple[list[Ensemble], list[str]]:
    """Every ensemble of a machine, the best under crossval first, written; and why recipes were left out."""
    from asd_ray.ensembling import Candidates, load, write
    from asd_ray.ensembling.build import best_single, build_with_gains, mark_best, measures, rank, without_constants
    from asd_ray.ensembling.protocols import field_of

    loaded: dict[str, Candidates] = {}
    singles: dict[Any, Any] = {}
    made, notes = [], []
    for recipe, source in recipes:
        try:
            if recipe.by not in loaded:
                loaded[recipe.by] = without_constants(load(ledger, machine, recipe.by, drop=args.missing == "drop"))
            candidates, key = loaded[recipe.by], (recipe.by, recipe.standardise)
            if key not in singles and candidates.labelled:
                field = field_of(candidates, recipe.standardise, wishes.maximise)
                singles[key] = measures(field, best_single(recipe), wishes)
            ensemble, gains = build_with_gains(candidates, recipe, wishes, singles.get(key))
            made.append((ensemble | {"recipe_source": source}, gains))
        except AsdRayError as error:
            if args.recipe:
                raise
            notes.append(str(error).removeprefix(f"{machine}: "))
    if not made:
        raise AsdRayError(f"{machine}: no recipe can be followed:\n  " + "\n  ".join(dict.fromkeys(notes)))
    best = mark_best(made)
    ensembles = [best, *(each for each, _ in sorted(made, key=lambda pair: rank(pair[0])) if each is not best)]
    for each in ensembles:
        write(ledger, each)
    write(ledger, best, final=True)
    return ensembles, notes


def _verify(ledger: Ledger, stored: Ensemble) -> int:
    from asd_ray.ensembling import verify

    differences = verify(ledger, stored)
    place, worst = max(differences.items(), key=lambda item: item[1])
    told = f"{len(differences)} numbers rebuilt from {ledger.layout.root}; the worst differs by {worst:.1e} ({place})"
    if not worst <= TOLERANCE:
        raise AsdRayError(f"{stored['machine']}: {told}, more than {TOLERANCE:.0e}: the file or the ledger was changed")
    print(f"{stored['machine']} {stored['recipe']['name']}: {told}")
    return 0


def _print_machine(machine: str, made: Sequence[Ensemble], notes: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from asd_ray.ledger.show import console

    out = console()
    first = made[0]
    tried = first["candidates"]
    title = f"{machine}: {tried['tried']} candidates of {len(tried['families'])} families; {_measure_of(first)}"
    table = Table(title=title, title_justify="left")
    for name in ("recipe", "members", "crossval", "95 %", "oracle", "gap", "gain over best single", "95 %"):
        table.add_column(name, justify="left" if name == "recipe" else "right", no_wrap=True)
    for each in made:
        table.add_row(*_row(each))
    out.print(table)
    for member in first["members"]:
        out.print(Text(f"  {member['weight']:g} × {member['name']} {member['variant']}"))
    for note in dict.fromkeys([*(note for each in made for note in each["notes"]), *notes]):
        out.print(Text(f"  note: {note}"), style="dim")


def _measure_of(ensemble: Ensemble) -> str:
    what = {"hmean": "harmonic mean of AUC and pAUC", "auc": "AUC", "pauc": "pAUC"}[ensemble["wishes"]["maximise"]]
    return f"{what} of the test clips"


def _row(ensemble: Ensemble) -> list[str]:
    metrics, name = ensemble["metrics"], ensemble["recipe"]["name"]
    if not metrics:
        return [name, str(len(ensemble["members"])), *["–"] * 6]
    honest = metrics.get("crossval") or metrics.get("label_free")
    oracle = metrics.get("oracle")
    cells = [name + (" (label_free)" if "label_free" in metrics else ""), str(len(ensemble["members"]))]
    cells += [f"{honest['value']:.4f}", _span(honest["interval"])] if honest else ["–", "–"]
    cells.append(f"{oracle['value']:.4f}" if oracle else "–")
    cells.append(f"{metrics['gap']:+.4f}" if "gap" in metrics else "–")
    gain = (honest or oracle or {})["gain"]
    return [*cells, f"{gain['value']:+.4f}", _span(gain["interval"], signed=True)]


def _span(interval: Sequence[float], *, signed: bool = False) -> str:
    return " … ".join(f"{value:+.3f}" if signed else f"{value:.3f}" for value in interval)


def _print_all(ledger: Ledger, finals: Mapping[str, Ensemble]) -> None:
    from asd_ray.ledger.show import console
    from asd_ray.metrics import hmean

    out = console()
    for machine, each in finals.items():
        path = ledger.layout.url(ledger.layout.ensemble_file(machine, "final"))
        of, gain = each["tried"], each["metrics"].get("crossval", {}).get("gain", {})
        chosen = f"the best of {of['recipes']} recipes by {of['chosen_by']}" if each["metrics"] else "without metrics"
        surely = "; better than the best single, the best of so many allowed for" if gain.get("better_as_best") else ""
        out.print(f"{machine}: {each['recipe']['name']}, {chosen}{surely} → {path}", soft_wrap=True)
    for protocol in ("crossval", "oracle"):
        values = [each["metrics"].get(protocol, {}).get("value") for each in finals.values()]
        if len(values) > 1 and None not in values:
            chosen = ", each the best of its recipes by this very number" if protocol == "crossval" else ""
            print(f"{protocol}: harmonic mean over {len(values)} machines {hmean(values):.4f}{chosen}")
    if any(each["metrics"] for each in finals.values()):
        print("crossval: chosen on folds of the test clips, measured on the fold left out.")
        print("oracle: chosen with the labels of the very clips it is measured on; an upper bound and no forecast.")


if __name__ == "__main__":
    sys.exit(main())
