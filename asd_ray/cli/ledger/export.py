"""``asd-ray ledger export``: write scores as one long table."""

from __future__ import annotations

import argparse
from pathlib import Path

from asd_ray._terminal import say
from asd_ray.cli._arguments import subparser
from asd_ray.cli._next import say_next
from asd_ray.cli.ledger._options import filters, open_ledger, run_argument
from asd_ray.ledger.schema import SPLITS

EXAMPLES = (
    "asd-ray ledger export runs/fan fan.csv --machine fan --split test",
    "asd-ray ledger export runs/fan all.parquet",
)


def add_export(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(
        actions, "export", "write the scores as one long CSV or Parquet table, which import can read", EXAMPLES
    )
    run_argument(command)
    filters(command, status="complete")
    command.add_argument("table", metavar="TABLE", type=Path, help="the file to write or replace, .csv or .parquet")
    command.add_argument("--split", action="append", choices=SPLITS, help="default: all")
    command.add_argument("--best-variants", action="store_true", help="only the variant that a trial names as its best")
    command.set_defaults(act=_export)


def _export(args: argparse.Namespace) -> int:
    from asd_ray.ledger.exporting import export_table

    exported = export_table(
        open_ledger(args),
        args.table,
        machine=args.machine,
        family=args.family,
        splits=args.split or SPLITS,
        statuses=[args.status],
        best_variants=args.best_variants,
    )
    say(f"{args.table}: {exported.rows} scores of {exported.trials} trials")
    if exported.left_out:
        say(f"{exported.left_out} trials were left out, because their files are broken")
        say_next("ledger", "verify", args.run)
    elif exported.rows:
        [year] = exported.years if len(exported.years) == 1 else [None]
        say_next("ledger", "import", "RUN", args.table, *([] if year is None else ["--year", year]))
    else:
        say_next("ledger", "ls", args.run)
    return 0
