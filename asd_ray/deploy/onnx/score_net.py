"""What the exporter of a family returns: a net from samples to the scores of clips."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_ray.deploy.onnx.front_ends import exported, with_noise_subtracted
from asd_ray.detectors.parts.supplemental import NoiseSubtraction
from asd_ray.features import FrontEnd

LONGEST = 10**9  # samples


class ScoreNet(nn.Module):
    """``forward(samples)`` or, with `ids`, ``forward(samples, id)`` -> variant -> one score per clip.

    `samples` are [clips, samples] in [-1, 1): of the length `samples` if that is not None, otherwise of any length from
    `least_samples`, which are one window of `window` frames; a window starts every `hop` frames. `id` is [clips], the
    position of each clip's machine and id in `ids`, or -1 for one that was not in training. `noise` is what the
    detector subtracts from the front end's frames.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        window: int = 1,
        hop: int = 1,
        ids: Sequence[str] = (),
        *,
        noise: NoiseSubtraction | None = None,
    ) -> None:
        super().__init__()
        self.rate, self.ids = front_end.rate, tuple(ids)
        spectral = exported(front_end)
        self.front_end = spectral if noise is None else with_noise_subtracted(spectral, noise)
        self.samples = front_end.used_samples(1) if front_end.short == "repeat" else None
        self.least_samples = self.samples or _samples_for(front_end, window)
        # With a single window, torch would fix the number of windows to one.
        self.example_samples = self.samples or _samples_for(front_end, window + 4 * hop)


def by_clip(values: Tensor, clips: Tensor) -> Tensor:
    """[clips · windows, …] -> [clips, windows, …]; `clips` is any tensor with one row per clip."""
    return values.reshape(clips.shape[0], -1, *values.shape[1:])


def mean_of_windows(values: Tensor, clips: Tensor) -> Tensor:
    """[clips · windows, …] -> [clips, …]."""
    return by_clip(values, clips).mean(1)


def of_id(by_id: Tensor, id: Tensor) -> Tensor:
    """[clips, ids] -> [clips]: the score under the clip's id, the lowest of all for the id -1."""
    with_unknown = torch.cat([by_id, by_id.amin(1, keepdim=True)], 1)
    return with_unknown.gather(1, row_of(id, by_id.shape[1])[:, None])[:, 0]


def row_of(id: Tensor, ids: int) -> Tensor:
    """The row of a table that has one row per id and a last one for -1."""
    return id.remainder(ids + 1)


def _samples_for(front_end: FrontEnd, frames: int) -> int:
    """The shortest clip that has so many frames."""
    return bisect_left(range(LONGEST), frames, key=front_end.frames)
