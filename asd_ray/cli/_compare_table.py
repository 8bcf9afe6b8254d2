"""The output of ``asd-ray report --compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_ray.reporting.compare import MachineComparison, RunComparison, RunNumbers

LONGEST = 10  # letters of a name for which 80 columns have room


def print_comparison(comparison: RunComparison) -> None:
    from asd_ray._console import console

    names = short_names(comparison.runs)
    for own in comparison.machines:
        _print_machine(own, names)
    for run, name in names.items():
        if name != run:
            console().print(f"{name}: {run}", soft_wrap=True)


def short_names(runs: Sequence[str]) -> dict[str, str]:
    """run -> the name of its folder; letters where two folders have one name, or where a name is long."""
    from asd_ray.storage.run_layout import RunLayout

    names = [RunLayout(run).base.rpartition("/")[2] for run in runs]
    if len(set(names)) < len(names) or max(map(len, names)) > LONGEST:
        names = [ascii_lowercase[at] if len(runs) <= len(ascii_lowercase) else str(at + 1) for at in range(len(runs))]
    return dict(zip(runs, names, strict=True))


def _print_machine(own: MachineComparison, names: Mapping[str, str]) -> None:
    from asd_ray._console import PlainTable, console, flagged, numbers, values

    out = console()
    out.print(own.machine)
    heads = map(numbers, ("value", "95 %", "caught", "false alarms"))
    table = PlainTable(values("run"), *heads, values("protocol"), values("trust"))
    for run in own.runs:
        table.add_row(names[run.run], *_row(run))
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
        "–" if run.value is None else f"{run.value:.4f}",
        " … ".join(f"{end:.3f}" for end in interval) if interval else "–",
        f"{counts.caught} of {counts.anomalies}" if counts else "–",
        f"{counts.false_alarms} of {counts.normals}" if counts else "–",
        run.protocol or "not measured",
        run.trust.level,
    ]
