"""``asd-ray ensemble``: choose and combine the best detectors of each machine, and say what that is worth."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._terminal import say, say_json, typed
from asd_ray.cli._arguments import parser
from asd_ray.cli._run import run
from asd_ray.cli._types import positive
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # numpy, pandas and rich are imported where they are used, so that --help answers at once
    from asd_ray.ensembling import Ensemble, Recipe, Wishes
    from asd_ray.ensembling.final import Comparison
    from asd_ray.ledger import Ledger

EXAMPLES = (
    "asd-ray ensemble fan --run runs/demo",
    "asd-ray ensemble --run runs/demo                      (every machine of the run, every recipe)",
    "asd-ray ensemble fan --run runs/demo --recipe greedy --recipe mine.toml --maximise auc",
    "asd-ray ensemble --verify runs/demo/ensembles/fan/final.json --run runs/demo",
)


def main(argv: Sequence[str] | None = None) -> int:
    made = parser(
        "ensemble",
        "Choose and combine the best detectors of each machine by recipes, measure every ensemble under the protocols\n"
        "oracle and crossval, and write the best under crossval, of these and of those that are stored for the same\n"
        "candidates and options, as RUN/ensembles/MACHINE/final.json.",
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
    add("--folds", type=positive, default=5, help="of crossval (default 5)")
    add("--repeats", type=positive, default=3, help="of crossval (default 3)")
    add("--seed", type=int, default=0, help="of folds, bags and resampled clips (default 0)")
    add("--threshold", choices=("gamma", "empirical"), default="gamma", help="how it is found of normal scores")
    add("--percentile", type=float, default=90.0, help="of normal scores that decides (default 90)")
    add(
        "--missing",
        choices=("raise", "drop"),
        default="raise",
        help="what to do with a candidate that lacks test clips: stop and name it (default), or leave it out",
    )
    add("--final", action="store_true", help="make the best of --recipe the final ensemble, even if another is better")
    add("--json", action="store_true", help="print the best ensemble of each machine as JSON, and nothing else")
    add(
        "--verify",
        metavar="FILE",
        help="rebuild an ensemble file from the ledger, and do nothing else; exits 1 where they differ",
    )
    return run(made, _ensemble, argv)


def _ensemble(args: argparse.Namespace) -> int:
    from asd_ray.ensembling import Wishes
    from asd_ray.ledger import Ledger

    if args.verify is not None:
        return _verify(args)
    if args.final and args.recipe is None:
        raise AsdRayError("--final makes the best of --recipe the final ensemble; name a recipe: --recipe NAME --final")
    ledger = Ledger(only_run() if args.run is None else args.run).require()
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
    compared, failed = {}, []
    for machine in machines:
        try:
            compared[machine] = _of_machine(ledger, machine, recipes, wishes, args)
        except AsdRayError as error:  # the other machines have theirs all the same
            failed.append(str(error))
            continue
        if not args.json:
            _print_machine(machine, compared[machine])
    if args.json:
        finals = {machine: each.final for machine, each in compared.items()}
        say_json({"format": "asd_ray-ensembles/1", "machines": finals})
    else:
        _print_all(ledger, compared)
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
    from asd_ray.ensembling import find_recipe, shipped_recipes
    from asd_ray.ensembling.recipe import is_file_name

    own: dict[str, tuple[Recipe, str]] = {}
    for name in shipped_recipes() if args.recipe is None else args.recipe:
        for way in find_recipe(name).ways():
            if way.name.casefold() in own:
                raise AsdRayError(f"{name}: two recipes would be called {way.name}; name it once, or rename its file")
            own[way.name.casefold()] = way, name if is_file_name(name) else ""
    return [(replace(way, by=args.by) if args.by else way, source) for way, source in own.values()]


def _of_machine(
    ledger: Ledger, machine: str, recipes: Sequence[tuple[Recipe, str]], wishes: Wishes, args: argparse.Namespace
) -> Comparison:
    """Every ensemble of a machine, written, and the final one of these and of earlier ones."""
    from asd_ray.ensembling import Builder
    from asd_ray.ensembling.final import store

    builder = Builder(ledger, machine, wishes, drop=args.missing == "drop")
    made, notes = [], []
    for recipe, source in recipes:
        try:
            made.append(builder(recipe) | {"recipe_source": source})
        except AsdRayError as error:
            if args.recipe:
                raise
            notes.append(str(error).removeprefix(f"{machine}: "))
    if not made:
        raise AsdRayError(f"{machine}: no recipe can be followed:\n  " + "\n  ".join(dict.fromkeys(notes)))
    compared = store(ledger, builder, made, every=args.recipe is None, by_user=args.final)
    return replace(compared, notes=[*notes, *compared.notes])


def _verify(args: argparse.Namespace) -> int:
    """0 where the ledger gives what the file says, 1 where it does not; a file that is no ensemble is an error."""
    from asd_ray.ensembling import read, verify
    from asd_ray.ensembling.ensemble_file import CHECKSUM, run_of
    from asd_ray.ensembling.verifying import TOLERANCE
    from asd_ray.ledger import Ledger

    stored = read(args.verify)
    ledger = Ledger(run_of(args.verify) if args.run is None else args.run).require()
    differences = verify(ledger, stored)
    worst = sorted(differences.items(), key=lambda item: (item[0] == CHECKSUM, -item[1]))  # named last
    wrong = [place for place, far in worst if not far <= TOLERANCE]
    told = f"{len(differences)} values rebuilt from {ledger.layout.root}"
    if not wrong:
        say(f"{stored['machine']} {stored['recipe']['name']}: {told}; the worst differs by {worst[0][1]:.1e}")
        return 0
    machine, far = stored["machine"], worst[0][1]
    if wrong == [CHECKSUM]:
        why = "all agree, but the checksum does not: what cannot be rebuilt was changed (notes, recipe, wishes, tried)"
    else:
        by = "is not what the ledger gives" if far == math.inf else f"differs by {far:.1e}, more than {TOLERANCE:.0e}"
        why = f"{len(wrong)} differ; {wrong[0]} {by}: the file or the ledger was changed"
    cure = f"choose the ensemble again: {typed('asd-ray', 'ensemble', machine, '--run', ledger.layout.root)}"
    say(f"asd-ray ensemble: {args.verify}: {told}: {why}; {cure}", error=True)
    return 1


def _print_machine(machine: str, compared: Comparison) -> None:
    from rich.table import Table

    from asd_ray._console import console

    out, made = console(), compared.made
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
        out.print(f"  {member['weight']:g} × {member['name']} {member['variant']}")
    for note in dict.fromkeys([*(note for each in made for note in each["notes"]), *compared.notes]):
        out.print(f"  note: {note}", style="dim")


def _chosen(final: Ensemble) -> str:
    """How the final one was chosen. One of an early version does not say of how many."""
    tried = final.get("tried", {"recipes": 1, "chosen_by": "order"})
    if tried["chosen_by"] == "user":
        return f"chosen by a user (--final) of {tried['recipes']} recipes"
    return f"the best of {tried['recipes']} recipes by {tried['chosen_by']}" if final["metrics"] else "without metrics"


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


def _print_all(ledger: Ledger, compared: Mapping[str, Comparison]) -> None:
    from asd_ray._console import console
    from asd_ray.metrics import hmean

    out = console()
    finals = {machine: each.final for machine, each in compared.items()}
    for machine, each in finals.items():
        path = ledger.layout.url(ledger.layout.ensemble_file(machine, "final"))
        gain = each["metrics"].get("crossval", {}).get("gain", {})
        chosen = _chosen(each) + (
            f", {compared[machine].earlier} of them stored before" if compared[machine].earlier else ""
        )
        corrected = "; better than the best single detector (corrected for the number of recipes tried)"
        surely = corrected if gain.get("better_as_best") else ""
        out.print(f"{machine}: {each['recipe']['name']}, {chosen}{surely} → {path}", soft_wrap=True)
    for protocol in ("crossval", "oracle"):
        values = [each["metrics"].get(protocol, {}).get("value") for each in finals.values()]
        if len(values) > 1 and None not in values:
            chosen = ", each the best of its recipes by this very number" if protocol == "crossval" else ""
            say(f"{protocol}: harmonic mean over {len(values)} machines {hmean(values):.4f}{chosen}")
    if any(each["metrics"] for each in finals.values()):
        say("crossval: chosen on folds of the test clips, measured on the fold left out.")
        say("oracle: chosen with the labels of the very clips it is measured on; an upper bound and no forecast.")


if __name__ == "__main__":
    sys.exit(main())
