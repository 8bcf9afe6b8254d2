"""``asd-ray ledger show``: one trial, with a summary of its scores."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from asd_ray._numbers import aligned, short
from asd_ray._terminal import say
from asd_ray.cli._arguments import subparser
from asd_ray.cli._next import say_next
from asd_ray.cli.ledger._options import open_ledger, run_argument

if TYPE_CHECKING:
    from asd_ray.ledger.inspecting import ScoreSummary
    from asd_ray.ledger.record import TrialRecord

UNITS = {"seconds": ("time", "s"), "peak_memory_mb": ("peak memory", "MB")}  # field -> its name and unit for people
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
    from asd_ray._console import PlainTable, console, numbers, words

    screen = console()
    facts = PlainTable(words(), words())
    facts.show_header = False
    for name, text in _facts(record):
        facts.add_row(name, text)
    screen.print(facts)
    if not summaries:
        say("\nno scores", lines=True)
        return
    some_unknown = any(summary.unknown for summary in summaries)
    counts = ["clips", "normal", "anomaly", *["unknown"] * some_unknown]
    table = PlainTable(words("split"), words("variant"), *map(numbers, [*counts, "lowest", "median", "highest"]))
    for summary in summaries:
        scores = aligned([summary.lowest, summary.median, summary.highest])
        table.add_row(summary.split, summary.variant, *(str(getattr(summary, name)) for name in counts), *scores)
    screen.print()
    screen.print(table)


def _facts(record: TrialRecord) -> Iterator[tuple[str, str]]:
    """Names and values for people: single values first, then the groups, each with its name as a headline."""
    from asd_ray.ledger.units import MEANING, objective_of

    stored = {name: value for name, value in record.to_dict().items() if value not in ("", None, {})}
    groups = {name: value for name, value in stored.items() if isinstance(value, dict)}
    for name, value in stored.items():
        if name in UNITS:
            yield UNITS[name][0], f"{value:.1f} {UNITS[name][1]}"
        elif name == "objective":
            yield name, f"{value:.4f} ({MEANING[objective_of(record)]})"
        elif name not in groups:
            yield name, _text(value)
    for name, values in groups.items():
        yield name, ""
        for key, value in values.items():
            if value != "":
                yield f"  {'epoch ' * (name == 'intermediate')}{key}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return short(value) if isinstance(value, int | float) else "none" if value is None else str(value)
