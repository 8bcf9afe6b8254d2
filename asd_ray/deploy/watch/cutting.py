"""Cut sound into windows that overlap, in the memory of one window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from asd_ray._rules import is_number
from asd_ray.deploy.result import Samples
from asd_ray.errors import AsdRayError

WINDOW = 10.0  # seconds, the length of DCASE clips
LONGEST = 3600.0  # seconds, so that a window fits into memory
SHORTEST = 0.01


@dataclass(frozen=True)
class Cutting:
    """Windows of `window` seconds, one every `hop` seconds, of sound at `rate`."""

    rate: int
    window: float = WINDOW
    hop: float = WINDOW / 2

    def __post_init__(self) -> None:
        for name in ("window", "hop"):
            value = getattr(self, name)
            if not is_number(value) or not SHORTEST <= value <= LONGEST:
                raise AsdRayError(f"--{name} must be between {SHORTEST:g} and {LONGEST:g} seconds but got {value!r}")

    @property
    def size(self) -> int:
        return max(1, round(self.window * self.rate))

    @property
    def step(self) -> int:
        return max(1, round(self.hop * self.rate))

    @property
    def overlap(self) -> float:
        """The share of a window that the next one has as well."""
        return max(0.0, 1 - self.step / self.size)


class Cutter:
    """The windows of one file or stream, as (first sample, samples). Sound is [samples] or [channels, samples]."""

    def __init__(self, cutting: Cutting) -> None:
        self._size, self._step = cutting.size, cutting.step
        self._kept: Samples | None = None  # from the start of the last window on, for `finish`; None before any sound
        self._start = 0  # of the kept samples, in samples since the beginning
        self._next = 0  # start of the next window

    @property
    def _end(self) -> int:
        return self._start + _length(self._kept)

    def push(self, samples: Samples) -> Iterator[tuple[int, Samples]]:
        """The windows that are complete with these samples."""
        self._kept = samples.copy() if self._kept is None else np.concatenate([self._kept, samples], axis=-1)
        while self._next + self._size <= self._end:
            yield self._next, self._part(self._next)
            self._next += self._step
        overlapping = self._step <= self._size
        first = min(self._next - self._step if overlapping else self._next, self._end)
        if first > self._start:
            self._kept = self._kept[..., first - self._start :].copy()
            self._start = first

    def finish(self) -> Iterator[tuple[int, Samples]]:
        """The last window: a whole sound that is shorter than a window, or the last seconds that no window has covered.

        Windows further apart than they are long leave gaps by intention, so nothing is added to those.
        """
        if self._kept is None:
            return
        if self._next == 0:
            if _length(self._kept):
                yield 0, self._kept
        elif self._step <= self._size and self._end > self._next - self._step + self._size:
            yield self._end - self._size, self._part(self._end - self._size)

    def _part(self, first: int) -> Samples:
        assert self._kept is not None
        return self._kept[..., first - self._start : first - self._start + self._size].copy()


def _length(samples: Samples | None) -> int:
    return 0 if samples is None else samples.shape[-1]
