"""``asd-ray data``: check a dataset, decode it into a bank, or make the synthetic demo set."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asd_ray._csv import write_frame
from asd_ray._terminal import say, say_json, typed
from asd_ray.cli._arguments import local_path, parser, positive, progress_bar, run, subparser
from asd_ray.errors import AsdRayError
from asd_ray.storage.places import check_text, storage_error

if TYPE_CHECKING:  # pandas is imported where it is used, so that --help answers at once
    import pandas as pd

    from asd_ray.clips.check import Checked
    from asd_ray.clips.table import ClipTable, Problem

EXAMPLES = [
    "asd-ray data demo demo/                         # make the synthetic demo set",
    "asd-ray data check demo/                        # what is there, and every problem with its cure",
    "asd-ray data bank demo/                         # decode it once for all later runs",
]
CHECK_EXAMPLES = [
    "asd-ray data check datasets/dcase2023t2/",
    "asd-ray data check mimii/ --layout mimii --split-seed 1 --channel mean",
    "asd-ray data check dcase2022/ --labels eval_lists/ --machine fan --table clips.csv",
    "asd-ray data check recordings/ --headers        # quick: open every file, decode none",
    "asd-ray data check s3://bucket/dcase2023t2      # fetched into the cache, each file once",
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
SHOWN = 15  # problems of one kind shown in full; --json has all of them


def main(argv: Sequence[str] | None = None) -> int:
    made = parser("data", "Check a dataset, decode it into a bank, or make the synthetic demo set.", EXAMPLES)
    actions = made.add_subparsers(dest="action", required=True, metavar="check|bank|demo")
    check = subparser(actions, "check", "print what a dataset holds and every problem, with its cure", CHECK_EXAMPLES)
    _dataset_options(check)
    check.add_argument("--headers", action="store_true", help="only open every file, decode none")
    check.add_argument("--table", type=local_path, metavar="FILE", help="also write the clip table (.csv or .parquet)")
    check.add_argument("--json", action="store_true", help="print counts and all problems as JSON")
    check.set_defaults(act=_check)
    bank = subparser(actions, "bank", "decode a dataset once a node, for all later runs", BANK_EXAMPLES)
    _dataset_options(bank)
    bank.add_argument("--verify", action="store_true", help="read everything back and compare digests")
    bank.set_defaults(act=_bank)
    demo = subparser(actions, "demo", "make the synthetic demo set, laid out as a DCASE 2022 dev set", DEMO_EXAMPLES)
    demo.add_argument("folder", type=local_path, help="where to; it must be new, empty, or an earlier demo set")
    demo.add_argument("--size", default="small", help="tiny, small, medium or full (as DCASE 2022); default small")
    demo.add_argument("--machine", action="append", metavar="NAME", help="only this machine; may be repeated")
    demo.add_argument("--seconds", type=float, help="length of a clip (default: the size's own)")
    demo.add_argument("--seed", type=int, default=0)
    demo.set_defaults(act=_demo)
    return run(made, lambda args: int(args.act(args)), argv)


def _dataset_options(to: argparse.ArgumentParser) -> None:
    to.add_argument("folder", help="the dataset's folder, or s3://bucket/folder")
    to.add_argument("--layout", metavar="NAME", help="dcase2020 … dcase2026, mimii, folders (default: detected)")
    to.add_argument("--labels", type=local_path, metavar="DIR", help="evaluation label lists kept outside the folder")
    to.add_argument("--machine", action="append", metavar="NAME", help="only this machine; may be repeated")
    to.add_argument("--split-seed", type=int, default=0, metavar="N", help="where the dataset has no test split")
    to.add_argument("--rate", type=positive, default=16_000, metavar="HZ", help="others are resampled (default 16000)")
    to.add_argument("--channel", default="0", metavar="N", help="which channel, or 'mean' (default 0)")
    to.add_argument("--workers", type=positive, metavar="N", help="threads (default: all cores)")
    to.add_argument(
        "--cache",
        type=local_path,
        metavar="DIR",
        help="for decoded audio and for files from S3 (default: $ASD_RAY_CACHE or ~/.cache/asd_ray)",
    )


def _scanned(args: argparse.Namespace) -> ClipTable:
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
    from asd_ray.clips._store import Decoding
    from asd_ray.clips.bank import as_channel
    from asd_ray.clips.check import check
    from asd_ray.clips.mirror import fetched

    table = _scanned(args)
    decoding = Decoding(args.rate, as_channel(args.channel))
    if args.table is not None:
        _can_be_written(args.table)
    with progress_bar("fetching", quiet=args.json) as progress:
        fetched(table, args.cache, progress)
    with progress_bar("checking", quiet=args.json) as progress:
        checked = check(table, decoding, decode=not args.headers, progress=progress, workers=args.workers)
    if args.table is not None:
        _write_table(checked.table.frame, args.table)
    if args.json:
        _print_json(checked)
    else:
        _print_check(checked, decoded=not args.headers)
    return 0 if checked.ok else 1


def _bank(args: argparse.Namespace) -> int:
    from asd_ray.clips.bank import open_bank

    table = _scanned(args)
    started = time.perf_counter()
    with progress_bar("decoding") as progress:
        bank = open_bank(
            table, rate=args.rate, channel=args.channel, cache=args.cache, progress=progress, workers=args.workers
        )
    took = time.perf_counter() - started
    size = 2 * int(bank.lengths.sum()) / 2**20
    say(f"{len(bank)} clips of {_machines(len(table.machines))}, {size:.0f} MiB of samples, ready in {took:.1f} s:")
    for machine, fingerprint in bank.fingerprints.items():
        say(f"  {machine:<16} {fingerprint}  {bank.folder(machine)}")
    _print_problems([*table.problems, *bank.notes])
    if args.verify:
        broken = bank.verify()
        for path in broken:
            say(f"error: {path}: its stored samples changed; delete the store's folder above and run this again")
        say(f"verified {len(bank)} clips, {len(broken)} broken")
        return 1 if broken else 0
    return 0


def _demo(args: argparse.Namespace) -> int:
    from asd_ray.clips.demo import make_demo

    with progress_bar("making") as progress:
        folder = make_demo(
            args.folder,
            size=args.size,
            machines=args.machine,
            seed=args.seed,
            seconds=args.seconds,
            progress=progress,
        )
    say(f"the demo set is in {folder}; look at it with: {typed('asd-ray', 'data', 'check', folder)}")
    return 0


def _print_check(checked: Checked, *, decoded: bool) -> None:
    import pandas as pd
    from rich.table import Table

    from asd_ray._console import console
    from asd_ray.clips.check import summary

    table = checked.table
    rows = summary(table.frame)
    say(f"{table.place}  ·  layout {table.layout}")
    shown = Table()
    for name in rows.columns:
        if name in ("test unlabelled", "supplemental") and not rows[name].any():
            continue
        justify: Literal["left", "right"] = "right" if pd.api.types.is_numeric_dtype(rows[name]) else "left"
        shown.add_column(name, justify=justify, no_wrap=name in ("machine", "id", "domain", "Hz"))
    for _, row in rows.iterrows():
        shown.add_row(*(str(row[str(column.header)]) for column in shown.columns))
    console().print(shown)
    hours = table.frame["seconds"].sum() / 3600
    how = "decoded to the end" if decoded else "headers read"
    say(f"{len(table)} readable clips ({how}), {hours:.2f} h, {_machines(len(table.machines))}")
    _print_problems(table.problems)
    say("a search can run on this" if checked.ok else "a search cannot run on this: fix the errors above")


def _machines(count: int) -> str:
    return "1 machine" if count == 1 else f"{count} machines"


def _print_problems(problems: Sequence[Problem]) -> None:
    from asd_ray._console import console, flagged

    screen = console(soft_wrap=True)
    groups = defaultdict(list)
    for problem in problems:
        groups[problem.severity].append(problem)
    for severity, colour in (("error", "red"), ("warning", "yellow"), ("note", "cyan")):
        for problem in groups[severity][:SHOWN]:
            screen.print(flagged(severity, problem, colour))
        if len(groups[severity]) > SHOWN:
            screen.print(flagged(severity, f"… and {len(groups[severity]) - SHOWN} more; --json lists all", colour))


def _print_json(checked: Checked) -> None:
    import dataclasses

    from asd_ray.clips.check import summary

    table = checked.table
    answer = {
        "root": table.place,
        "layout": table.layout,
        "year": table.year,
        "split_seed": table.split_seed,
        "ok": checked.ok,
        "clips": len(table),
        "cells": summary(table.frame).to_dict(orient="records"),
        "severities": Counter(p.severity for p in table.problems),
        "problems": [dataclasses.asdict(p) for p in table.problems],
    }
    say_json(answer)


def _can_be_written(path: Path) -> None:
    """Before the long part, not after it."""
    from asd_ray.ledger.own_folders import refuse_own_folder

    if path.suffix not in (".csv", ".parquet"):
        raise AsdRayError(f"{path}: a clip table is written as .csv or .parquet; change its ending")
    if not path.absolute().parent.is_dir():
        raise AsdRayError(f"{path}: its folder does not exist; make it, or name another file")
    check_text(path)
    refuse_own_folder(path, "name another file with --table")


def _write_table(frame: pd.DataFrame, path: Path) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_frame(frame, aside) if path.suffix == ".csv" else frame.to_parquet(aside, index=False)
        os.replace(aside, path)
    except OSError as error:
        raise storage_error(error, path, "the clip table", "name another file with --table") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
