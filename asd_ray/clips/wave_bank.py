"""Sounds in memory in the place of a bank: for scoring new recordings, which are read once and not kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_ray.clips._store import Decoding
from asd_ray.clips.audio import ALL, Samples
from asd_ray.clips.table import TEST, UNKNOWN
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    import pandas as pd


class WaveBank:
    """Some sounds of one machine, decoded to int16 at one rate. `ClipSet` takes it as it takes a `Bank`.

    A wave is [samples], or [channels, samples] where every channel is kept.
    """

    def __init__(
        self,
        waves: Sequence[Samples],
        *,
        machine: str,
        rate: int,
        ids: Sequence[str],
        domains: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        import pandas as pd

        self._waves = [np.atleast_2d(wave) for wave in waves]
        counts = sorted({len(wave) for wave in self._waves}) or [1]
        if len(counts) > 1:
            numbers = " and ".join(map(str, counts))
            raise AsdRayError(f"sounds with {numbers} channels cannot be scored together; give all of them one number")
        self.channels = counts[0]
        self.decoding = Decoding(rate, 0 if self.channels == 1 else ALL)
        self.lengths: npt.NDArray[np.int64] = np.array([wave.shape[1] for wave in self._waves], np.int64)
        clips = [f"{number:06d}" for number in range(len(waves))] if names is None else list(names)
        self.frame: pd.DataFrame = pd.DataFrame(
            {
                "clip": clips,
                "machine": machine,
                "id": list(ids),
                "domain": [""] * len(waves) if domains is None else list(domains),
                "split": TEST,
                "label": UNKNOWN,
                "attributes": "{}",
                "path": clips,
                "rate": rate,
                "channels": self.channels,
                "frames": self.lengths,
                "seconds": self.lengths / rate,
            }
        )

    def __len__(self) -> int:
        return len(self._waves)

    def samples(self, row: int, channel: int = 0) -> Samples:
        samples: Samples = self._waves[row][channel]
        return samples
