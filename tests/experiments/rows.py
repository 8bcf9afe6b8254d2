"""A row of a paper's table, run for one epoch: what must hold of it on any data."""

from __future__ import annotations

from asd_ray import Dataset, Run
from asd_ray.experiments import PaperResult
from asd_ray.papers import find


def run_row(key: str, number: str, name: str, data: Dataset, run: Run, machines: set[str]) -> PaperResult:
    """Train the row on these machines, all those of the data if it is trained jointly, and check what is measured."""
    table = find(key).table(number)
    row = table.row(name)
    asked_for = () if row.jointly else tuple(machines)
    result = run.paper(key, number, data, asked_for, rows=name, epochs_cap=1, held_out=0.2, serial=True, quiet=True)
    ours = {(each.machine, each.measure): each for each in result.numbers if each.ours}
    averages = {"average"} if table.rule else set()
    assert set(ours) == {(where, each.name) for where in machines | averages for each in table.measures}
    assert all(0 <= each.ours[0] <= 100 for each in ours.values())
    for machine in machines & set(table.machines):
        for each in table.measures:
            assert ours[machine, each.name].published == row.values[machine][table.measures.index(each)]
    assert f"in the paper: {row.protocol}" in result.differs[name]
    assert any("the numbers cannot be compared" in note for note in result.notes)
    assert not any(each.comparable for each in result.numbers)
    assert {record.family for record in run.records()} >= {member.family for member in row.members}
    return result
