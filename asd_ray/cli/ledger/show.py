"""``asd-ray ledger show``: one trial, with a summary of its scores."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import subparser
from asd_ray.cli._next import say_next
from asd_ray.cli.ledger._options import open_ledger, run_argument

if TYPE_CHECKING:
    from asd_ray.ledger.inspecting import ScoreSummary
    from asd_ray.ledger.record import TrialRecord

EXAMPLES = (
    "asd-ray ledger show runs/fan fan-autoencoder-0007",
    "asd-ray ledger show runs/fan t3f9 --machine fan --json",
)


def add_show(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(actions, "show", "show one trial: its record, and a summary of its scores", EXAMPLES)
    run_argument(command)
    command.add_argument("trial", metavar="TRIAL", help="its name, or the beginning of its hash")
    command.add_argument("--machine", help="the trial's machine, if several machines have a trial of that name")
    command.add_argument("--json", action="store_true", help="print the record as JSON")
    command.set_defaults(act=_show)


def _show(args: argparse.Namespace) -> int:
    from asd_ray.ledger.inspecting import find_trial, score_summaries

    ledger = open_ledger(args)
    record = find_trial(ledger, args.trial, args.machine)
    if args.json:
        say(record.to_json())
    else:
        summaries = score_summaries(ledger, record)
        _print_trial(record, summaries)
        options = ("--machine", record.machine, "--family", record.family)
        if summaries:
            say_next("ledger", "export", args.run, "scores.csv", *options)
        else:
            say_next("ledger", "ls", args.run, *options)
    return 0


def _print_trial(record: TrialRecord, summaries: Sequence[ScoreSummary]) -> None:
    from rich.table import Table

    from asd_ray._console import console
    from asd_ray.ledger.units import MEANING, objective_of

    screen = console()
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in record.to_dict().items():
        if value not in ("", None, {}):
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            facts.add_row(name, f"{text} ({MEANING[objective_of(record)]})" if name == "objective" else text)
    screen.print(facts)
    if not summaries:
        say("\nno scores", lines=True)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("split", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("clips", "normal", "anomaly", "unknown", "lowest", "median", "highest"):
        table.add_column(name, justify="right")
    for summary in summaries:
        counts = (summary.clips, summary.normal, summary.anomaly, summary.unknown)
        scores = (summary.lowest, summary.median, summary.highest)
        table.add_row(summary.split, summary.variant, *map(str, counts), *(f"{score:.6g}" for score in scores))
    screen.print()
    screen.print(table)
