"""``asd-ray ledger ls``: list the trials of a run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import subparser
from asd_ray.cli._next import say_next
from asd_ray.cli.ledger._options import filters, open_ledger, run_argument

if TYPE_CHECKING:
    from asd_ray.ledger.record import TrialRecord

EXAMPLES = (
    "asd-ray ledger ls runs/fan --sort objective --limit 10",
    "asd-ray ledger ls runs/fan --sort seconds --wide",
    "asd-ray ledger ls runs/fan --status failed --json",
)


def add_ls(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(actions, "ls", "list the trials, from the footers of their files", EXAMPLES)
    run_argument(command)
    filters(command)
    command.add_argument("--sort", choices=("number", "objective", "seconds", "created"), default="number")
    command.add_argument("--limit", type=int, default=50, help="rows to print, 0 for all (default %(default)s)")
    command.add_argument("--wide", action="store_true", help="also print families, hashes, epochs and dates")
    command.add_argument("--json", action="store_true", help="print all records as a JSON array")
    command.set_defaults(act=_ls)


def _ls(args: argparse.Namespace) -> int:
    from asd_ray.ledger.inspecting import sort_records

    ledger = open_ledger(args)
    ledger.check_known(args.machine, args.family)
    records = ledger.records(args.machine, args.family)
    records = [record for record in records if args.status in (None, record.status)]
    records = sort_records(records, args.sort)
    if args.json:
        say("[" + ",\n ".join(record.to_json() for record in records) + "]", lines=True)
    else:
        _print_records(records, args.limit, args.wide)
        if records:
            say_next("ledger", "show", args.run, *_words_for(records[0], records))
    return 0


def _print_records(records: Sequence[TrialRecord], limit: int, wide: bool) -> None:
    """The table fits 80 columns unless it is `wide`. Most names begin with the machine, which then has no column."""
    from asd_ray._console import PlainTable, console, numbers, words
    from asd_ray.ledger.record import NORMAL_ONLY
    from asd_ray.ledger.units import MEANING

    shown = records[:limit] if limit else records
    with_machine = wide or any(not record.name.startswith(f"{record.machine}-") for record in shown)
    table = PlainTable(
        *([words("machine")] if with_machine else []),
        *(words("name"), words("status"), words("variant"), numbers("objective"), numbers("seconds")),
        *([numbers("epochs"), words("family"), words("trial"), words("created")] if wide else []),
        wide=wide,
    )
    for record in shown:
        more = (str(record.epochs or ""), record.family, record.trial, record.created[:16].replace("T", " "))
        table.add_row(
            *([record.machine] if with_machine else []),
            *(record.name, record.status, record.variant, _objective(record), _number(record.seconds, 1)),
            *(more if wide else []),
        )
    console().print(table)
    if len(shown) < len(records):
        say(f"… and {len(records) - len(shown)} more: --limit 0 shows all")
    if any(record.settings is not None and record.settings.objective == NORMAL_ONLY for record in shown):
        say(f"faults: {MEANING[NORMAL_ONLY]}")
    say(_counts(records))


def _words_for(record: TrialRecord, records: Sequence[TrialRecord]) -> list[str]:
    """What `show` needs to find a trial: its name; its hash and machine if several trials have that name."""
    is_unique = sum(other.name == record.name for other in records) == 1
    return [record.name] if is_unique else [record.trial, "--machine", record.machine]


def _counts(records: Sequence[TrialRecord]) -> str:
    from asd_ray.ledger.inspecting import count_trials

    counts = count_trials(records)
    by_status = ", ".join(f"{count} {status}" for status, count in counts.by_status.items())
    trials = f"{counts.trials} trials{f' ({by_status})' if by_status else ''}"
    return f"{trials}; machines: {counts.machines}, families: {counts.families}"


def _objective(record: TrialRecord) -> str:
    from asd_ray.ledger.units import objective_of, with_unit

    return "" if record.objective is None else with_unit(record.objective, "", objective_of(record))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
