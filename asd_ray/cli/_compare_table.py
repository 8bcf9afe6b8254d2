"""The output of ``asd-ray report --compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_ray.reporting.compare import MachineComparison, RunComparison, RunNumbers


def print_comparison(comparison: RunComparison) -> None:
    for own in comparison.machines:
        _print_machine(own)


def _print_machine(own: MachineComparison) -> None:
    from asd_ray._console import PlainTable, console, flagged, numbers, words

    out = console()
    out.print(own.machine)
    heads = map(numbers, ("value", "95 %", "caught", "false alarms"))
    table = PlainTable(words("run"), *heads, words("protocol"), words("trust"))
    for run in own.runs:
        table.add_row(*_row(run))
    out.print(table)
    for why in own.against:
        out.print(flagged("  do not compare these numbers", f"{why}.", "yellow"))
    for note in own.notes:
        out.print(f"  {note}")
    if own.without:
        out.print(f"  without an ensemble of {own.machine}: {', '.join(own.without)}")


def _row(run: RunNumbers) -> list[str]:
    counts, interval = run.counts, run.interval
    return [
        run.run,
        "–" if run.value is None else f"{run.value:.4f}",
        " … ".join(f"{end:.3f}" for end in interval) if interval else "–",
        f"{counts.caught} of {counts.anomalies}" if counts else "–",
        f"{counts.false_alarms} of {counts.normals}" if counts else "–",
        run.protocol or "not measured",
        run.trust.level,
    ]
