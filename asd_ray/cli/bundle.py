"""``asd-ray bundle``: write an ensemble with what its members have learned, so that it can score new sound."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from asd_ray._terminal import say
from asd_ray.cli._arguments import RUN, parser
from asd_ray.cli._dataset_options import add_reading_options, dataset_of
from asd_ray.cli._next import say_next
from asd_ray.cli._run import run
from asd_ray.cli._runs import only_run
from asd_ray.cli._weights_option import add_weights_option, weights_again

EXAMPLES = (
    "asd-ray bundle fan --run runs/demo                    # writes fan.bundle",
    "asd-ray bundle fan --run runs/demo --recipe greedy.mean --out line3/fan.bundle",
    "asd-ray bundle fan --run runs/demo --data d/          # trains members again whose states were not kept",
    "asd-ray bundle fan --run runs/demo --data d/ --refit-all",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "bundle",
        "Write the ensemble of a machine with what its members have learned into one folder. The folder scores new\n"
        "sound on any computer, without Ray and without the run: asd-ray score, explain, watch and serve read it.\n"
        "It holds tensors, numbers and a model card, and no code.",
        EXAMPLES,
    )
    add = command.add_argument
    add("machine", metavar="MACHINE", help="such as fan")
    add("--run", metavar="RUN", help=f"{RUN} (default: the one folder in runs/)")
    add("--out", metavar="DIR", help="the bundle's folder (default: MACHINE.bundle)")
    add("--recipe", default="final", metavar="NAME", help="a stored ensemble (default: the final one)")
    add("--data", metavar="DIR", help="the dataset of the search, to train members again whose states were not kept")
    add(
        "--refit-all",
        action="store_true",
        help="train all members anew on all normal clips, held-out ones included; the numbers stay those of before",
    )
    add_weights_option(command)
    where = command.add_argument_group("where members are trained again")
    where.add_argument("--serial", action="store_true", help="in this process, without Ray")
    where.add_argument("--address", default="local", metavar="WHERE", help="local (default), auto or HOST:PORT")
    add_reading_options(command)
    return run(command, _bundle, argv)


def _bundle(args: argparse.Namespace) -> int:
    from asd_ray._bundling import ensemble_of, write_bundle
    from asd_ray.families.weights import needed_encoders, weights_options
    from asd_ray.ledger import Ledger

    ledger = Ledger(only_run() if args.run is None else args.run).require()
    ensemble = ensemble_of(ledger, args.machine, args.recipe)
    dataset = dataset_of(args)
    out = args.out or f"{args.machine}.bundle"
    written = write_bundle(
        ledger,
        ensemble,
        out,
        None if dataset is None else dataset.source,
        refit=args.refit_all,
        serial=args.serial,
        address=args.address,
        progress=say,
    )
    for note in written.notes:
        say(f"note: {note}")
    size = sum(path.stat().st_size for path in written.folder.rglob("*") if path.is_file())
    say(
        f"{ensemble.machine}: {ensemble.name} with {len(ensemble.members)} members of {written.trials} trials, "
        f"{size / 1e6:.1f} MB → {out}"
    )
    say(f"what it was trained on, and its numbers: {Path(out) / 'MODEL_CARD.md'}")
    encoders = needed_encoders(member.params for member in ensemble.members)
    say_next("score", out, "new.wav", *(weights_again(args) or weights_options(encoders)))
    return 0
