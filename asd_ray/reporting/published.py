"""Published numbers on the development sets of DCASE 2020 and 2022, in percent, with their protocols.

They are shown beside a run only if its dataset has the name of the year's layout, dcase2020 or dcase2022, and the same
machine and ids, with about as many test clips. Other runs have no such table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asd_ray.ensembling import Ensemble, protocols
from asd_ray.ledger import TrialRecord
from asd_ray.metrics import EDITIONS
from asd_ray.papers import Measure, find
from asd_ray.papers.row import Numbers
from asd_ray.reporting.own_papers import rows_of_papers


@dataclass(frozen=True)
class Row:
    system: str
    protocol: str
    values: Numbers


@dataclass(frozen=True)
class Table:
    """The rows of some published tables that have the same measures."""

    year: int
    measure: str
    measures: tuple[Measure, ...]
    fewest: int  # test clips of each id and label; a run with fewer holds only a part of the set
    rows: tuple[Row, ...]

    @property
    def ids(self) -> Mapping[str, tuple[str, ...]]:
        """The ids of each machine that any row has."""
        machines = {machine for row in self.rows for machine in row.values}
        return {name: ids for name, ids in EDITIONS[self.year].development.items() if name in machines}


def _table(measure: str, fewest: int, *sources: tuple[str, str]) -> Table:
    """The table of the tables `sources`, each given by the key of a paper and a number."""
    rows: list[Row] = []
    for key, number in sources:
        paper = find(key)
        for row in paper.table(number).rows:
            rows.append(Row(f"{row.title} ({paper.citation})", row.protocol, row.values))
    first = find(sources[0][0]).table(sources[0][1])
    return Table(first.year, measure, first.measures, fewest, tuple(rows))


TABLES = (
    _table("AUC / pAUC, arithmetic mean over ids, %", 80, ("giri2020", "1"), ("liu2022", "2"), ("choi2024", "README")),
    _table("harmonic mean of AUC (source), AUC (target) and pAUC over sections, %", 90, ("jiang2023", "1")),
)


def comparison(machines: Mapping[str, Mapping[str, Any]], records: Sequence[TrialRecord] = ()) -> dict[str, Any] | None:
    """The table for a run's machines, with the run's own rows; None if nothing matches.

    `machines` maps names to `machine_facts`. The run's rows are its ensembles and, from `records`, its trials with the
    papers' settings, each by the score that its paper reports.
    """
    for table in TABLES:
        matching = [name for name, facts in machines.items() if _same_clips(table, name, facts)]
        if matching:
            rows = [
                {"system": f"this run, {protocol}", "protocol": _sentence(protocol, machines, values), "own": True,
                 "values": values}
                for protocol in protocols.HEADLINE
                if (values := {m: v for m in matching if (v := _own(table, machines[m], protocol))})
            ]  # fmt: skip
            boards = {machine: machines[machine]["leaderboard"]["rows"] for machine in matching}
            rows += rows_of_papers(boards, records, table.measures)
            rows += [
                {
                    "system": row.system,
                    "protocol": row.protocol,
                    "own": False,
                    "values": {m: list(row.values[m]) for m in matching if m in row.values},
                }
                for row in table.rows
            ]
            return {
                "year": table.year,
                "measure": table.measure,
                "compared": f"the dataset's name, dcase{table.year}, the ids, and that each id has {table.fewest} test "
                "clips or more of either label; neither the exact number of clips nor the clips themselves",
                "machines": matching,
                "rows": rows,
            }
    return None


def _sentence(protocol: str, machines: Mapping[str, Mapping[str, Any]], of: Iterable[str]) -> str:
    """How labels were used; for label-free ensembles, whether labels picked their recipe."""
    if protocol != "label_free":
        return f"final ensemble, {protocols.find(protocol).sentence}"
    return f"final ensemble, {' or '.join(sorted({machines[machine]['labels'] for machine in of}))}"


def _same_clips(table: Table, machine: str, facts: Mapping[str, Any]) -> bool:
    final: Ensemble = facts["final"]
    if (final.dataset.name, final.dataset.year) != (f"dcase{table.year}", table.year):
        return False
    return tuple(facts["ids"]) == table.ids.get(machine) and all(
        facts["counts"].get(f"{machine_id}/{label}", 0) >= table.fewest
        for machine_id in facts["ids"]
        for label in ("normal", "anomaly")
    )


def _own(table: Table, facts: Mapping[str, Any], protocol: str) -> list[float] | None:
    final: Ensemble = facts["final"]
    metric = final.metrics.get(protocol)
    if metric is None or ("label_free" in final.metrics and protocol != "label_free"):
        return None
    return [measure.value(metric.cells) for measure in table.measures]
