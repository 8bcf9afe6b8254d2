"""Halves of held-out clips: a detector that listens to the machine gives both halves of a clip much the same rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asd_ray.clips.audio import Samples
from asd_ray.clips.faults.sources import SourceClips
from asd_ray.clips.table import NORMAL
from asd_ray.metrics.injected import crop_name

MOST = 20  # clips whose halves are scored


@dataclass(frozen=True)
class Crop:
    """One half of a clip, played twice: some detectors take clips of one length only."""

    source: str
    half: int  # 0 or 1

    label = NORMAL
    other = ""

    @property
    def name(self) -> str:
        return crop_name(self.source, self.half)

    def samples(self, sources: SourceClips) -> Samples:
        return self._of(sources.samples(self.source))

    def on_other_channel(self, sources: SourceClips, channel: int) -> Samples:
        """The same half."""
        return self._of(sources.samples(self.source, channel))

    def _of(self, whole: Samples) -> Samples:
        middle = len(whole) // 2
        return np.resize(whole[middle:] if self.half else whole[:middle], len(whole))


def crops_of(sources: SourceClips) -> tuple[Crop, ...]:
    """Both halves of some clips, taken from ids and domains in turn."""
    return tuple(Crop(sources.names[position], half) for position in sources.in_turn()[:MOST] for half in (0, 1))
