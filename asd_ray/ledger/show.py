"""What `ls` and `show` print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from asd_ray._terminal import say, typed
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.record import TrialRecord
from asd_ray.ledger.store import Ledger

SORTS = ("number", "objective", "seconds", "created")


def sort_records(records: Sequence[TrialRecord], by: str) -> list[TrialRecord]:
    """In the order of the ledger, or best, slowest or newest first; what has no value comes last."""
    if by == "number":
        return list(records)
    have = [record for record in records if getattr(record, by) is not None]
    lack = [record for record in records if getattr(record, by) is None]
    return sorted(have, key=lambda record: getattr(record, by), reverse=True) + lack


def print_json(records: Sequence[TrialRecord]) -> None:
    """One JSON array, a record a line."""
    say("[" + ",\n ".join(record.to_json() for record in records) + "]", lines=True)


def print_records(records: Sequence[TrialRecord], limit: int) -> None:
    from rich.table import Table

    from asd_ray._console import console

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("machine", "family", "name", "trial", "status", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("objective", "epochs", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = records[:limit] if limit else records
    for record in shown:
        table.add_row(
            *(record.machine, record.family, record.name, record.trial, record.status, record.variant),
            *(_number(record.objective, 4), str(record.epochs or ""), _number(record.seconds, 1)),
        )
    console().print(table)
    if len(shown) < len(records):
        say(f"… and {len(records) - len(shown)} more: --limit 0 shows all")
    say(summary(records))


def summary(records: Sequence[TrialRecord]) -> str:
    status = Counter(record.status for record in records)
    parts = ", ".join(f"{count} {name}" for name, count in status.items())
    machines = len({record.machine for record in records})
    families = len({record.family for record in records})
    return f"{len(records)} trials{f' ({parts})' if parts else ''}; machines: {machines}, families: {families}"


def find(ledger: Ledger, text: str, machine: str | None) -> TrialRecord:
    """The trial whose name is `text`, or whose hash starts with it."""
    records = ledger.records(machine)
    found = [record for record in records if record.name == text] or [
        record for record in records if record.trial.startswith(text)
    ]
    if not found:
        listed = typed("asd-ray", "ledger", "ls", ledger.layout.root)
        raise AsdRayError(f"no trial is named {text!r} and no hash starts so; list them with: {listed}")
    if len(found) > 1:
        raise AsdRayError(f"{text!r} may be any of these; say more of the hash, or --machine:\n{listing(found)}")
    return found[0]


def print_trial(ledger: Ledger, record: TrialRecord) -> None:
    """Everything that is stored of one trial, with a summary of its scores."""
    from rich.table import Table

    from asd_ray._console import console

    made = Table(box=None, show_header=False, pad_edge=False)
    for name, value in record.to_dict().items():
        if value not in ("", None, {}):
            made.add_row(name, json.dumps(value) if isinstance(value, dict) else str(value))
    out = console()
    out.print(made)
    scores = ledger.scores(record)
    if scores.empty:
        say("\nno scores", lines=True)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("split", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("clips", "normal", "anomaly", "unknown", "lowest", "median", "highest"):
        table.add_column(name, justify="right")
    for (split, variant), rows in scores.groupby(["split", "variant"], sort=True):
        labels = rows["label"].value_counts()
        counts = [str(labels.get(label, 0)) for label in ("normal", "anomaly", "unknown")]
        values = [f"{rows['score'].quantile(q):.6g}" for q in (0, 0.5, 1)]
        table.add_row(str(split), str(variant), str(len(rows)), *counts, *values)
    out.print()
    out.print(table)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
