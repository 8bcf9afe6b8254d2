"""``asd-ray data demo``: make the synthetic demo set."""

from __future__ import annotations

import argparse

from asd_ray._progress import progress_bar
from asd_ray._terminal import say, typed
from asd_ray.cli._arguments import subparser
from asd_ray.cli._types import local_path

EXAMPLES = (
    "asd-ray data demo demo/",
    "asd-ray data demo demo_full/ --size full --seed 1",
    "asd-ray data demo demo_fan/ --machine fan --size tiny",
    "asd-ray data demo demo_hidden/ --hide-labels",
)


def add_demo(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(actions, "demo", "make the synthetic demo set, laid out as a DCASE 2022 dev set", EXAMPLES)
    command.add_argument("folder", type=local_path, help="the folder to write; it must be new, empty, or a demo set")
    command.add_argument("--size", default="small", help="tiny, small, medium or full (as DCASE 2022); default small")
    command.add_argument("--machine", action="append", metavar="NAME", help="only this machine; may be repeated")
    command.add_argument("--seconds", type=float, help="length of each clip (default: depends on --size)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--hide-labels", action="store_true", help="the same sound with one id and no attributes")
    command.add_argument(
        "--supplemental", action="store_true", help="also clips without noise and of noise alone, as in DCASE 2025"
    )
    command.add_argument(
        "--channels", type=int, default=1, metavar="N", help="2: a far microphone as well, as in DCASE 2026 (default 1)"
    )
    command.set_defaults(act=_demo)


def _demo(args: argparse.Namespace) -> int:
    from asd_ray.clips.demo import MACHINES, make_demo

    with progress_bar("making") as progress:
        folder = make_demo(
            args.folder,
            size=args.size,
            machines=args.machine,
            seed=args.seed,
            seconds=args.seconds,
            hide_labels=args.hide_labels,
            supplemental=args.supplemental,
            channels=args.channels,
            progress=progress,
        )
    say(f"the demo set is in {folder}; to see what it contains: {typed('asd-ray', 'data', 'check', folder)}")
    machine = args.machine[0] if args.machine else next(iter(MACHINES))
    say(f"next: {typed('asd-ray', 'search', machine, '--data', folder)}")
    return 0
