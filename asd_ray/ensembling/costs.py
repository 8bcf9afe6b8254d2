"""The time that detectors take to score 10 s of sound, as it was measured on one computer.

`asd_ray.deploy.costs` measures it. Here are the numbers, which an ensemble file keeps, and what measures them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from asd_ray.ensembling._part import Part

SECONDS = 10.0  # of sound; every cost is the time for so much


@dataclass(frozen=True)
class Costs(Part):
    """Seconds of work for 10 s of sound. Members with the same front end compute their features once."""

    computer: str
    detectors: Mapping[str, float]  # trial -> seconds, without its features
    features: Mapping[str, float]  # front end -> seconds
    uses: Mapping[str, tuple[str, ...]]  # trial -> its front ends

    def of(self, trials: Iterable[str]) -> float:
        """The cost of these trials together: the sum of all their parts, each counted once."""
        own = sorted(set(trials))
        front_ends = sorted({front_end for trial in own for front_end in self.uses[trial]})
        return sum(self.detectors[trial] for trial in own) + sum(self.features[name] for name in front_ends)


@dataclass(frozen=True)
class InferenceTime(Part):
    """How long an ensemble takes for 10 s of sound, and the costs by which its members were chosen."""

    seconds: float  # of the whole ensemble, measured after it was chosen
    budget: float  # seconds that the costs of the members may add up to
    costs: Costs  # of all candidates


@dataclass(frozen=True)
class RunningCost(Part):
    """What an ensemble costs to run: the time for 10 s of sound, measured on one computer."""

    seconds: float
    computer: str

    @property
    def sentence(self) -> str:
        """``12.3 ms for 10 s of sound, in one thread of …``"""
        return f"{in_ms(self.seconds)} for {SECONDS:g} s of sound, in one thread of {self.computer}"


class Timer(Protocol):
    """What measures costs. Choosing calls it, so that this package needs no detector."""

    @property
    def computer(self) -> str:
        """The computer on which it measures."""

    @property
    def unmeasured(self) -> Mapping[str, str]:
        """Trial -> why it could not be measured, of those that `costs` left out."""

    def costs(self, trials: Sequence[str]) -> Costs:
        """The costs of those of the trials that can be measured. Called before choosing."""

    def whole(self, trials: Sequence[str]) -> float:
        """Seconds of these trials together, measured. Called for an ensemble after it was chosen.

        AsdRayError if one of them cannot be measured.
        """


def in_ms(seconds: float) -> str:
    """A time for people: 12.3 ms."""
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.3g} ms"
