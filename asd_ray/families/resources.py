"""What one trial asks of the computer."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST = 100_000  # CPUs, or GPUs, of one trial


@dataclass(frozen=True)
class Resources:
    """What one trial asks of Ray by default.

    `gpu` is a share of one card up to 1, or a whole number of cards. A family with 0 never gets a GPU.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    suits_cpu: bool = True  # whether a search without a GPU runs this family unless it is named
    memory: float = 0.0  # GiB of main memory that Ray sets aside; 0 asks for none

    def __post_init__(self) -> None:
        whole_or_share = self.gpu <= 1 or self.gpu == int(self.gpu)
        if not (0 < self.cpu <= MOST and 0 <= self.gpu <= MOST and whole_or_share and 0 <= self.memory < math.inf):
            raise ValueError(
                f"resources need cpu above 0 and at most {MOST}, gpu a share up to 1 or a whole number, memory in GiB "
                f"from 0, but got {self}"
            )
