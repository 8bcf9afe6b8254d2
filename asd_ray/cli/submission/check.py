"""``asd-ray submission check``: everything that is wrong with a folder of official files."""

from __future__ import annotations

import argparse

from asd_ray._terminal import say
from asd_ray.cli._arguments import RUN, subparser
from asd_ray.cli._next import say_next
from asd_ray.errors import AsdRayError, listing

EXAMPLES = (
    "asd-ray submission check submissions/theirs_1 --year 2023",
    "asd-ray submission check submissions/ours_1 --year 2023 --run runs/dcase2023",
)
SHOWN = 100  # problems in the list


def add_check(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(
        actions, "check", "list everything that is wrong with a folder of official files (exit status 2)", EXAMPLES
    )
    command.add_argument("folder", metavar="DIR", help="the folder of the files")
    command.add_argument("--year", type=int, required=True, help="DCASE year of the expected files, such as 2023")
    command.add_argument(
        "--run", metavar="RUN", help=f"expect the clips of this run, not the year's evaluation set: {RUN}"
    )
    command.set_defaults(act=_check)


def _check(args: argparse.Namespace) -> int:
    check_files(args.folder, args.year, args.run)
    if not args.run:  # the ground truth of a year is that of its evaluation set
        say_next("evaluate", "--year", args.year, "--truth", "TRUTH", "--submission", args.folder)
    return 0


def check_files(folder: str, year: int, run: str | None) -> None:
    """Print the result of the check, or raise with all problems. Also used by `asd-ray report --check-submission`."""
    from asd_ray.ledger.store import Ledger
    from asd_ray.reporting.submission_check import check_submission

    checked = check_submission(folder, year, Ledger(run).require() if run else None)
    for note in checked.notes:
        say(f"note: {note}")
    if checked.problems:
        problems = listing(checked.problems, most=SHOWN)
        raise AsdRayError(f"{folder} has {len(checked.problems)} problems:\n{problems}")
    by = f"the clips of {run}" if run else f"the evaluation set of {year}"
    say(f"{folder}: {checked.clips} clips in {checked.files} files are right by {by}")
