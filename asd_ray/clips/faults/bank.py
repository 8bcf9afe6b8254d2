"""Altered clips in the place of a bank: with a fault, or cropped. A clip is made when it is read, and not stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from asd_ray.clips.audio import Samples
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.faults.plan import VERSION
from asd_ray.clips.faults.sources import SourceClips


class Altered(Protocol):
    """A clip that is made from a held-out clip."""

    @property
    def source(self) -> str: ...

    @property
    def other(self) -> str:
        """The name of a second clip that the sound is made of; "" or another word if there is none."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...

    def samples(self, sources: SourceClips) -> Samples:
        """As long as the source."""

    def on_other_channel(self, sources: SourceClips, channel: int) -> Samples:
        """What another channel of the clip holds; as long as `samples`."""


class AlteredBank:
    """`ClipSet` takes it as it takes a `Bank`.

    `frame` has the columns of the sources, with names and labels of its own. The digest is of the clips that the sound
    is made of and of how: it lets features be cached.
    """

    def __init__(self, sources: SourceClips, altered: Sequence[Altered]) -> None:
        self._sources, self._altered = sources, altered
        clips = sources.clips
        self.decoding, self.channels = clips.bank.decoding, clips.channels
        rows = np.array([sources.place(one.source) for one in altered], np.intp)
        self.lengths: npt.NDArray[np.int64] = clips.lengths[rows]
        frame = clips.frame.iloc[rows].reset_index(drop=True)
        of_clip = dict(zip(sources.names, clips.frame["digest"], strict=True))
        self.frame = frame.assign(
            clip=[one.name for one in altered],
            label=[one.label for one in altered],
            digest=[_digest(one, of_clip) for one in altered],
        )

    def __len__(self) -> int:
        return len(self._altered)

    def samples(self, row: int, channel: int = 0) -> Samples:
        if channel:
            return self._altered[row].on_other_channel(self._sources, channel)
        return self._altered[row].samples(self._sources)

    def clips(self, start: int = 0, end: int | None = None) -> ClipSet:
        """Some of the altered clips, in their order."""
        return ClipSet(self, np.arange(len(self))[start:end])


def _digest(one: Altered, of_clip: Mapping[str, str]) -> str:
    sounds = [of_clip[one.source], *([of_clip[one.other]] if one.other in of_clip else [])]
    return xxhash.xxh3_128_hexdigest(f"{' '.join(sounds)} {VERSION} {one}".encode())
