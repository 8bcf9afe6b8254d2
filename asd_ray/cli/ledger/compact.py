"""``asd-ray ledger compact``: merge many small files into a few large ones."""

from __future__ import annotations

import argparse

from asd_ray.cli._arguments import subparser
from asd_ray.cli._next import say_next
from asd_ray.cli.ledger._options import open_ledger, run_argument

EXAMPLES = ("asd-ray ledger compact runs/fan", "asd-ray ledger compact s3://bucket/runs/fan --trials 200")


def add_compact(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summary = "merge many small files into a few large ones; it may be stopped, and a search may run meanwhile"
    run_argument(command := subparser(actions, "compact", summary, EXAMPLES))
    command.add_argument("--trials", type=int, default=500, help="the most trials in one file (default %(default)s)")
    command.set_defaults(act=_compact)


def _compact(args: argparse.Namespace) -> int:
    from asd_ray._console import console
    from asd_ray.ledger.compacting import compact

    report = compact(open_ledger(args), trials=args.trials)
    console().print(
        f"{report.trials} trials in {report.written} new files, {report.removed} old files removed, "
        f"{report.leftovers} temporary files of dead writers removed; {report.families} families checked"
    )
    say_next("ledger", "ls", args.run)
    return 0
