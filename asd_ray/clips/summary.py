"""What a dataset holds, in numbers: clips by machine, id and domain, and one row per machine."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from asd_ray.clips.searchable import unsearchable_reasons
from asd_ray.clips.table import ANOMALY, NORMAL, SUPPLEMENTAL, TEST, TRAIN, UNKNOWN, ClipTable


@dataclass(frozen=True)
class ClipCounts:
    """How many clips there are of each split and label."""

    train: int
    test_normal: int
    test_anomaly: int
    test_unlabelled: int
    supplemental: int

    @classmethod
    def of(cls, rows: pd.DataFrame) -> ClipCounts:
        counts = rows.groupby(["split", "label"]).size()

        def count(split: str, label: str) -> int:
            return int(counts.get((split, label), 0))

        return cls(
            train=count(TRAIN, NORMAL),
            test_normal=count(TEST, NORMAL),
            test_anomaly=count(TEST, ANOMALY),
            test_unlabelled=count(TEST, UNKNOWN),
            supplemental=int((rows["split"] == SUPPLEMENTAL).sum()),
        )


@dataclass(frozen=True)
class CellSummary:
    """The clips of one machine id in one domain, with their lengths and formats."""

    machine: str
    id: str
    domain: str  # "" if the year has no domains or hides them
    counts: ClipCounts
    shortest: float  # seconds
    longest: float
    rates: tuple[int, ...]  # Hz
    channels: tuple[int, ...]

    def to_row(self) -> dict[str, str | int]:
        """The cell as one row of the table that `asd-ray data check` prints, and of its JSON."""
        return {
            "machine": self.machine,
            "id": self.id,
            "domain": self.domain or "-",
            "train": self.counts.train,
            "test normal": self.counts.test_normal,
            "test anomaly": self.counts.test_anomaly,
            "test unlabelled": self.counts.test_unlabelled,
            "supplemental": self.counts.supplemental,
            "seconds": _span(self.shortest, self.longest),
            "Hz": ", ".join(map(str, self.rates)),
            "ch": ", ".join(map(str, self.channels)),
        }


@dataclass(frozen=True)
class MachineSummary:
    """The clips of one machine, and whether a search can run on it."""

    machine: str
    ids: tuple[str, ...]
    counts: ClipCounts
    seconds: float | None  # of all clips together; None before their headers were read
    unsearchable: str  # why a search cannot run on this machine; "" if it can


def cell_summaries(frame: pd.DataFrame) -> list[CellSummary]:
    """One summary per machine, id and domain, for a frame with the MEASURED columns (from `check` or a bank)."""
    return [
        CellSummary(
            machine=str(machine),
            id=str(id),
            domain=str(domain),
            counts=ClipCounts.of(rows),
            shortest=float(rows["seconds"].min()),
            longest=float(rows["seconds"].max()),
            rates=_distinct(rows["rate"]),
            channels=_distinct(rows["channels"]),
        )
        for (machine, id, domain), rows in frame.groupby(["machine", "id", "domain"], sort=True)
    ]


def machine_summaries(table: ClipTable) -> list[MachineSummary]:
    """One summary per machine, in alphabetical order; `table` may come from `scan` or from `check`."""
    reasons = unsearchable_reasons(table)
    measured = "seconds" in table.frame

    def reason(machine: str) -> str:
        return f"{reasons[machine].rule}; {reasons[machine].cure}" if machine in reasons else ""

    return [
        MachineSummary(
            machine=str(machine),
            ids=tuple(sorted(rows["id"].unique())),
            counts=ClipCounts.of(rows),
            seconds=float(rows["seconds"].sum()) if measured else None,
            unsearchable=reason(str(machine)),
        )
        for machine, rows in table.frame.groupby("machine", sort=True)
    ]


def _span(low: float, high: float) -> str:
    return f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f}–{high:.1f}"


def _distinct(values: pd.Series) -> tuple[int, ...]:
    return tuple(int(value) for value in sorted(values.unique()))
