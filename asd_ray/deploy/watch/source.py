"""Where sound comes from. A source gives windows, and None when no more sound is there for the moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from asd_ray.deploy.result import Samples
from asd_ray.deploy.watch.cutting import Cutting


@dataclass(frozen=True)
class Window:
    name: str  # path of the file, relative to the folder; "-" for a stream
    offset: float  # seconds from the start of the file or the stream
    began: datetime
    seconds: float
    samples: Samples  # at the rate of the scorer; [channels, samples] for one that takes every channel
    whole: bool = True  # False: the sound ended before the window was full


def window_of(name: str, origin: datetime, first: int, samples: Samples, cutting: Cutting) -> Window:
    """A window of the sound that began at the time `origin`, from its sample `first` on."""
    offset = first / cutting.rate
    return Window(
        name=name,
        offset=round(offset, 3),
        began=origin + timedelta(seconds=offset),
        seconds=samples.shape[-1] / cutting.rate,
        samples=samples,
        whole=samples.shape[-1] == cutting.size,
    )


@dataclass(frozen=True)
class Broken:
    """Sound that cannot be read, or bytes that are no sample."""

    name: str
    reason: str


class Source(Protocol):
    @property
    def description(self) -> str: ...  # for people

    @property
    def live(self) -> bool: ...  # sound that is lost if it is not read in time

    @property
    def files(self) -> int: ...  # read so far

    def windows(self, cutting: Cutting, stopping: threading.Event) -> Iterator[Window | Broken | None]:
        """Windows in order, until the input ends or `stopping` is set. None means that nothing waits to be read."""
        ...
