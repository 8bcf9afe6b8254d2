"""Features of a set of clips: computed in batches, stored with their own lengths, read by detectors as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.errors import AsdRayError
from asd_ray.features._base import BLOCK, FrontEnd

Array = npt.NDArray[np.floating]
DTYPES: dict[str, type[np.floating]] = {"float32": np.float32, "float16": np.float16}
BATCH_SAMPLES = 64 * 160_000  # samples per batch on a GPU: 64 clips of 10 s, about 0.4 GB of spectra


class Features:
    """Features of clips of different lengths. `clip(i)` is an array [frames, *shape], often a view of a memory map."""

    def __init__(
        self, parts: Sequence[Array], part: npt.ArrayLike, start: npt.ArrayLike, lengths: npt.ArrayLike
    ) -> None:
        self._parts = list(parts)  # arrays of concatenated frames
        self._part = np.asarray(part, np.int64)  # clip i is in parts[part[i]] …
        self._start = np.asarray(start, np.int64)  # … from this frame on
        self.lengths = np.asarray(lengths, np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one frame."""
        return self._parts[0].shape[1:]

    def clip(self, i: int) -> Array:
        """The features of one clip."""
        start = self._start[i]
        frames: Array = self._parts[self._part[i]][start : start + self.lengths[i]]
        return frames

    def take(self, positions: npt.ArrayLike) -> Features:
        """The clips at `positions` (indices or a boolean mask), without a copy."""
        selected = np.asarray(positions)
        return Features(self._parts, self._part[selected], self._start[selected], self.lengths[selected])

    def tensor(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
        """All frames, clip after clip, [sum of lengths, *shape], contiguous on `device`; see `framing` for windows."""
        stored = torch.float16 if self._parts and self._parts[0].dtype == np.float16 else torch.float32
        joined = torch.empty((int(self.lengths.sum()), *self.shape), dtype=stored)
        position = 0
        for i, length in enumerate(self.lengths.tolist()):  # one memcpy per clip
            joined.numpy()[position : position + length] = self.clip(i)
            position += length
        return joined.to(device=device, dtype=dtype)


def extract(
    front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
) -> Features:
    """Compute features without the cache, in batches of equally long clips on `device`."""
    lengths = frame_counts(front_end, clips)
    out = np.empty((int(lengths.sum()), *front_end.shape), numpy_dtype(dtype))
    extract_into(out, front_end, clips, device=device)
    return Features([out], np.zeros(len(clips)), np.cumsum(lengths) - lengths, lengths)


def extract_into(out: Array, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu") -> None:
    """Write the frames of `clips`, in their order, one after another into `out`."""
    lengths = frame_counts(front_end, clips)
    start = np.cumsum(lengths) - lengths
    batch_samples = BLOCK if torch.device(device).type == "cpu" else BATCH_SAMPLES
    for positions, waves in clips.batches(max(1, batch_samples // int(clips.lengths.max(initial=1)))):
        features = front_end(torch.from_numpy(waves).to(device)).cpu().numpy()
        with np.errstate(over="ignore"):
            features = features.astype(out.dtype, copy=False)
        if out.dtype == np.float16 and not np.isfinite(features).all():
            raise AsdRayError(f"features of {front_end.KIND} do not fit float16 (largest 65504); use dtype='float32'")
        for position, frames in zip(positions.tolist(), features, strict=True):
            out[start[position] : start[position] + lengths[position]] = frames


def frame_counts(front_end: FrontEnd, clips: ClipSet) -> npt.NDArray[np.int64]:
    """Frames of each clip, computed once per distinct length. An error if a clip has none or the rates differ."""
    if front_end.rate != clips.rate:
        raise AsdRayError(
            f"the front end expects {front_end.rate} Hz but the bank has {clips.rate} Hz; "
            f"build the bank with rate={front_end.rate}, or use a front end for {clips.rate} Hz"
        )
    different, which = np.unique(clips.lengths, return_inverse=True)
    counts = np.array([front_end.frames(int(n)) for n in different], np.int64)
    if len(counts) and counts.min() < 1:
        longest = int(different[counts < 1].max())
        raise AsdRayError(
            f"clips of {longest} samples are too short for one frame of {front_end.KIND}; "
            "remove them, or use a front end with seconds=… and short='repeat'"
        )
    return counts[which]


def numpy_dtype(dtype: str) -> type[np.floating]:
    """The numpy type for "float32" or "float16"."""
    if dtype not in DTYPES:
        raise AsdRayError(f"dtype of features must be float32 or float16 but got {dtype!r}")
    return DTYPES[dtype]
