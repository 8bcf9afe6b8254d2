"""The tables that ``asd-ray evaluate`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._console import PlainTable, console, numbers, several_lines, words

if TYPE_CHECKING:
    from asd_ray._console import Console
    from asd_ray.metrics.official import Official

Rows = dict[tuple[str, str], dict[str, float | None]]  # (machine, id or mean) -> metric -> value
NAMES = {"auc": "AUC", "pauc": "pAUC", "precision": "precision", "recall": "recall", "f1": "F1"}


HEADLINE = ("auc", "pauc")


def print_systems(systems: Mapping[Path, Official], wide: bool = False) -> None:
    """AUC and pAUC, which fit 80 columns; precision, recall and F1 as well if `wide`."""
    screen = console(130)  # the widest table needs it
    for folder, official in systems.items():
        _print_system(screen, folder, official, wide)


def _print_system(screen: Console, folder: Path, official: Official, wide: bool) -> None:
    cells = {
        (machine, id): {key: value for key, value in cell.items() if key != "counts"}
        for machine in official.machines
        for id, cell in official.cells(machine).items()
    }
    screen.print(f"{folder.resolve().name}: DCASE {official.year}, in %", style="bold")
    _print_table(screen, ("machine", official.edition.unit), cells, wide)
    left_out = _print_table(screen, ("machine", "mean"), _means(official), wide)
    if left_out:
        screen.print(f"also measured, see --wide: {', '.join(left_out)}")
    screen.print(_score_line(official))
    screen.print(f"Definition of {official.year}: {official.definition}.", style="dim")
    screen.print()


def _means(official: Official) -> Rows:
    rows: Rows = {}
    if not official.edition.cells.domains:
        for machine, entry in official.machines.items():
            rows[machine, "arithmetic mean"] = entry["average"]
        derived = official.summary["derived_not_official"]
        return rows | {("all ids", "arithmetic mean"): {key.split("_")[1]: value for key, value in derived.items()}}
    harmonic = ("harmonic_mean", "source_harmonic_mean", "target_harmonic_mean")
    for machine, entry in official.machines.items():
        several = len(official.cells(machine)) > 1  # the domains of a single section are in the table above
        shown = harmonic if several else harmonic[:1]
        rows |= {(machine, kind.replace("_", " ")): entry["means"][kind] for kind in shown}
    overall = official.summary["overall"]
    return rows | {("all", kind.replace("_", " ")): overall[kind] for kind in ("arithmetic_mean", *harmonic)}


def _print_table(screen: Console, heads: tuple[str, str], rows: Rows, wide: bool) -> list[str]:
    """Print a table, and return the names of the metrics that are in `rows` and not in the table."""
    every = [(key, *key.partition("_")[::2]) for key in next(iter(rows.values()))]
    shown = [(key, metric, part) for key, metric, part in every if wide or metric in HEADLINE]
    columns = [numbers(several_lines(NAMES[metric], part)) for _, metric, part in shown]
    table = PlainTable(*map(words, heads), *columns, wide=wide)
    for names, row in rows.items():
        values = [row[key] for key, _, _ in shown]
        table.add_row(*names, *("-" if value is None else f"{100 * value:.2f}" for value in values))
    screen.print(table, "")
    return list(dict.fromkeys(NAMES[metric] for _, metric, _ in every if not wide and metric not in HEADLINE))


def _score_line(official: Official) -> str:
    if official.score is None:
        return f"No official score: the evaluator of {official.year} prints none."
    line = f"Official score: {100 * official.score:.2f} %"
    if official.interval is None:
        return f"{line} (no interval: the evaluator of {official.year} prints none)"
    ci95 = official.summary["overall"]["official_score_ci95"]
    note = (
        "as the official evaluator prints it, N-1 times too narrow"
        if ci95["value_affected"]
        else "the official evaluator prints it N-1 times too narrow: --bug-compatible"
    )
    return (
        f"{line}, jackknife 95 % interval +/- {100 * official.interval:.4g} ({note}); "
        "the interval is of the AUC and pAUC of all machines' pooled scores, not of the score"
    )
