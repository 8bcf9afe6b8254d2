"""``asd-ray submission write``: official files from the final ensembles of a run."""

from __future__ import annotations

import argparse

from asd_ray._terminal import say
from asd_ray.cli._arguments import RUN, subparser
from asd_ray.errors import AsdRayError

EXAMPLES = (
    "asd-ray submission write runs/dcase2023 submissions/ours_1",
    "asd-ray submission write runs/factory submissions/ours_1 --year 2022",
)


def add_write(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(actions, "write", "write the official files of a run's final ensembles", EXAMPLES)
    command.add_argument("run", metavar="RUN", help=RUN)
    command.add_argument("folder", metavar="DIR", help="the folder to write; it is complete or not there")
    command.add_argument("--year", type=int, help="DCASE year of the files (default: the dataset's)")
    command.set_defaults(act=_write)


def _write(args: argparse.Namespace) -> int:
    from asd_ray.ledger.store import Ledger
    from asd_ray.reporting.submission import write_submission

    if not args.folder:
        raise AsdRayError("the folder to write has no name; name one, such as submissions/ours_1")
    written = write_submission(Ledger(args.run).require(), args.folder, year=args.year)
    for note in written.notes:
        say(f"note: {note}")
    say(f"{written.clips} clips in {len(written.files)} files of DCASE {written.year} → {written.folder}")
    return 0
