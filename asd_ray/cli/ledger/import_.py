"""``asd-ray ledger import``: store scores of other systems."""

from __future__ import annotations

import argparse
from pathlib import Path

from asd_ray._terminal import say
from asd_ray.cli._arguments import subparser
from asd_ray.cli._next import say_next
from asd_ray.cli.ledger._options import run_argument

EXAMPLES = (
    "asd-ray ledger import runs/fan table.csv",
    "asd-ray ledger import runs/fan table.csv --year 2022",
    "asd-ray ledger import runs/2020 submissions/Team_task2_1 --year 2020 --truth ground_truth",
)


def add_import(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summary = "store scores of other systems: a long table, or a folder of official submission files"
    run_argument(command := subparser(actions, "import", summary, EXAMPLES), "; it is made if it does not exist")
    command.add_argument(
        "source",
        metavar="TABLE|FOLDER",
        type=Path,
        help="CSV or Parquet with system, machine, id|section, clip|file, score, and optional domain, split, label, "
        "variant, family; or a folder of official submission files",
    )
    command.add_argument(
        "--year", type=int, help="DCASE year whose cells evaluate these systems; a submission folder needs it"
    )
    command.add_argument("--truth", type=Path, help="the folder of that year's ground truth, for labels and domains")
    command.set_defaults(act=_import)


def _import(args: argparse.Namespace) -> int:
    from asd_ray._console import console
    from asd_ray.ledger.importing import import_scores
    from asd_ray.ledger.store import Ledger

    report = import_scores(Ledger(args.run), args.source, args.year, args.truth)
    for record in report.stored:
        say(f"stored {record.name} of {record.machine} as {record.trial}")
    for record in report.present:
        say(f"{record.name} of {record.machine} was there already, as {record.trial}")
    for note in report.notes:
        console().print(f"note: {note}")
    say(f"{report.rows} scores read; {len(report.stored)} trials stored, {len(report.present)} were there already")
    say_next("ensemble", "--run", args.run)
    return 0
