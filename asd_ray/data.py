"""``asd-ray data``: check a dataset, decode it into a bank, or make the synthetic demo set."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from asd_ray._progress import progress_bar
from asd_ray._terminal import say, say_json, typed
from asd_ray.cli._arguments import local_path, parser, positive, run, subparser

if TYPE_CHECKING:  # pandas is imported where it is used, so that --help answers at once
    from asd_ray.clips.bank import Bank
    from asd_ray.clips.check import CheckReport
    from asd_ray.clips.table import ClipTable, Problem

EXAMPLES = [
    "asd-ray data demo demo/                         # make the synthetic demo set",
    "asd-ray data check demo/                        # what it contains, and every problem with its cure",
    "asd-ray data bank demo/                         # decode it once for all later runs",
]
CHECK_EXAMPLES = [
    "asd-ray data check datasets/dcase2023t2/",
    "asd-ray data check mimii/ --layout mimii --split-seed 1 --channel mean",
    "asd-ray data check dcase2022/ --labels eval_lists/ --machine fan --table clips.csv",
    "asd-ray data check recordings/ --headers        # quick: read only the headers",
    "asd-ray data check s3://bucket/dcase2023t2      # each file is downloaded once, into the cache",
]
BANK_EXAMPLES = [
    "asd-ray data bank datasets/dcase2023t2/",
    "asd-ray data bank /shared/dcase2020 --machine fan --cache /local/nvme/asd_ray",
    "asd-ray data bank mimii/ --channel 3 --verify",
]
DEMO_EXAMPLES = [
    "asd-ray data demo demo/",
    "asd-ray data demo demo_full/ --size full --seed 1",
    "asd-ray data demo demo_fan/ --machine fan --size tiny",
]
SHOWN = 15  # problems per severity that are printed; --json has all of them
OPTIONAL_COLUMNS = ("test unlabelled", "supplemental")  # left out of the table if no clip is in them
COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
# Options of `data check` and `data bank` that a search needs as well, with their defaults.
SEARCH_OPTIONS = {"layout": None, "labels": None, "split_seed": 0, "rate": 16_000, "channel": "0", "cache": None}


def main(argv: Sequence[str] | None = None) -> int:
    command = parser("data", "Check a dataset, decode it into a bank, or make the synthetic demo set.", EXAMPLES)
    actions = command.add_subparsers(dest="action", required=True, metavar="check|bank|demo")
    check = subparser(
        actions, "check", "print what a dataset contains and every problem, with its cure", CHECK_EXAMPLES
    )
    _dataset_options(check)
    check.add_argument("--headers", action="store_true", help="only read the header of each file, decode none")
    check.add_argument("--table", type=local_path, metavar="FILE", help="also write the clip table (.csv or .parquet)")
    check.add_argument("--json", action="store_true", help="print counts and all problems as JSON")
    check.set_defaults(act=_check)
    bank = subparser(actions, "bank", "decode a dataset once per node, for all later runs", BANK_EXAMPLES)
    _dataset_options(bank)
    bank.add_argument("--verify", action="store_true", help="read all samples back and compare their digests")
    bank.set_defaults(act=_bank)
    demo = subparser(actions, "demo", "make the synthetic demo set, laid out as a DCASE 2022 dev set", DEMO_EXAMPLES)
    demo.add_argument("folder", type=local_path, help="the folder to write; it must be new, empty, or a demo set")
    demo.add_argument("--size", default="small", help="tiny, small, medium or full (as DCASE 2022); default small")
    demo.add_argument("--machine", action="append", metavar="NAME", help="only this machine; may be repeated")
    demo.add_argument("--seconds", type=float, help="length of each clip (default: depends on --size)")
    demo.add_argument("--seed", type=int, default=0)
    demo.set_defaults(act=_demo)
    return run(command, lambda args: int(args.act(args)), argv)


def _dataset_options(to: argparse.ArgumentParser) -> None:
    to.add_argument("folder", help="the dataset's folder, or s3://bucket/folder")
    to.add_argument("--layout", metavar="NAME", help="dcase2020 … dcase2026, mimii, folders (default: detected)")
    to.add_argument("--labels", type=local_path, metavar="DIR", help="evaluation label lists kept outside the folder")
    to.add_argument("--machine", action="append", metavar="NAME", help="only this machine; may be repeated")
    to.add_argument("--split-seed", type=int, default=0, metavar="N", help="used if the dataset has no test split")
    to.add_argument(
        "--rate", type=positive, default=16_000, metavar="HZ", help="clips are resampled to it (default 16000)"
    )
    to.add_argument("--channel", default="0", metavar="N", help="the channel to use, or 'mean' (default 0)")
    to.add_argument("--workers", type=positive, metavar="N", help="threads (default: all cores)")
    to.add_argument(
        "--cache",
        type=local_path,
        metavar="DIR",
        help="for decoded audio and for files from S3 (default: $ASD_RAY_CACHE or ~/.cache/asd_ray)",
    )


def _scan(args: argparse.Namespace) -> ClipTable:
    from asd_ray.clips.scan import scan

    return scan(
        args.folder,
        layout=args.layout,
        labels=args.labels,
        split_seed=args.split_seed,
        machines=args.machine,
        cache=args.cache,
    )


def _check(args: argparse.Namespace) -> int:
    from asd_ray.clips.check import check
    from asd_ray.clips.table_file import check_table_path, write_table
    from asd_ray.ledger.own_folders import refuse_own_folder

    another_file = "name another file with --table"
    table = _scan(args)

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
        )
    if args.table is not None:
        write_table(report.table, args.table, another_file)
    if args.json:
        say_json(report.to_json())
    else:
        _print_report(report, args)
    return 0 if report.ok else 1


def _bank(args: argparse.Namespace) -> int:
    from asd_ray.clips.bank import open_bank

    table = _scan(args)
    start = time.perf_counter()
    with progress_bar("decoding") as progress:
        bank = open_bank(
            table, rate=args.rate, channel=args.channel, cache=args.cache, progress=progress, workers=args.workers
        )
    _print_bank(bank, time.perf_counter() - start)
    if args.verify:
        broken = bank.verify()
        for path in broken:
            say(f"error: {path}: its stored samples changed; delete the store's folder above and run this again")
        say(f"verified {len(bank)} clips, {len(broken)} broken")
        if broken:
            return 1
    _print_search(bank.table, args)
    return 0


def _demo(args: argparse.Namespace) -> int:
    from asd_ray.clips.demo import MACHINES, make_demo

    with progress_bar("making") as progress:
        folder = make_demo(
            args.folder,
            size=args.size,
            machines=args.machine,
            seed=args.seed,
            seconds=args.seconds,
            progress=progress,
        )
    say(f"the demo set is in {folder}; to see what it contains: {typed('asd-ray', 'data', 'check', folder)}")
    machine = args.machine[0] if args.machine else next(iter(MACHINES))
    say(f"next: {typed('asd-ray', 'search', machine, '--data', folder)}")
    return 0


def _print_report(report: CheckReport, args: argparse.Namespace) -> None:
    table = report.table
    say(f"{table.place}  ·  layout {table.layout}")
    _print_cells(report)
    method = "decoded to the end" if report.decoded else "headers read"
    clips = f"{len(table)} readable clips ({method})"
    say(f"{clips}, {report.seconds / 3600:.2f} h, {_machine_count(len(table.machines))}")
    _print_problems(report.problems)
    if report.ok:
        say("a search can run on this")
        _print_search(table, args)
    else:
        say("a search cannot run on this: fix the errors above")


def _print_cells(report: CheckReport) -> None:
    from rich.table import Table

    from asd_ray._console import console

    rows = [cell.to_row() for cell in report.cells]
    columns = [name for name in (rows[0] if rows else ()) if name not in OPTIONAL_COLUMNS or any(r[name] for r in rows)]
    shown = Table()
    for name in columns:
        justify: Literal["left", "right"] = "right" if isinstance(rows[0][name], int) else "left"
        shown.add_column(name, justify=justify, no_wrap=name in ("machine", "id", "domain", "Hz"))
    for row in rows:
        shown.add_row(*(str(row[name]) for name in columns))
    console().print(shown)


def _print_bank(bank: Bank, seconds: float) -> None:
    machines = _machine_count(len(bank.fingerprints))
    say(f"{len(bank)} clips of {machines}, {bank.sample_bytes / 2**20:.0f} MiB of samples, ready in {seconds:.1f} s:")
    for machine, fingerprint in bank.fingerprints.items():
        say(f"  {machine:<16} {fingerprint}  {bank.folder(machine)}")
    _print_problems(bank.problems)


def _print_problems(problems: Sequence[Problem]) -> None:
    from asd_ray._console import console, flagged
    from asd_ray.clips.table import by_severity

    screen = console(soft_wrap=True)
    for severity, group in by_severity(problems).items():
        for problem in group[:SHOWN]:
            screen.print(flagged(severity, problem, COLOURS[severity]))
        if len(group) > SHOWN:
            more = f"… and {len(group) - SHOWN} more; asd-ray data check --json prints all"
            screen.print(flagged(severity, more, COLOURS[severity]))


def _print_search(table: ClipTable, args: argparse.Namespace) -> None:
    """The command that comes next: a search on the first machine that can be searched, if there is one."""
    from asd_ray.clips.searchable import unsearchable_reasons

    reasons = unsearchable_reasons(table)
    machine = next((name for name in table.machines if name not in reasons), None)
    if machine is None:
        return
    words: list[object] = ["asd-ray", "search", machine, "--data", args.folder]
    for name, default in SEARCH_OPTIONS.items():
        if getattr(args, name) != default:
            words += [f"--{name.replace('_', '-')}", getattr(args, name)]
    say(f"next: {typed(*words)}")


def _machine_count(count: int) -> str:
    return "1 machine" if count == 1 else f"{count} machines"


if __name__ == "__main__":
    sys.exit(main())
