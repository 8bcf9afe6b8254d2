"""The held-out clips that altered clips are made from, by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.clips.audio import Samples
from asd_ray.clips.bank import ClipSet


class SourceClips:
    def __init__(self, clips: ClipSet) -> None:
        self.clips = clips
        self.names: list[str] = clips.frame["clip"].tolist()
        self._place = {name: position for position, name in enumerate(self.names)}

    @property
    def rate(self) -> int:
        return self.clips.rate

    def place(self, name: str) -> int:
        """The position of a clip in `clips`."""
        return self._place[name]

    def samples(self, name: str, channel: int = 0) -> Samples:
        clips = self.clips.on_channel(channel) if channel else self.clips
        return clips.samples(self._place[name])

    def in_turn(self) -> list[int]:
        """The positions of all clips, in an order that takes ids and domains in turn."""
        frame = self.clips.frame
        turn = frame.groupby(["id", "domain"]).cumcount()
        return [int(position) for position in np.lexsort((frame["id"], turn))]

    def another(self, position: int, number: int) -> str:
        """The name of another clip: of another id, else of another domain, else any. `number` picks one of them."""
        frame = self.clips.frame
        unlike: npt.NDArray[np.intp] = np.array([], np.intp)
        for column in ("id", "domain", "clip"):
            if not len(unlike):
                values = frame[column].to_numpy()
                unlike = np.flatnonzero(values != values[position])
        return self.names[int(unlike[number % len(unlike)])] if len(unlike) else self.names[position]
