"""Run the rows of a paper's table, and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asd_ray.clips.table import ClipTable
from asd_ray.errors import AsdRayError
from asd_ray.experiments import differences
from asd_ray.experiments.measuring import Conditions, Measured, measure
from asd_ray.experiments.plan import PlannedRow, TablePlan, Training
from asd_ray.experiments.result import AVERAGE, Number, PaperResult, numbers_of
from asd_ray.ledger import Ledger
from asd_ray.papers import Paper, PaperRow, PaperTable

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
    failed: list[str] = []
    results: dict[str, Results] = {}
    differs: dict[str, tuple[str, ...]] = {}
    for planned in plan.planned:
        found, reasons = _measured(experiment, planned, ledger)
        of_row = differences.of_row(table, planned, found, clips.frame, experiment.conditions)
        results[planned.row.name] = found
        differs[planned.row.name] = (*of_row, *_part(experiment, found))
        failed += reasons
    other_clips = differences.with_other_clips(table, clips, experiment.is_demo)
    numbers = [each for row in plan.rows for each in _numbers(experiment, row, results.get(row.name, {}), other_clips)]
    notes = differences.of_all(table, clips, list(results.values()), experiment.conditions, experiment.is_demo)
    run = ledger.layout.root
    return PaperResult(
        experiment.paper, table, run, tuple(numbers), differs, plan.left_out, tuple(failed), tuple(notes)
    )


def _measured(experiment: Experiment, planned: PlannedRow, ledger: Ledger) -> tuple[Results, list[str]]:
    """What is measured on each machine, and a line for each failed trial that is missing there."""
    results: Results = {}
    reasons = []
    for machine in planned.machines:
        for seed in range(experiment.seeds):
            where = f"{planned.row.name} on {machine}, seed {seed}"
            try:
                found = measure(ledger, experiment.table, planned, machine, seed, experiment.conditions)
            except AsdRayError as error:
                reasons.append(f"{where}: {error}")
            else:
                results.setdefault(machine, {})[seed] = found
                reasons += [f"{where}: one of its settings is missing: {reason}" for reason in found.missing]
    return results, reasons


def _numbers(experiment: Experiment, row: PaperRow, results: Results, other_clips: frozenset[str]) -> Iterator[Number]:
    ours = {machine: {seed: each.values for seed, each in of.items()} for machine, of in results.items()}
    return numbers_of(experiment.table, row, ours, _averaged(experiment.table, results), other_clips)


def _averaged(table: PaperTable, results: Results) -> list[str]:
    """The machines that the table averages; where it prints totals alone, those of its edition."""
    if table.machines:
        return list(table.machines)
    return list(dict.fromkeys((*table.official_ids, *results)))


def _part(experiment: Experiment, results: Results) -> Iterator[str]:
    """A note, if ours is averaged over a part of the machines."""
    table, has = experiment.table, [name for name in _averaged(experiment.table, results) if name in results]
    if table.rule and has and has != _averaged(table, results):
        beside = "the published one beside it, too" if table.machines else "the published one is over all"
        yield f"the {AVERAGE} is over {', '.join(has)} alone; {beside}"
