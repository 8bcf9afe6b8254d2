"""Which faults are injected into which held-out clips of a machine, and how strong they are.

The amounts are calibrated: for each kind, a simple reference detector must tell faulty from normal clips with an AUC
near each of `TARGETS`. So no kind is lost in the noise of the machine, and none is so plain that every detector finds
it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from asd_ray.clips.audio import Samples
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.faults.kinds import KINDS, inject
from asd_ray.clips.faults.reference import SECONDS, Reference

VERSION = 1  # rises when the same plan gives other sounds, or the same clips give another plan
TARGETS = (0.65, 0.8, 0.95)  # AUC of the reference detector at the three levels
GRID = tuple(round(0.08 * step, 2) for step in range(1, 13))  # amounts; few, so that all computers choose the same
PROBES = 10  # clips that a kind is calibrated on
LEARNED = 200  # the most training clips that the reference learns from
PER_LEVEL = 4  # clips of each kind and level


@dataclass(frozen=True)
class InjectedFault:
    """One clip with a fault."""

    source: str  # the name of the held-out clip
    kind: str
    level: int  # from 0, the hardest to hear
    amount: float

    @property
    def seed(self) -> int:
        return zlib.crc32(f"{self.source} {self.kind} {self.level}".encode())

    def samples(self, source: Samples, rate: int) -> Samples:
        return inject(self.kind, source, rate, self.amount, np.random.default_rng(self.seed))


@dataclass(frozen=True)
class FaultPlan:
    """The faults of one machine."""

    faults: tuple[InjectedFault, ...]

    def __len__(self) -> int:
        return len(self.faults)


def plan_faults(train: ClipSet, held_out: ClipSet) -> FaultPlan:
    """The plan for held-out clips; `train` are the clips that detectors learn from. It is the same on all computers."""
    if not len(held_out):
        return FaultPlan(())
    amounts = _amounts(train, held_out)
    names = held_out.frame["clip"].tolist()
    sources = [names[row] for row in _spread(held_out)]
    faults, at = [], 0
    for kind in KINDS:
        for level, amount in enumerate(amounts[kind]):
            for _ in range(PER_LEVEL):
                faults.append(InjectedFault(sources[at % len(sources)], kind, level, amount))
                at += 1
    unique = {(fault.source, fault.kind, fault.level): fault for fault in faults}  # fewer clips than PER_LEVEL
    return FaultPlan(tuple(unique.values()))


def _spread(clips: ClipSet) -> list[int]:
    """Rows in an order that takes ids and domains in turn."""
    turn = clips.frame.groupby(["id", "domain"]).cumcount()
    return [int(row) for row in np.lexsort((clips.frame["id"], turn))]


def _amounts(train: ClipSet, held_out: ClipSet) -> Mapping[str, tuple[float, ...]]:
    """Kind -> the amount of each level. Every id has a reference detector of its own."""
    rate, ids = train.rate, train.frame["id"].to_numpy()
    step = max(1, len(train) // LEARNED)
    references = {
        id: Reference([train.samples(int(row)) for row in np.flatnonzero(ids == id)[::step]], rate)
        for id in sorted(set(ids))
    }
    probes, own = _spread(held_out)[:PROBES], held_out.frame["id"].to_numpy()
    known = [row for row in range(len(held_out)) if own[row] in references]
    probes = [row for row in probes if own[row] in references]
    normal = np.array([references[own[row]].score(held_out.samples(row)) for row in known])
    names = held_out.frame["clip"].tolist()

    @cache  # the three levels ask for the same amounts
    def auc(kind: str, amount: float) -> float:
        faulty = [
            references[own[row]].score(
                InjectedFault(names[row], kind, 0, amount).samples(_start(held_out.samples(row), rate), rate)
            )
            for row in probes
        ]
        return _share_above(np.array(faulty), normal)

    return {kind: tuple(_smallest(kind, target, auc) for target in TARGETS) for kind in KINDS}


def _smallest(kind: str, target: float, auc: Callable[[str, float], float]) -> float:
    """The smallest amount of the grid whose AUC reaches the target, by bisection; the largest if none does."""
    low, high = 0, len(GRID) - 1
    while low < high:
        middle = (low + high) // 2
        if auc(kind, GRID[middle]) >= target:
            high = middle
        else:
            low = middle + 1
    return GRID[low]


def _start(samples: Samples, rate: int) -> Samples:
    """As much as the reference detector looks at."""
    return samples[: int(SECONDS * rate)]


def _share_above(faulty: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> float:
    """The AUC: the share of pairs in which the faulty clip scores higher."""
    return float((faulty[:, None] > normal[None]).mean() + 0.5 * (faulty[:, None] == normal[None]).mean())
