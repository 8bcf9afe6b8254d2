"""``asd-ray ensemble``: choose and combine the best detectors of each machine, and measure the ensembles."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._terminal import say, say_json, typed
from asd_ray.cli import _arguments as _cli
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # numpy, pandas and rich are imported where they are used, so that --help answers at once
    from asd_ray.ensembling import Comparison, Ensemble

EXAMPLES = (
    "asd-ray ensemble fan --run runs/demo",
    "asd-ray ensemble --run runs/demo                      (every machine of the run, every recipe)",
    "asd-ray ensemble fan --run runs/demo --recipe greedy --recipe mine.toml --maximise auc",
    "asd-ray ensemble --verify runs/demo/ensembles/fan/final.json --run runs/demo",
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = _cli.parser(
        "ensemble",
        "Choose and combine the best detectors of each machine by recipes, and measure every ensemble under each\n"
        "protocol that the clips allow. The best forecast, of the new ensembles and of those stored for the same\n"
        "candidates and options, is written as RUN/ensembles/MACHINE/final.json.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("machines", nargs="*", metavar="MACHINE", help="machines of the run (default: all)")
    add("--run", metavar="RUN", help="folder or s3://… of results (default: the one folder in runs/)")
    add(
        "--recipe",
        action="append",
        metavar="NAME",
        help="a shipped recipe or a file mine.toml; may be repeated (default: all)",
    )
    add(
        "--maximise",
        choices=("hmean", "auc", "pauc"),
        default="hmean",
        help="harmonic mean of AUC and pAUC (default), or one of them",
    )
    add(
        "--by",
        choices=("held_out", "train", "test"),
        help="clips whose scores standardise (default: those of the recipe; test where a run has no others)",
    )
    add("--folds", type=_cli.positive, default=5, help="of crossval (default 5)")
    add("--repeats", type=_cli.positive, default=3, help="of crossval (default 3)")
    add("--seed", type=int, default=0, help="of folds, bags and resampled clips (default 0)")
    add(
        "--threshold",
        choices=("gamma", "empirical"),
        default="gamma",
        help="how the threshold is found from the scores of normal clips",
    )
    add("--percentile", type=float, default=90.0, help="of the scores of normal clips, as the threshold (default 90)")
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
        help="only rebuild an ensemble file from the ledger; the exit status is 1 where they differ",
    )
    return _cli.run(parser, _ensemble, argv)


def _ensemble(args: argparse.Namespace) -> int:
    from asd_ray.ensembling import EnsembleConfig, choose, find_ways
    from asd_ray.ledger import Ledger

    if args.verify is not None:
        return _verify(args)
    if args.final and args.recipe is None:
        raise AsdRayError("--final makes the best of --recipe the final ensemble; name a recipe: --recipe NAME --final")
    ledger = Ledger(only_run() if args.run is None else args.run).require()
    machines = args.machines or sorted({record.machine for record in ledger.records()})
    for machine in machines:
        ledger.check_known(machine, None)
    config = EnsembleConfig(
        maximise=args.maximise,
        folds=args.folds,
        repeats=args.repeats,
        seed=args.seed,
        threshold=args.threshold,
        percentile=args.percentile,
    )
    recipes = None if args.recipe is None else find_ways(args.recipe)
    compared, failed = [], []
    for machine in machines:
        try:
            drop = args.missing == "drop"
            comparison = choose(ledger, machine, recipes, config, by=args.by, drop=drop, final=args.final)
        except AsdRayError as error:  # the other machines are chosen all the same
            failed.append(str(error))
            continue
        compared.append(comparison)
        if not args.json:
            _print_machine(comparison)
    if args.json:
        finals = {comparison.machine: comparison.final.to_json() for comparison in compared}
        say_json({"format": "asd_ray-ensembles/1", "machines": finals})
    elif compared:
        _print_all(compared)
        say(f"next: {typed('asd-ray', 'report', '--run', ledger.layout.root)}")
    if failed:
        raise AsdRayError("\n".join(failed))
    return 0


def only_run() -> str:
    """The run in runs/ if there is only one; an AsdRayError names several."""
    runs = sorted(path for path in Path("runs").glob("*/") if (path / "ledger").is_dir())
    if len(runs) == 1:
        return str(runs[0])
    what = f"runs/ holds {', '.join(path.name for path in runs)}" if runs else "there is no run in runs/ here"
    raise AsdRayError(f"{what}; name one: --run runs/NAME" + ("" if runs else ", or search first: asd-ray search"))


def _verify(args: argparse.Namespace) -> int:
    """0 where the ledger gives what the file holds, 1 where it does not; a file that is no ensemble is an error."""
    from asd_ray.ensembling import read, verify
    from asd_ray.ensembling.ensemble_file import run_of
    from asd_ray.ensembling.verifying import Verification
    from asd_ray.ledger import Ledger

    ensemble = read(args.verify)
    ledger = Ledger(run_of(args.verify) if args.run is None else args.run).require()
    verification = Verification(verify(ledger, ensemble))
    rebuilt = f"{len(verification.differences)} values rebuilt from {ledger.layout.root}"
    if not verification.reason:
        say(f"{ensemble.machine} {ensemble.name}: {rebuilt}; the worst differs by {verification.worst:.1e}")
        return 0
    command = typed("asd-ray", "ensemble", ensemble.machine, "--run", ledger.layout.root)
    cure = f"choose the ensemble again: {command}"
    say(f"asd-ray ensemble: {args.verify}: {rebuilt}: {verification.reason}; {cure}", error=True)
    return 1


def _print_machine(comparison: Comparison) -> None:
    from rich.table import Table

    from asd_ray._console import console

    out, best = console(), comparison.ensembles[0]
    tried = best.candidates
    title = f"{comparison.machine}: {tried.tried} candidates of {len(tried.families)} families; {_measure_of(best)}"
    table = Table(title=title, title_justify="left")
    for name in ("recipe", "members", "crossval", "95 %", "oracle", "gap", "gain over best single", "95 %"):
        table.add_column(name, justify="left" if name == "recipe" else "right", no_wrap=True)
    for ensemble in comparison.ensembles:
        table.add_row(*_row(ensemble))
    out.print(table)
    for member in best.members:
        out.print(f"  {member.weight:g} × {member.name} {member.variant}")
    notes = [note for ensemble in comparison.ensembles for note in ensemble.notes]
    for note in dict.fromkeys([*notes, *comparison.notes]):
        out.print(f"  note: {note}", style="dim")


def _measure_of(ensemble: Ensemble) -> str:
    what = {"hmean": "harmonic mean of AUC and pAUC", "auc": "AUC", "pauc": "pAUC"}[ensemble.config.maximise]
    return f"{what} of the test clips"


def _row(ensemble: Ensemble) -> list[str]:
    headline, gain, gap = ensemble.headline, ensemble.gain, ensemble.metrics.gap
    if headline is None or gain is None:
        return [ensemble.name, str(len(ensemble.members)), *["–"] * 6]
    forecast = [f"{headline.value:.4f}", _span(headline.interval)] if ensemble.forecasts else ["–", "–"]
    oracle = ensemble.metrics.get("oracle")
    return [
        ensemble.name + (" (label_free)" if ensemble.headline_protocol == "label_free" else ""),
        str(len(ensemble.members)),
        *forecast,
        f"{oracle.value:.4f}" if oracle else "–",
        "–" if gap is None else f"{gap:+.4f}",
        f"{gain.value:+.4f}",
        _span(gain.interval, signed=True),
    ]


def _span(interval: Sequence[float], *, signed: bool = False) -> str:
    return " … ".join(f"{value:+.3f}" if signed else f"{value:.3f}" for value in interval)


def _print_all(compared: Sequence[Comparison]) -> None:
    from asd_ray._console import console
    from asd_ray.ensembling import protocols
    from asd_ray.ensembling.choose import over_machines, skipped_notes

    for note in skipped_notes(compared):
        say(f"note: {note}")
    if by_test := [comparison.machine for comparison in compared if comparison.standardised_by_test]:
        say(f"note: only test scores are stored, so --by test was used (transductive): {', '.join(by_test)}")
    for comparison in compared:
        console().print(f"{comparison.machine}: {comparison.summary} → {comparison.path}", soft_wrap=True)
    finals = {comparison.machine: comparison.final for comparison in compared}
    means = over_machines(finals) if len(finals) > 1 else {}
    measured = [each for each in protocols.PROTOCOLS if any(each.name in final.metrics for final in finals.values())]
    for protocol in measured:
        if protocol.name in means:
            biased = protocol.forecasts and protocol.name in protocols.HEADLINE
            how = ", each the best of its recipes by this very number" if biased else ""
            say(f"{protocol.name}: harmonic mean over {len(finals)} machines {means[protocol.name]:.4f}{how}")
    for protocol in measured:
        say(f"{protocol.name}: {protocol.sentence}.")


if __name__ == "__main__":
    sys.exit(main())
