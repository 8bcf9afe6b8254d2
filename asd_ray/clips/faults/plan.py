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
from asd_ray.clips.demo.machines import MACHINES
from asd_ray.clips.faults.kinds import KINDS, OTHER_MACHINE, SPLICE, inject, sound_of_machine
from asd_ray.clips.faults.reference import SECONDS, Reference
from asd_ray.clips.faults.sources import SourceClips
from asd_ray.clips.table import ANOMALY
from asd_ray.metrics.injected import fault_name

VERSION = 2  # rises when the same plan gives other sounds, or the same clips give another plan
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
    other: str  # where the second sound is from: the name of a synthetic machine, or of a held-out clip

    label = ANOMALY

    @property
    def name(self) -> str:
        return fault_name(self.source, self.kind, self.level)

    def samples(self, sources: SourceClips, seconds: float | None = None) -> Samples:
        """The clip with the fault, or its first `seconds`."""
        draw = np.random.default_rng(zlib.crc32(f"{self.source} {self.kind} {self.level}".encode()))
        source, other = sources.samples(self.source), None
        if seconds is not None:
            source = source[: int(seconds * sources.rate)]
        if self.kind == OTHER_MACHINE:
            other = sound_of_machine(self.other, sources.rate, draw)
        elif self.kind == SPLICE:
            other = sources.samples(self.other)
        return inject(self.kind, source, sources.rate, self.amount, draw, other)

    def on_other_channel(self, sources: SourceClips, channel: int) -> Samples:
        """The clip without the fault: it is at the machine, which the first microphone hears best.

        How faint a fault is at another microphone is not known. So detectors that listen to another microphone alone
        cannot be judged by injected faults.
        """
        return sources.samples(self.source, channel)


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
    sources = SourceClips(held_out)
    amounts, order = _amounts(train, sources), sources.in_turn()
    faults, at = [], 0
    for kind in KINDS:
        for level, amount in enumerate(amounts[kind]):
            for _ in range(PER_LEVEL):
                faults.append(_fault(sources, order[at % len(order)], kind, level, amount, at))
                at += 1
    unique = {fault.name: fault for fault in faults}  # fewer clips than PER_LEVEL
    return FaultPlan(tuple(unique.values()))


def _fault(sources: SourceClips, position: int, kind: str, level: int, amount: float, number: int) -> InjectedFault:
    """A fault of the clip at `position`. `number` picks the second sound, if the kind takes one."""
    other = ""
    if kind == OTHER_MACHINE:
        own = str(sources.clips.frame["machine"].iloc[position]).lower()
        machines = sorted(name for name in MACHINES if name.lower() != own)
        other = machines[number % len(machines)]
    elif kind == SPLICE:
        other = sources.another(position, number)
    return InjectedFault(sources.names[position], kind, level, amount, other)


def _amounts(train: ClipSet, sources: SourceClips) -> Mapping[str, tuple[float, ...]]:
    """Kind -> the amount of each level. Every id has a reference detector of its own."""
    rate, ids, held_out = train.rate, train.frame["id"].to_numpy(), sources.clips
    step = max(1, len(train) // LEARNED)
    references = {
        id: Reference([train.samples(int(row)) for row in np.flatnonzero(ids == id)[::step]], rate)
        for id in sorted(set(ids))
    }
    own = held_out.frame["id"].to_numpy()
    known = [row for row in range(len(held_out)) if own[row] in references]
    probes = [row for row in sources.in_turn()[:PROBES] if own[row] in references]
    normal = np.array([references[own[row]].score(held_out.samples(row)) for row in known])

    @cache  # the three levels ask for the same amounts
    def auc(kind: str, amount: float) -> float:
        faults = [_fault(sources, row, kind, 0, amount, number) for number, row in enumerate(probes)]
        scores = [
            references[own[row]].score(fault.samples(sources, SECONDS))  # as much as the reference looks at
            for row, fault in zip(probes, faults, strict=True)
        ]
        return _share_above(np.array(scores), normal)

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


def _share_above(faulty: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> float:
    """The AUC: the share of pairs in which the faulty clip scores higher."""
    return float((faulty[:, None] > normal[None]).mean() + 0.5 * (faulty[:, None] == normal[None]).mean())
