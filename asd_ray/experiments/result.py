"""Our numbers beside the published ones, per machine and averaged by the table's rule."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asd_ray.papers import Paper, PaperRow, PaperTable, average

if TYPE_CHECKING:
    import pandas as pd

AVERAGE = "average"  # in place of a machine
Ours = Mapping[str, Mapping[int, tuple[float, ...]]]  # machine -> seed -> one number per measure, in per cent


@dataclass(frozen=True)
class Number:
    """One number of a table, and ours of each seed, in per cent."""

    row: str
    machine: str  # or `AVERAGE`
    measure: str
    published: float | None
    ours: tuple[float, ...] = ()  # one per seed
    same_clips: bool = True  # False if the published number is of other test clips or, for an average, other machines

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.ours) if self.ours else None

    @property
    def difference(self) -> float | None:
        """Ours minus the published number; None where they cannot be compared."""
        if self.mean is None or self.published is None or not self.same_clips:
            return None
        return self.mean - self.published

    @property
    def comparable(self) -> bool:
        """Whether there are two numbers, of the same machines and test clips as far as that is known."""
        return self.difference is not None

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(self.ours) if len(self.ours) > 1 else None


@dataclass(frozen=True)
class PaperResult:
    """What `Run.paper` found. ``result.frame()`` is a DataFrame with one row per number."""

    paper: Paper
    table: PaperTable
    run: str
    numbers: tuple[Number, ...]
    differs: Mapping[str, tuple[str, ...]]  # row -> what differs from the paper's protocol, for rows that were run
    left_out: tuple[str, ...]  # rows and machines that no run can have, each with the reason
    failed: tuple[str, ...] = ()  # numbers that are missing because a trial did not end well, each with the reason
    notes: tuple[str, ...] = ()  # what differs for all rows

    def number(self, row: str, machine: str, measure: str) -> Number:
        return next(each for each in self.numbers if (each.row, each.machine, each.measure) == (row, machine, measure))

    def records(self) -> Iterator[dict[str, Any]]:
        """One record per number; a number that is unknown is None."""
        for each in self.numbers:
            yield {
                "row": each.row,
                "machine": each.machine,
                "measure": each.measure,
                "published": each.published,
                "ours": each.mean,
                "comparable": each.comparable,
                "difference": each.difference,
                "spread": each.spread,
                "seeds": len(each.ours),
                "differs": "; ".join(self.differs.get(each.row, ())),
                "notes": "; ".join(self.notes),
            }

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(list(self.records()))


def numbers_of(
    table: PaperTable, row: PaperRow, ours: Ours, machines: Sequence[str], other_clips: Collection[str] = ()
) -> Iterator[Number]:
    """The numbers of a row. `machines` are those that the published average is over.

    If ours lacks some of them, the average is over the others alone, and so is the published one beside it. Where the
    paper prints totals alone, the published average stays that of all machines, and there is no difference. There is
    none on machines of `other_clips` either, whose test clips are not those of the published numbers.
    """
    averaged = [machine for machine in machines if ours.get(machine)]
    is_part = bool(averaged) and averaged != list(machines)
    seeds = sorted(set.intersection(*(set(ours[machine]) for machine in averaged))) if averaged else []
    for at, measure in enumerate(table.measures):
        for machine in table.machines or averaged:
            published = row.values[machine][at] if machine in row.values else None
            own = tuple(ours[machine][seed][at] for seed in sorted(ours.get(machine, {})))
            yield Number(row.name, machine, measure.name, published, own, machine not in other_clips)
        if table.rule:
            if is_part and row.values:
                published = average(table.rule, [row.values[machine][at] for machine in averaged])
            else:
                published = row.average[at] if row.average else None
            own = tuple(average(table.rule, [ours[machine][seed][at] for machine in averaged]) for seed in seeds)
            same = (not is_part or bool(row.values)) and not {*averaged} & {*other_clips}
            yield Number(row.name, AVERAGE, measure.name, published, own, same)
