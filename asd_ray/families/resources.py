"""CPUs, GPUs and memory: what one trial asks for, and what a node or a whole cluster has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MOST = 100_000  # CPUs, or GPUs, of one trial
EPSILON = 1e-6  # shares of a GPU such as 1/3 do not add up exactly


@dataclass(frozen=True)
class Resources:
    """Amounts of CPU, GPU and memory. A detector's `RESOURCES` is what one of its trials asks of Ray by default.

    `gpu` of a trial is a share of one card up to 1, or a whole number of cards. A family with 0 never gets a GPU.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    suits_cpu: bool = field(default=True, compare=False)  # a search without a GPU runs this family unless it is False
    memory: float = 0.0  # GiB of main memory that Ray reserves; 0 reserves none

    def check_request(self) -> None:
        """Raise where no trial can ask for this. A node may have what no trial can ask for, such as 0 CPUs."""
        whole_or_share = self.gpu <= 1 or self.gpu == int(self.gpu)
        if not (0 < self.cpu <= MOST and 0 <= self.gpu <= MOST and whole_or_share and 0 <= self.memory < math.inf):
            raise ValueError(
                f"resources need cpu above 0 and at most {MOST}, gpu a share up to 1 or a whole number, memory in GiB "
                f"from 0, but got {self!r}"
            )

    def __str__(self) -> str:
        """For people: ``8 CPU, 2 GPU, 64 GiB of memory``."""
        parts = [f"{self.cpu:g} CPU", f"{self.gpu:g} GPU"]
        if self.memory:
            parts.append(f"{self.memory:.3g} GiB of memory")
        return ", ".join(parts)

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cpu + other.cpu, self.gpu + other.gpu, memory=self.memory + other.memory)

    def times(self, count: int) -> Resources:
        return Resources(self.cpu * count, self.gpu * count, memory=self.memory * count)

    def at_least(self, other: Resources) -> Resources:
        """The larger of the two, for CPUs, GPUs and memory each."""
        largest = max(self.memory, other.memory)
        return Resources(max(self.cpu, other.cpu), max(self.gpu, other.gpu), memory=largest)

    def covers(self, other: Resources) -> bool:
        """Whether there is as much of everything as `other` needs."""
        return (
            self.cpu >= other.cpu - EPSILON
            and self.gpu >= other.gpu - EPSILON
            and self.memory >= other.memory - EPSILON
        )

    def trials_at_once(self, request: Resources) -> int:
        """How many trials that ask for `request` a node with these resources runs at once.

        A trial that asks for a share of a card gets it on one card: the rests of two cards are not put together.
        """
        limits = [self.cpu / request.cpu]
        if request.gpu > 1:
            limits.append(self.gpu / request.gpu)
        elif request.gpu:
            limits.append(int(self.gpu) * math.floor(1 / request.gpu + EPSILON))
        if request.memory:
            limits.append(self.memory / request.memory)
        return math.floor(min(limits) + EPSILON)
