"""The healthy twin of a clip with a fault: the same random draws, without the fault.

Most faults change how draws are used and not how many there are, so that the very same stream gives the twin. Some
change the number: a fan that runs faster has more strokes, cavitation has more bubbles, contamination draws its own
knocks. From then on, one stream would give two unrelated noises. Therefore the draws of the clip are recorded, and the
twin gets the recorded ones, call by call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from asd_ray.clips.demo.sound import Draw

T = TypeVar("T")


class _Call(NamedTuple):
    method: str
    args: tuple[Any, ...]
    value: Any


class _Recorder:
    """Draws from a stream, and remembers what was drawn."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self.calls: deque[_Call] = deque()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            value = getattr(self._draw, method)(*args)
            self.calls.append(_Call(method, args, value))
            return value

        return call


class _Replay:
    """Gives recorded draws again. The twin's draws beyond the recorded ones come from `spare`.

    A call takes the next recorded call of the same method and skips those before it, which only the fault made. If it
    wants fewer values than were recorded, it gets the first ones.
    """

    def __init__(self, calls: deque[_Call], spare: Draw) -> None:
        self._calls, self._spare = calls, spare

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            while self._calls and self._calls[0].method != method:
                self._calls.popleft()
            own = getattr(self._spare, method)(*args)
            if not self._calls:
                return own
            recorded = self._calls.popleft()
            if method == "poisson":  # the number of random events; the twin has a random part of them
                (before,), (now,) = recorded.args, args
                return recorded.value if now >= before else self._spare.binomial(recorded.value, now / before)
            if np.ndim(own) == 0:
                return recorded.value
            common = min(np.size(own), np.size(recorded.value))
            own.flat[:common] = recorded.value.flat[:common]
            return own

        return call


def with_and_without(make: Callable[[Draw, bool], T], draw: Draw, seed: int) -> tuple[T, T]:
    """``make(draw, True)``, which has the fault, and its healthy twin ``make(…, False)``."""
    recorder = _Recorder(draw)
    faulty = make(cast(Draw, recorder), True)
    replay = _Replay(recorder.calls, np.random.default_rng(seed))
    return faulty, make(cast(Draw, replay), False)
