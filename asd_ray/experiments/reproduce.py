"""Run the rows of a paper's table, and compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from asd_ray.clips.table import ClipTable
from asd_ray.errors import AsdRayError
from asd_ray.experiments import differences
from asd_ray.experiments.measuring import Conditions, Measured, measure
from asd_ray.experiments.plan import PlannedRow, TablePlan, Training
from asd_ray.experiments.result import AVERAGE, Number, PaperResult, numbers_of
from asd_ray.ledger import Ledger
from asd_ray.metrics import EDITIONS
from asd_ray.papers import Paper, PaperTable

Search = Callable[[Training, int], object]  # trains one setting with one seed, or finds that it is stored
Results = dict[str, dict[int, Measured]]  # machine -> seed -> what was measured


@dataclass(frozen=True)
class Experiment:
    """A planned table, and what all of its trials share."""

    paper: Paper
    table: PaperTable
    plan: TablePlan
    seeds: int
    conditions: Conditions
    is_demo: bool = False


def reproduce(experiment: Experiment, clips: ClipTable, ledger: Ledger, search: Search) -> PaperResult:
    """Search what the rows need, seed by seed, and return our numbers beside the published ones.

    Called again, it trains nothing that is stored. A trial that fails leaves its machine without a number.
    """
    table, plan = experiment.table, experiment.plan
    for seed in range(experiment.seeds):
        for training in plan.trainings:
            search(training, seed)
    results: dict[str, Results] = {}
    left_out = list(plan.left_out)
    for planned in plan.planned:
        results[planned.row.name], reasons = _measured(experiment, planned, ledger)
        left_out += reasons
    of_row = {
        planned.row.name: tuple(
            differences.of_row(table, planned, results[planned.row.name], clips.frame, experiment.conditions)
        )
        for planned in plan.planned
    }
    numbers, notes = _numbers(experiment, results)
    of_all = differences.of_all(table, clips, list(results.values()), experiment.conditions, experiment.is_demo)
    return PaperResult(experiment.paper, table, ledger.layout.root, numbers, of_row, tuple(left_out), (*of_all, *notes))


def _measured(experiment: Experiment, planned: PlannedRow, ledger: Ledger) -> tuple[Results, list[str]]:
    """What is measured on each machine, and a line for each machine and seed without a number."""
    results: Results = {}
    reasons = []
    for machine in planned.machines:
        for seed in range(experiment.seeds):
            try:
                found = measure(ledger, experiment.table, planned, machine, seed, experiment.conditions)
            except AsdRayError as error:
                reasons.append(f"{planned.row.name} on {machine}, seed {seed}: {error}")
            else:
                results.setdefault(machine, {})[seed] = found
    return results, reasons


def _numbers(experiment: Experiment, results: Mapping[str, Results]) -> tuple[tuple[Number, ...], list[str]]:
    """All numbers, and a note on averages over a part of the machines."""
    table = experiment.table
    edition = EDITIONS[table.year]
    of_edition = edition.development if table.split == "development" else edition.evaluation
    others = {machine for own in results.values() for machine in own} - set(of_edition)
    machines = table.machines or (*of_edition, *sorted(others))
    numbers: list[Number] = []
    parts: dict[str, list[str]] = {}  # machines, in words -> rows
    for row in experiment.plan.rows:
        own = results.get(row.name, {})
        ours = {machine: {seed: each.values for seed, each in of.items()} for machine, of in own.items()}
        numbers += numbers_of(table, row, ours, machines)
        has = [machine for machine in machines if machine in ours]
        if has and has != list(machines) and table.rule:
            parts.setdefault(", ".join(has), []).append(row.name)
    beside = "the published one beside it, too" if table.machines else "the published one is over all"
    notes = [f"the {AVERAGE} of {', '.join(rows)} is over {has} alone; {beside}" for has, rows in parts.items()]
    return tuple(numbers), notes
