"""``asd-ray report``: the chosen ensembles of a run on one page, with their numbers and how these were measured."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say, typed
from asd_ray.cli._arguments import parser
from asd_ray.cli._compare_table import print_comparison
from asd_ray.cli._dataset_options import add_reading_options, dataset_of
from asd_ray.cli._run import run
from asd_ray.cli._runs import only_run
from asd_ray.cli._weights_option import add_weights_option
from asd_ray.cli.submission.check import check_files
from asd_ray.cli.submission.write import write_files
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from asd_ray._listening import Listener
    from asd_ray.ledger import Ledger

EXAMPLES = (
    "asd-ray report --run runs/demo",
    "asd-ray report --run runs/demo --data dataset/            # with sounds and maps of the clips that are wrong",
    "asd-ray report --run s3://bucket/runs/fan --out report/",
    "asd-ray report --compare runs/january runs/february",
    "asd-ray report --run runs/dcase2020 --submission submissions/ours_1",
    "asd-ray report --check-submission submissions/theirs_1 --year 2023",
    "asd-ray report --run runs/demo --optuna-db studies.db && optuna-dashboard sqlite:///studies.db",
)
FORMS = ("submission", "check_submission", "optuna_db", "compare")


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "report",
        "Write the report of a run whose ensembles were chosen (asd-ray ensemble): report.html, which needs no\n"
        "network and prints to PDF, and the same tables as report.json, report.md and CSV. A machine whose final\n"
        "ensemble cannot be used is named and left out, and the exit status is then 1.",
        EXAMPLES,
    )
    command.add_argument("--run", metavar="RUN", help="folder or s3://… of results (default: the one folder in runs/)")
    command.add_argument("--out", metavar="DIR", help="folder of the files (default: RUN/report)")
    clips = command.add_argument_group("sounds and maps of the clips that are most often wrong")
    listening = clips.add_argument
    listening("--data", metavar="DIR", help="the dataset of the search; the page then has a player and a map per clip")
    listening("--no-audio", action="store_true", help="leave the players out, and keep the maps")
    listening(
        "--device", default="cpu", metavar="DEVICE", help="where maps are computed: cpu (default), cuda or cuda:1"
    )
    add_weights_option(clips)
    add_reading_options(command)
    add = command.add_argument_group("other forms", "each does only this, and writes no report").add_argument
    add("--submission", metavar="DIR", help="write the final ensembles' official files of the dataset's DCASE year")
    add(
        "--check-submission",
        metavar="DIR",
        help="list everything that is wrong with a folder of such files, compared with the clips of --run, or with the "
        "evaluation set of --year",
    )
    add("--year", type=int, help="DCASE year of the files (default: the dataset's; --check-submission needs it)")
    add(
        "--compare",
        nargs="+",
        metavar="RUN",
        help="compare the final ensembles of two runs or more, of the same machines; writes comparison.html and .json "
        "to --out (default: comparison/)",
    )
    add("--optuna-db", metavar="FILE", help="write every search as an Optuna study, for optuna-dashboard")
    return run(command, _report, argv)


def _report(args: argparse.Namespace) -> int:
    from asd_ray.ledger import Ledger

    forms = {name: getattr(args, name) for name in FORMS if getattr(args, name) is not None}
    options = [f"--{name.replace('_', '-')}" for name in forms]
    if len(options) > 1:
        raise AsdRayError(f"{' and '.join(options)} cannot be combined; run one command after the other")
    if forms and args.data is not None:
        raise AsdRayError(f"{options[0]} writes no report, so it cannot use --data; leave one of the two out")
    if "" in forms.values():
        raise AsdRayError(f"{options[0]} is empty; name a file or folder, or leave the option out")
    if args.check_submission:
        if args.year is None:
            raise AsdRayError("--check-submission needs the year of the expected files: --year 2023")
        check_files(args.check_submission, args.year, args.run)
        return 0
    if args.compare:
        return _compare(args)
    ledger = Ledger(args.run or only_run()).require()
    if args.submission:
        write_files(ledger, args.submission, args.year)
        return 0
    if args.optuna_db:
        return _studies(ledger, args)
    from asd_ray.reporting import write_report
    from asd_ray.storage.places import is_address

    report = write_report(ledger, args.out, _listener(ledger, args))
    for path in report.files:
        say(path)
    _notes([*(f"not read: {why}" for why in report.not_read), *report.notes])
    say(f"to score new sound: {typed('asd-ray', 'bundle', 'MACHINE', '--run', ledger.layout.root)}")
    fetch = "download and open" if is_address(report.page) else "open"
    say(f"next: {fetch} {report.page} in a browser")
    for why in report.left_out:
        say(f"asd-ray report: left out: {why}", error=True)
    return 1 if report.left_out else 0


def _listener(ledger: Ledger, args: argparse.Namespace) -> Listener | None:
    """What makes sounds and maps; None without --data, so that the report is written without torch."""
    dataset = dataset_of(args)
    if dataset is None:
        return None
    from asd_ray._listening import Listener

    return Listener(ledger, dataset.source(), audio=not args.no_audio, device=args.device)


def _compare(args: argparse.Namespace) -> int:
    from asd_ray.reporting.compare import compare
    from asd_ray.reporting.compare_page import FOLDER, write_comparison

    if args.out == "":
        raise AsdRayError(f"--out is empty; name a folder, or leave it out: the files go into {FOLDER}/")
    comparison = compare([*([args.run] if args.run else []), *args.compare])
    print_comparison(comparison)
    _notes([f"not read: {why}" for why in comparison.not_read])
    for path in write_comparison(comparison, FOLDER if args.out is None else args.out):
        say(path)
    return 0


def _studies(ledger: Ledger, args: argparse.Namespace) -> int:
    from asd_ray.reporting.optuna_db import write_optuna_db

    exported = write_optuna_db(ledger, args.optuna_db)
    _notes(exported.notes)
    say(f"{exported.trials} trials of {exported.studies} studies → {exported.path}")
    say(f"open it with: {typed('optuna-dashboard', f'sqlite:///{exported.path}')}")
    return 0


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"note: {note}")
