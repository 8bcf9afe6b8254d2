"""``asd-ray submission write``: official files from the final ensembles of a run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import RUN, subparser
from asd_ray.cli._next import say_next
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from asd_ray.ledger.store import Ledger

EXAMPLES = (
    "asd-ray submission write runs/dcase2023 submissions/ours_1",
    "asd-ray submission write runs/factory submissions/ours_1 --year 2022",
)


def add_write(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(actions, "write", "write the official files of a run's final ensembles", EXAMPLES)
    command.add_argument("run", metavar="RUN", help=RUN)
    command.add_argument("folder", metavar="DIR", help="the folder to write; it is written completely or not at all")
    command.add_argument("--year", type=int, help="DCASE year of the files (default: the dataset's)")
    command.set_defaults(act=_write)


def _write(args: argparse.Namespace) -> int:
    from asd_ray.ledger.store import Ledger

    if not args.folder:
        raise AsdRayError("the folder to write has no name; name one, such as submissions/ours_1")
    year = write_files(Ledger(args.run).require(), args.folder, args.year)
    say_next("submission", "check", args.folder, "--year", year, "--run", args.run)
    return 0


def write_files(ledger: Ledger, folder: str, year: int | None) -> int:
    """Write the files, print their number, and return their DCASE year. Also used by `asd-ray report --submission`."""
    from asd_ray._console import console
    from asd_ray.reporting.submission import write_submission

    submission = write_submission(ledger, folder, year=year)
    for note in submission.notes:
        console().print(f"note: {note}")
    say(f"{submission.clips} clips in {len(submission.files)} files of DCASE {submission.year} → {submission.folder}")
    return submission.year
