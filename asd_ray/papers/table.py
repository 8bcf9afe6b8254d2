"""One table of a paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError, unknown
from asd_ray.papers.measure import RULES, Measure
from asd_ray.papers.row import PaperRow

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("development", "evaluation")


@dataclass(frozen=True)
class PaperTable:
    number: str  # as in the paper, such as "2" or "II"
    title: str
    dataset: str  # the name of the layout, such as dcase2020
    split: str  # the part that was scored, one of `SPLITS`
    machines: tuple[str, ...]  # in the paper's order; () if it prints totals only
    measures: tuple[Measure, ...]
    rule: str  # one of `RULES`: how machines are averaged; "" if the paper prints no average
    rows: tuple[PaperRow, ...]
    decimals: int = 2  # as printed
    note: str = ""

    def __post_init__(self) -> None:
        if self.split not in SPLITS or (self.rule and self.rule not in RULES):
            raise AsdRayError(f"table {self.number}: no such split or rule: {self.split!r}, {self.rule!r}")
        for row in self.rows:
            counts = {len(values) for values in row.values.values()} | ({len(row.average)} if row.average else set())
            if tuple(row.values) != self.machines or counts != {len(self.measures)}:
                raise AsdRayError(f"table {self.number}, {row.name}: needs one number per machine and measure")

    @property
    def year(self) -> int:
        """The DCASE year of the dataset."""
        return int(self.dataset.removeprefix("dcase"))

    @property
    def official_ids(self) -> Mapping[str, tuple[str, ...]]:
        """Machine -> ids of the official set that was scored."""
        from asd_ray.metrics import EDITIONS

        edition = EDITIONS[self.year]
        return edition.development if self.split == "development" else edition.evaluation

    @property
    def runnable(self) -> tuple[PaperRow, ...]:
        return tuple(row for row in self.rows if row.can_run)

    def row(self, name: str) -> PaperRow:
        """The row of this printed name."""
        rows = {row.name: row for row in self.rows}
        if name not in rows:
            raise unknown(f"row of table {self.number}", name, rows)
        return rows[name]

    def records(self) -> Iterator[dict[str, Any]]:
        """One record per row: its name, its numbers in per cent, and how to get it here."""
        for row in self.rows:
            record: dict[str, Any] = {"row": row.name, "system": row.title}
            for at, measure in enumerate(self.measures):
                record |= {f"{machine} {measure.name}": row.values[machine][at] for machine in self.machines}
                if row.average:
                    record[f"average {measure.name}"] = row.average[at]
            yield record | {
                "settings": row.settings,
                "trained jointly": row.jointly,
                "training clips": row.training_clips,
                "protocol": row.protocol,
                "differs": row.differs,
                "cannot": row.reason_against,
            }

    def frame(self) -> pd.DataFrame:
        """The table as a DataFrame, one row per printed row."""
        import pandas as pd

        return pd.DataFrame(list(self.records()))
