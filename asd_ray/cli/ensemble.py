"""``asd-ray ensemble``: choose and combine the best detectors of each machine, and measure the ensembles."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say, say_json, typed
from asd_ray.cli._arguments import parser
from asd_ray.cli._ensemble_tables import print_machine, print_together
from asd_ray.cli._run import run
from asd_ray.cli._runs import only_run
from asd_ray.cli._types import infer_limit, positive
from asd_ray.cli._weights_option import add_weights_option
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from asd_ray.ensembling.costs import Timer
    from asd_ray.ledger import Ledger

EXAMPLES = (
    "asd-ray ensemble fan --run runs/demo",
    "asd-ray ensemble --run runs/demo                 # every machine, every recipe",
    "asd-ray ensemble fan --run runs/demo --recipe greedy --recipe mine.toml --maximise auc",
    "asd-ray ensemble fan --run runs/demo --infer-limit 50ms",
    "asd-ray ensemble --verify runs/demo/ensembles/fan/final.json --run runs/demo",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "ensemble",
        "Choose and combine the best detectors of each machine by recipes, and measure every ensemble under each\n"
        "protocol that the clips allow. The best forecast, of the new ensembles and of those stored for the same\n"
        "candidates and options, is written as RUN/ensembles/MACHINE/final.json.",
        EXAMPLES,
    )
    add = command.add_argument
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
        help="clips whose scores standardise (default: those of the recipe; test if a run has no others)",
    )
    add(
        "--standardise",
        choices=("z", "robust", "rank", "open_rank", "none"),
        help="unit of the scores, such as z or rank, for all recipes (default: each recipe's own)",
    )
    add("--folds", type=positive, default=5, help="folds of crossval (default 5)")
    add("--repeats", type=positive, default=3, help="repeats of crossval (default 3)")
    add("--seed", type=int, default=0, help="seed of folds, bags and resampled clips (default 0)")
    add(
        "--threshold",
        choices=("gamma", "empirical"),
        default="gamma",
        help="how the threshold is computed from the scores of normal clips",
    )
    add(
        "--percentile",
        type=float,
        default=90.0,
        help="percentile of normal scores that is the threshold (default 90)",
    )
    add(
        "--infer-limit",
        type=infer_limit,
        metavar="TIME",
        help="choose members so that the ensemble scores 10 s of sound within this time on this computer, in one "
        "thread of its CPU: 50ms or 0.05s. Only trials whose states the search kept can be members",
    )
    add(
        "--missing",
        choices=("raise", "drop"),
        default="raise",
        help="what to do with a candidate that lacks test clips: stop and name it (default), or leave it out",
    )
    add(
        "--others",
        action="append",
        default=[],
        metavar="RUN",
        help="a run whose machines choose for the protocol cross_machine, with the other machines of --run; may be "
        "repeated",
    )
    add_weights_option(command)
    add("--final", action="store_true", help="make the best of --recipe the final ensemble, even if another is better")
    add("--wide", action="store_true", help="print the table with all columns; without it the table fits 80 columns")
    add("--json", action="store_true", help="print the best ensemble of each machine as JSON, and nothing else")
    add(
        "--verify",
        metavar="FILE",
        help="only rebuild an ensemble file from the ledger; the exit status is 1 if they differ",
    )
    return run(command, _ensemble, argv)


def _ensemble(args: argparse.Namespace) -> int:
    from asd_ray._progress import progress_bar
    from asd_ray.ensembling import EnsembleConfig, choose_all
    from asd_ray.ledger import Ledger

    if args.verify is not None:
        return _verify(args)
    if args.final and args.recipe is None:
        raise AsdRayError("--final makes the best of --recipe the final ensemble; name a recipe: --recipe NAME --final")
    ledger = Ledger(only_run() if args.run is None else args.run).require()
    with progress_bar("choosing", args.json, things="recipes") as progress:
        found = choose_all(
            ledger,
            args.machines,
            args.recipe,
            EnsembleConfig(
                maximise=args.maximise,
                folds=args.folds,
                repeats=args.repeats,
                seed=args.seed,
                threshold=args.threshold,
                percentile=args.percentile,
                infer_limit=args.infer_limit,
            ),
            others=[Ledger(run).require() for run in args.others],
            timer_of=lambda machine: _timer(ledger, machine),
            progress=progress,
            by=args.by,
            standardise=args.standardise,
            drop=args.missing == "drop",
            final=args.final,
        )
    if args.json:
        finals = {machine: final.to_json() for machine, final in found.finals.items()}
        say_json({"format": "asd_ray-ensembles/1", "machines": finals})
    elif found.of_machine:
        for comparison in found.of_machine.values():
            print_machine(comparison, args.wide)
        print_together([*found.of_machine.values()], args.wide)
        say(f"next: {typed('asd-ray', 'report', '--run', ledger.layout.root)}")
    found.check()
    return 0


def _timer(ledger: Ledger, machine: str) -> Timer:
    from asd_ray.deploy.costs import Stopwatch  # it imports torch, which choosing without states does not need

    return Stopwatch(ledger, machine)


def _verify(args: argparse.Namespace) -> int:
    """Return 0 if the ledger gives the values of the file, else 1. A file that is not an ensemble is an error."""
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
