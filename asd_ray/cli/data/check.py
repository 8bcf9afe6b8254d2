"""``asd-ray data check``: what a dataset contains, and every problem with its cure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._progress import progress_bar
from asd_ray._terminal import say, say_json, typed
from asd_ray.cli._arguments import subparser
from asd_ray.cli._types import local_path
from asd_ray.cli.data._dataset import dataset_options, machine_count, print_problems, print_search, scan_dataset

if TYPE_CHECKING:
    from asd_ray.clips.check import CheckReport
    from asd_ray.clips.summary import CellSummary

EXAMPLES = (
    "asd-ray data check datasets/dcase2023t2/",
    "asd-ray data check mimii/ --layout mimii --split-seed 1 --channel mean",
    "asd-ray data check dcase2022/ --labels eval_lists/ --machine fan --table clips.csv",
    "asd-ray data check recordings/ --headers        # quick: read only the headers",
    "asd-ray data check recordings/ --skip-broken    # what a search with this option would use",
    "asd-ray data check s3://bucket/dcase2023t2      # each file is downloaded once, into the cache",
)
WORDS = ("machine", "id", "domain")  # columns
FORMATS = {"seconds": "s", "Hz": "Hz", "ch": "channel"}  # columns with their units
OPTIONAL_COLUMNS = ("test unlabelled", "supplemental")  # left out of the table if no clip is in them


def add_check(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(actions, "check", "print what a dataset contains and every problem, with its cure", EXAMPLES)
    dataset_options(command)
    command.add_argument("--headers", action="store_true", help="only read the header of each file, decode none")
    command.add_argument(
        "--table", type=local_path, metavar="FILE", help="also write the clip table (.csv or .parquet)"
    )
    command.add_argument("--json", action="store_true", help="print counts and all problems as JSON")
    command.set_defaults(act=_check)


def _check(args: argparse.Namespace) -> int:
    from asd_ray.clips.check import check
    from asd_ray.clips.table_file import check_table_path, write_table
    from asd_ray.ledger.own_folders import refuse_own_folder

    another_file = "name another file with --table"
    table = scan_dataset(args)
    if args.table is not None:
        check_table_path(args.table)
        refuse_own_folder(args.table, another_file)
    with progress_bar("checking", quiet=args.json) as progress:
        report = check(
            table,
            rate=args.rate,
            channel=args.channel,
            decode=not args.headers,
            cache=args.cache,
            progress=progress,
            workers=args.workers,
            skip_broken=args.skip_broken,
        )
    if args.table is not None:
        write_table(report.table, args.table, another_file)
    if args.json:
        say_json(report.to_json())
    else:
        _print_report(report, args)
    return 0 if report.ok else 1


def _print_report(report: CheckReport, args: argparse.Namespace) -> None:
    table = report.table
    say(f"{table.place}  ·  layout {table.layout}")
    _print_cells(report.cells)
    method = "decoded to the end" if report.decoded else "headers read"
    clips = f"{len(table)} readable clips ({method})"
    say(f"{clips}, {report.seconds / 3600:.2f} h, {machine_count(len(table.machines))}")
    kept = "every channel" if report.decoding.channel == "all" else "one channel"
    say(f"its bank takes {report.bank_bytes / 2**20:.0f} MiB: {kept} of each clip at {report.decoding.rate} Hz")
    print_problems(report.problems)
    if report.ok:
        say("a search can run on this")
        print_search(table, args)
    elif args.skip_broken:
        say("a search cannot run on this: fix the errors above")
    else:
        say(
            "a search cannot run on this: fix the errors above; clips that cannot be read are left out by "
            f"{typed('asd-ray', 'search', '--data', args.folder, '--skip-broken')}"
        )


def _print_cells(cells: Sequence[CellSummary]) -> None:
    """One row per machine, id and domain. What is the same in all rows stands below, so that the table is narrow."""
    from asd_ray._console import PlainTable, console, numbers, several_lines, words

    rows = [cell.to_row() for cell in cells]
    if not rows:
        return
    alike = {name: rows[0][name] for name in FORMATS if len({row[name] for row in rows}) == 1}
    names = [name for name in rows[0] if name not in OPTIONAL_COLUMNS or any(row[name] for row in rows)]
    names = [name for name in names if name not in alike]
    shown = PlainTable(*(words(name) if name in WORDS else numbers(several_lines(*name.split())) for name in names))
    for row in rows:
        shown.add_row(*(str(row[name]) for name in names))
    console().print(shown)
    if alike:
        texts = (f"{value} {FORMATS[name]}{'s' * (name == 'ch' and value != '1')}" for name, value in alike.items())
        say(f"every clip: {', '.join(texts)}")
