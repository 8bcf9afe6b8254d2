"""Where a score comes from, for any scorer: fill patches of a clip with what is normal there, and score again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from asd_ray.deploy.explain.heat_map import Grid, HeatMap
from asd_ray.deploy.explain.spectrum import Floats, Mask, Spectrum
from asd_ray.deploy.result import Samples, Scorer

BATCH_SAMPLES = 32 * 160_000  # per call of the scorer: 32 clips of 10 s, 10 MB
PatchCallback = Callable[[int, int], None]  # altered clips scored, and how many there are


class Occlusion:
    """One sound, and the median magnitude of normal sound in each frequency bin.

    Filling a patch moves its magnitudes into the normal range. This removes what is too loud and restores a part of
    what is missing, so one operation finds both kinds of fault.
    """

    def __init__(
        self, scorer: Scorer, id: str, spectrum: Spectrum, normal: Floats, others: Samples | None = None
    ) -> None:
        """`others`, [channels, samples], are channels that the scorer gets unaltered after the altered one."""
        self._scorer, self._id, self._spectrum, self._others = scorer, id, spectrum, others
        self._filled = spectrum.filled(normal)

    def patch_count(self, grid: Grid) -> int:
        """How many altered clips `heat_map` scores."""
        hz, seconds = self._edges(grid)
        return len(_patches(len(hz) - 1)) * len(_patches(len(seconds) - 1))

    def heat_map(self, score: float, grid: Grid, progress: PatchCallback = lambda done, total: None) -> HeatMap:
        """The drop of the score: in each cell the mean over all patches that cover it.

        `score` is that of the unaltered sound. At most one batch of altered clips is in memory.
        """
        hz, seconds = self._edges(grid)
        bin_edges = np.searchsorted(self._spectrum.hz, hz)
        bin_edges[-1] = len(self._spectrum.hz)  # the last bin, at half the rate
        frame_edges = np.searchsorted(self._spectrum.seconds, seconds)
        frame_edges[-1] = len(self._spectrum.seconds)
        patches = list(product(_patches(len(hz) - 1), _patches(len(seconds) - 1)))
        sums, counts = np.zeros((2, len(hz) - 1, len(seconds) - 1))
        for start in range(0, len(patches), self._batch_clips):
            batch = patches[start : start + self._batch_clips]
            sounds = [
                self._spectrum.sound_with(self._filled, _between(bin_edges, bands), _between(frame_edges, steps))
                for bands, steps in batch
            ]
            for (bands, steps), altered in zip(batch, self.scores(sounds), strict=True):
                sums[bands, steps] += score - altered
                counts[bands, steps] += 1
            progress(start + len(batch), len(patches))
        return HeatMap(sums / counts, hz, seconds, "drop of the score")

    def scores_without(self, masks: Sequence[Mask]) -> list[float]:
        """The score of the sound after filling each of these masks, [bins, frames]."""
        scores: list[float] = []
        for start in range(0, len(masks), self._batch_clips):
            batch = masks[start : start + self._batch_clips]
            scores += self.scores([self._spectrum.sound_where(self._filled, mask) for mask in batch])
        return scores

    def scores(self, sounds: Sequence[Samples]) -> list[float]:
        if self._others is not None:
            sounds = [np.concatenate([sound[None], self._others]) for sound in sounds]
        return [each.score for each in self._scorer.score_waves(sounds, self._id)]

    @property
    def _batch_clips(self) -> int:
        channels = 1 if self._others is None else 1 + len(self._others)
        return max(1, BATCH_SAMPLES // (channels * len(self._spectrum.samples)))

    def _edges(self, grid: Grid) -> tuple[Floats, Floats]:
        spectrum = self._spectrum
        return grid.hz(spectrum.rate), grid.seconds(len(spectrum.samples) / spectrum.rate)


def _patches(cells: int) -> list[slice]:
    """Pairs of neighbouring cells along one axis; the single cell if there is one only."""
    return [slice(first, first + 2) for first in range(max(1, cells - 1))]


def _between(edges: npt.NDArray[np.intp], cells: slice) -> slice:
    return slice(int(edges[cells.start]), int(edges[min(cells.stop, len(edges) - 1)]))


def mask_of(spectrum: Spectrum, heat_map: HeatMap, cells: Mask) -> Mask:
    """The bins and frames of `spectrum` that lie in some cells of a map."""
    inside = HeatMap(cells.astype(np.float32), heat_map.hz, heat_map.seconds, "")
    mask: Mask = inside.at(spectrum.hz, spectrum.seconds) > 0
    return mask
