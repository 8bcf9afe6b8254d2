"""``asd-ray ledger ls|show|verify|export|import|compact|forget``: what a run remembers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._terminal import say, typed
from asd_ray.cli import _arguments as _cli
from asd_ray.errors import AsdRayError, listing

if TYPE_CHECKING:
    from asd_ray.ledger.store import Ledger

EXAMPLES = (
    "asd-ray ledger ls runs/fan",
    "asd-ray ledger show runs/fan fan-autoencoder-0007",
    "asd-ray ledger import runs/fan other_teams.csv",
    "asd-ray ledger verify s3://bucket/runs/fan",
)
RUN = "the run's folder, or s3://bucket/folder[?endpoint_override=http://host:port]"


def main(argv: Sequence[str] | None = None) -> int:
    return _cli.run(make_parser(), lambda args: ACTIONS[args.action](args), argv)


def make_parser() -> argparse.ArgumentParser:
    made = _cli.parser("ledger", "List, show, verify, import, export, compact or forget the trials of a run.", EXAMPLES)
    actions = made.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))

    ls = _cli.subparser(
        actions,
        "ls",
        "list the trials, from the footers of their files",
        ["asd-ray ledger ls runs/fan --sort objective --limit 10", "asd-ray ledger ls runs/fan --status failed --json"],
    )
    _run_and_filters(ls)
    ls.add_argument("--sort", choices=("number", "objective", "seconds", "created"), default="number")
    ls.add_argument("--limit", type=int, default=50, help="rows to print, 0 for all (default %(default)s)")
    ls.add_argument("--json", action="store_true", help="all records as a JSON array")

    show = _cli.subparser(
        actions,
        "show",
        "show one trial: its record, and a summary of its scores",
        ["asd-ray ledger show runs/fan fan-autoencoder-0007", "asd-ray ledger show runs/fan t3f9 --machine fan --json"],
    )
    show.add_argument("run", metavar="RUN", help=RUN)
    show.add_argument("trial", metavar="TRIAL", help="its name, or the beginning of its hash")
    show.add_argument("--machine", help="of this machine, when several have a trial of that name")
    show.add_argument("--json", action="store_true", help="the record as JSON")

    verify = _cli.subparser(
        actions,
        "verify",
        "read every file wholly, set broken ones aside, exit 1 if anything was wrong",
        ["asd-ray ledger verify runs/fan", "asd-ray ledger verify s3://bucket/runs/fan"],
    )
    verify.add_argument("run", metavar="RUN", help=RUN)

    export = _cli.subparser(
        actions,
        "export",
        "write the scores as one long CSV or Parquet table, which import takes back",
        [
            "asd-ray ledger export runs/fan fan.csv --machine fan --split test",
            "asd-ray ledger export runs/fan all.parquet",
        ],
    )
    _run_and_filters(export, status="complete")
    export.add_argument("table", metavar="TABLE", type=Path, help="the file to write or replace, .csv or .parquet")
    export.add_argument("--split", action="append", choices=("train", "held_out", "test"), help="default: all")
    export.add_argument("--best-variants", action="store_true", help="of each trial only the variant it names as best")

    take = _cli.subparser(
        actions,
        "import",
        "store other people's scores: a long table, or an official submission folder",
        [
            "asd-ray ledger import runs/fan table.csv",
            "asd-ray ledger import runs/fan table.csv --year 2022",
            "asd-ray ledger import runs/2020 submissions/Team_task2_1 --year 2020 --truth ground_truth",
        ],
    )
    take.add_argument("run", metavar="RUN", help=RUN + "; made if it is not there")
    take.add_argument(
        "what",
        metavar="TABLE|FOLDER",
        type=Path,
        help="CSV or Parquet with system, machine, id|section, clip|file, score, and optional domain, split, label, "
        "variant, family; or a folder of official submission files",
    )
    take.add_argument(
        "--year", type=int, help="DCASE year whose cells evaluate these systems; a submission folder needs it"
    )
    take.add_argument("--truth", type=Path, help="the folder of that year's ground truth, for labels and domains")

    compact = _cli.subparser(
        actions,
        "compact",
        "merge many small files into few; safe to stop, and beside a running search",
        ["asd-ray ledger compact runs/fan", "asd-ray ledger compact s3://bucket/runs/fan --trials 200"],
    )
    compact.add_argument("run", metavar="RUN", help=RUN)
    compact.add_argument("--trials", type=int, default=500, help="at most in a file (default %(default)s)")

    forget = _cli.subparser(
        actions,
        "forget",
        "set trials aside, so that the next search runs them again; nothing is deleted",
        [
            "asd-ray ledger forget runs/fan --dry-run",
            "asd-ray ledger forget runs/fan --machine fan --family autoencoder",
            "asd-ray ledger forget runs/fan fan-autoencoder-0007",
        ],
    )
    forget.add_argument("run", metavar="RUN", help=RUN)
    forget.add_argument(
        "trials", metavar="TRIAL", nargs="*", help="its whole name or whole hash; default: every trial that failed"
    )
    forget.add_argument("--machine", help="only of this machine")
    forget.add_argument("--family", help="only of this family")
    forget.add_argument("--failed", action="store_true", help="of the named trials, too, only those that failed")
    forget.add_argument("--dry-run", action="store_true", help="list them and change nothing")
    return made


def _run_and_filters(made: argparse.ArgumentParser, status: str | None = None) -> None:
    made.add_argument("run", metavar="RUN", help=RUN)
    made.add_argument("--machine", help="only this machine")
    made.add_argument("--family", help="only this family")
    made.add_argument(
        "--status", choices=("complete", "pruned", "failed"), default=status, help=f"default: {status or 'all'}"
    )


def _open(args: argparse.Namespace) -> Ledger:
    from asd_ray.ledger.store import Ledger

    return Ledger(args.run).require()


def _ls(args: argparse.Namespace) -> int:
    from asd_ray.ledger.show import print_json, print_records, sort_records

    ledger = _open(args)
    ledger.check_known(args.machine, args.family)
    records = ledger.records(args.machine, args.family)
    records = [record for record in records if args.status in (None, record.status)]
    records = sort_records(records, args.sort)
    if args.json:
        print_json(records)
    else:
        print_records(records, args.limit)
    return 0


def _show(args: argparse.Namespace) -> int:
    from asd_ray.ledger.show import find, print_trial

    ledger = _open(args)
    record = find(ledger, args.trial, args.machine)
    if args.json:
        say(record.to_json())
    else:
        print_trial(ledger, record)
    return 0


def _verify(args: argparse.Namespace) -> int:
    from asd_ray.ledger.verifying import verify

    report = verify(_open(args))
    trials = ", ".join(f"{count} {status}" for status, count in sorted(report.trials.items())) or "none"
    say(f"checked {report.files} files ({report.compact_files} of them compact), every row: {report.rows} scores")
    say(f"trials: {trials}")
    if report.leftovers or report.in_flight:
        say(f"temporary files: {report.leftovers} of dead writers removed, {report.in_flight} young ones left alone")
    if report.duplicates:
        why = "as a stopped compaction or a retried failure leaves them"
        say(f"{report.duplicates} trials are in two files, {why}; compact again")
    for title, lines in (("set aside", report.set_aside), ("rescued", report.rescued), ("problems", report.problems)):
        if lines:
            say(f"{title}:\n{listing(lines, most=1000)}", lines=True)
    say("clean" if report.is_clean else f"{len(report.set_aside)} set aside, {len(report.problems)} problems")
    return 0 if report.is_clean else 1


def _export(args: argparse.Namespace) -> int:
    from asd_ray.ledger.exporting import export_table
    from asd_ray.ledger.schema import SPLITS

    exported = export_table(
        _open(args),
        args.table,
        machine=args.machine,
        family=args.family,
        splits=args.split or SPLITS,
        statuses=[args.status],
        best_variants=args.best_variants,
    )
    say(f"{args.table}: {exported.rows} scores of {exported.trials} trials")
    if exported.left_out:
        see = typed("asd-ray", "ledger", "verify", args.run)
        say(f"{exported.left_out} trials were left out, because their files are broken; see: {see}")
    return 0


def _import(args: argparse.Namespace) -> int:
    from asd_ray.ledger.importing import import_submission, import_table
    from asd_ray.ledger.store import Ledger

    ledger = Ledger(args.run)
    if args.what.is_dir():
        if args.year is None:
            raise AsdRayError(
                f"{args.what}: the DCASE year of these submission files is needed; add it, such as --year 2020"
            )
        report = import_submission(ledger, args.what, args.year, args.truth)
    elif args.truth is not None:
        raise AsdRayError(f"{args.what}: --truth goes with a submission folder, but this is not a folder")
    else:
        report = import_table(ledger, args.what, args.year)
    for record in report.stored:
        say(f"stored {record.name} of {record.machine} as {record.trial}")
    for record in report.present:
        say(f"{record.name} of {record.machine} was there already, as {record.trial}")
    for note in report.notes:
        say(f"note: {note}")
    say(f"{report.rows} scores read; {len(report.stored)} trials stored, {len(report.present)} were there already")
    return 0


def _compact(args: argparse.Namespace) -> int:
    from asd_ray.ledger.compacting import compact

    report = compact(_open(args), trials=args.trials)
    say(
        f"{report.trials} trials in {report.written} new files, {report.removed} old files removed, "
        f"{report.leftovers} temporary files of dead writers removed; {report.families} families looked at"
    )
    return 0


def _forget(args: argparse.Namespace) -> int:
    from asd_ray.ledger.forgetting import find_to_forget, forget

    ledger = _open(args)
    records = find_to_forget(ledger, args.trials, args.machine, args.family, failed_only=args.failed)
    if not records:
        say("nothing to forget: no such trial failed")
        return 0
    lines = [f"{record}: {record.status}" for record in records]
    if args.dry_run:
        say(f"would set aside {len(records)} trials:\n{listing(lines, most=1000)}", lines=True)
        return 0
    forget(ledger, records)
    say(f"set aside {len(records)} trials:\n{listing(lines, most=1000)}", lines=True)
    say(
        f"their files are in {ledger.layout.url(ledger.layout.set_aside)}, each with the command that brings it back "
        "in the .reason.txt beside it. To run these trials again, run the same search again"
    )
    return 0


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "ls": _ls,
    "show": _show,
    "verify": _verify,
    "export": _export,
    "import": _import,
    "compact": _compact,
    "forget": _forget,
}

if __name__ == "__main__":
    sys.exit(main())
