"""``asd-ray report``: which detectors, combined how, for these machines, and can it be believed: on one page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say, typed
from asd_ray.cli._arguments import parser
from asd_ray.cli._run import run
from asd_ray.errors import AsdRayError, listing

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

EXAMPLES = (
    "asd-ray report --run runs/demo",
    "asd-ray report --run s3://bucket/runs/fan --out report/",
    "asd-ray report --run runs/dcase2020 --submission submissions/ours_1",
    "asd-ray report --check-submission submissions/theirs_1 --year 2023",
    "asd-ray report --run runs/demo --optuna-db studies.db && optuna-dashboard sqlite:///studies.db",
)
FORMS = ("submission", "check_submission", "optuna_db")
MOST = 100  # problems that are told


def main(argv: Sequence[str] | None = None) -> int:
    made = parser(
        "report",
        "Write the report of a run whose ensembles were chosen (asd-ray ensemble): report.html, which needs no\n"
        "network and prints to PDF, and the same tables as report.json, report.md and CSV. A machine whose final\n"
        "ensemble cannot be used is named and left out, and the exit status is then 1.",
        EXAMPLES,
    )
    made.add_argument("--run", metavar="RUN", help="folder or s3://… of results (default: the one folder in runs/)")
    made.add_argument("--out", metavar="DIR", help="where the files go (default: RUN/report)")
    add = made.add_argument_group("other forms", "each does only what it says, and writes no report").add_argument
    add("--submission", metavar="DIR", help="write the final ensembles' official files of the dataset's DCASE year")
    add(
        "--check-submission",
        metavar="DIR",
        help="name all that is wrong with a folder of such files: by the clips of --run, else by the evaluation set of "
        "--year",
    )
    add("--year", type=int, help="DCASE year of the files (default: the dataset's; --check-submission needs it)")
    add("--optuna-db", metavar="FILE", help="write every search as an Optuna study, for optuna-dashboard")
    return run(made, _report, argv)


def _report(args: argparse.Namespace) -> int:
    from asd_ray.ensemble import only_run
    from asd_ray.ledger import Ledger

    given = {name: getattr(args, name) for name in FORMS if getattr(args, name) is not None}
    asked = [f"--{name.replace('_', '-')}" for name in given]
    if len(asked) > 1:
        raise AsdRayError(f"{' and '.join(asked)} are of {len(asked)} commands; run one after the other")
    if "" in given.values():
        raise AsdRayError(f"{asked[0]} is empty; name a file or folder, or leave the option out")
    if args.check_submission:
        return _check(args)
    ledger = Ledger(args.run or only_run()).require()
    if args.submission:
        return _submit(ledger, args)
    if args.optuna_db:
        return _studies(ledger, args)
    from asd_ray.reporting import gather, write
    from asd_ray.reporting.write import target_of

    facts = gather(ledger)
    run, out = ledger.layout, None if args.out is None else target_of(args.out, ledger.layout)
    for path in write(facts, out or run, out.base if out else run.report):
        say(path)
    _notes([f"not read: {why}" for why in facts["not_read"]])
    for why in facts["left_out"]:
        say(f"asd-ray report: left out: {why}", error=True)
    return 1 if facts["left_out"] else 0


def _submit(ledger: Ledger, args: argparse.Namespace) -> int:
    from asd_ray.reporting.submission import write_submission

    done = write_submission(ledger, args.submission, year=args.year)
    _notes(done.notes)
    say(f"{done.clips} clips in {len(done.files)} files of DCASE {done.year} → {done.folder}")
    return 0


def _studies(ledger: Ledger, args: argparse.Namespace) -> int:
    from asd_ray.reporting.optuna_db import write_optuna_db

    stored = write_optuna_db(ledger, args.optuna_db)
    _notes(stored.notes)
    say(f"{stored.trials} trials of {stored.studies} studies → {stored.path}")
    say(f"open it with: {typed('optuna-dashboard', f'sqlite:///{stored.path}')}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from asd_ray.ledger import Ledger
    from asd_ray.reporting.submission_check import check_submission

    if args.year is None:
        raise AsdRayError("--check-submission needs to know which files to expect; say the year: --year 2023")
    found = check_submission(args.check_submission, args.year, Ledger(args.run).require() if args.run else None)
    _notes(found.notes)
    if found.problems:
        told = listing(found.problems, most=MOST)
        raise AsdRayError(f"{args.check_submission} has {len(found.problems)} problems:\n{told}")
    by = f"the clips of {args.run}" if args.run else f"the evaluation set of {args.year}"
    say(f"{args.check_submission}: {found.clips} clips in {found.files} files are right by {by}")
    return 0


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"note: {note}")


if __name__ == "__main__":
    sys.exit(main())
