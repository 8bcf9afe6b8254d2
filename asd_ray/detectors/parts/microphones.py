"""Which microphone a detector listens to, and the sound of the far one subtracted from that of the near one.

DCASE 2026 Task 2 has recordings of two channels (arXiv 2606.01578): 0 is near the machine, 1 is far from it and hears
mostly the surroundings. `microphone` is "near" (the default, and all that a bank of one channel has), "far", or
"near-far", in which the far sound is subtracted `far_share` times, to remove what both hear.

The paper's baseline takes the near channel. Systems of that challenge subtract half of the far embedding from the near
one. Chosen here: the subtraction of spectra is that of powers, |near|² - far_share·|far|², and leaves at least a
hundredth (20 dB less) of the near power in every bin; embeddings are scaled to length 1 before they are subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context
from asd_ray.detectors.parts.waves import Waves
from asd_ray.errors import AsdRayError
from asd_ray.features import Features, FeatureSource, FrontEnd, LogMel, Magnitude
from asd_ray.features._base import must_be

MICROPHONES = (NEAR, FAR, NEAR_FAR) = ("near", "far", "near-far")
FAR_CHANNEL = 1
FLOOR_DB = 20.0  # the most that the level of a bin falls
WINDOW_SECONDS = 0.064  # of the spectra of waves; half as far apart
KEPT = "kept_channels"  # a column of the table for `suits`, once the clips are decoded


def check_microphone(owner: object) -> None:
    """Check the parameters `microphone` and `far_share`."""
    must_be(owner, "microphone", getattr(owner, "microphone", None) in MICROPHONES, f"one of {', '.join(MICROPHONES)}")
    share = getattr(owner, "far_share", None)
    is_number = isinstance(share, int | float) and not isinstance(share, bool)
    must_be(owner, "far_share", is_number and 0 <= share < math.inf, "0 or more")  # type: ignore[operator]


def why_unheard(microphone: str, train: pd.DataFrame) -> str:
    """Why a detector cannot listen to `microphone` of these clips, for its `suits`; "" if it can."""
    if microphone == NEAR or KEPT not in train or int(train[KEPT].min()) > FAR_CHANNEL:
        return ""
    if "channels" in train and int(train["channels"].min()) <= FAR_CHANNEL:
        return f"microphone '{microphone}' needs a second channel, and the recordings have one; use microphone '{NEAR}'"
    return f"microphone '{microphone}' needs a second channel, and one is kept of these clips; keep all: --channel all"


def heard_clips(clips: ClipSet, microphone: str) -> ClipSet:
    """The clips on the channel that a detector listens to; the near one for "near-far"."""
    return clips.on_channel(FAR_CHANNEL) if microphone == FAR else clips


def heard_channels(clips: ClipSet, microphone: str) -> list[ClipSet]:
    """The clips on each channel that a detector listens to: two for "near-far"."""
    far = [clips.on_channel(FAR_CHANNEL)] if microphone == NEAR_FAR else []
    return [heard_clips(clips, microphone), *far]


def of_waves(front_end: FrontEnd, waves: Sequence[Tensor], far_share: float) -> Tensor:
    """Features of waves: of one microphone, or of the near and the far one."""
    features = [front_end(own) for own in waves]
    return features[0] if len(features) == 1 else subtracted_features(front_end, features[0], features[1], far_share)


def listening(context: Context, microphone: str, far_share: float) -> Context:
    """A context whose features are those of `microphone`, for a detector that takes all its input from them."""
    if microphone == NEAR:
        return context
    return replace(context, features=HeardFeatures(context.features, microphone, far_share))


@dataclass(frozen=True)
class HeardFeatures:
    """Features of a microphone. For "near-far" they are made of those of both channels, which are what is cached."""

    source: FeatureSource
    microphone: str
    far_share: float

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features:
        heard = self.source.get(front_end, heard_clips(clips, self.microphone), device=device, dtype=dtype)
        if self.microphone != NEAR_FAR:
            return heard
        far = self.source.get(front_end, clips.on_channel(FAR_CHANNEL), device=device, dtype=dtype)
        frames = np.empty((int(heard.lengths.sum()), *front_end.shape), dtype)
        start = np.cumsum(heard.lengths) - heard.lengths
        for i, (first, length) in enumerate(zip(start.tolist(), heard.lengths.tolist(), strict=True)):
            on_near, on_far = (torch.tensor(each.clip(i), dtype=torch.float32) for each in (heard, far))
            frames[first : first + length] = subtracted_features(front_end, on_near, on_far, self.far_share).numpy()
        return Features([frames], np.zeros(len(clips)), start, heard.lengths)


def subtracted_features(front_end: FrontEnd, near: Tensor, far: Tensor, far_share: float) -> Tensor:
    """Features of |near|² - far_share·|far|², from the features of both. Exact: a mel band is a sum of powers.

    A front end of other powers than 2 has its own unit: with magnitudes, |near| - far_share·|far| is taken.
    """
    if isinstance(front_end, LogMel):
        ratio = torch.exp((far - near) * (math.log(10) * front_end.power / 20))
        return near + (20 / front_end.power) * torch.log10(_share_left(ratio, far_share, front_end.power))
    if isinstance(front_end, Magnitude):
        return torch.maximum(near - far_share * far, near * _floor(front_end.power))
    raise AsdRayError(f"far sound cannot be subtracted from features of kind {front_end.KIND}; use microphone 'near'")


class HeardWaves(Waves):
    """Waves of a microphone, for nets that compute their own features."""

    def __init__(
        self, clips: ClipSet, front_end: FrontEnd, device: torch.device, microphone: str, far_share: float
    ) -> None:
        super().__init__(heard_clips(clips, microphone), front_end, device)
        self.far_share, self.rate = far_share, front_end.rate
        is_both = microphone == NEAR_FAR
        self.far = Waves(clips.on_channel(FAR_CHANNEL), front_end, device) if is_both else None

    def __call__(self, positions: Tensor) -> Tensor:
        waves = super().__call__(positions)
        return waves if self.far is None else subtracted_waves(waves, self.far(positions), self.far_share, self.rate)

    @property
    def less_far(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Near and far waves -> the near ones less the far ones, as they are here; None for one microphone."""
        if self.far is None:
            return None
        return lambda near, far: subtracted_waves(near, far, self.far_share, self.rate)


@torch.no_grad()
def subtracted_waves(near: Tensor, far: Tensor, far_share: float, rate: int) -> Tensor:
    """The near waves [n, samples] with the powers |near|² - far_share·|far|² and their own phases.

    Zeros at the end give each sample two windows; under the edge of a single one, a changed spectrum makes a spike.
    """
    with torch.autocast(near.device.type, enabled=False):
        size = max(16, 2 * round(WINDOW_SECONDS * rate / 2))
        window = torch.hann_window(size, device=near.device)
        padded = (pad(waves, (0, size)) for waves in (near, far))
        spectrum, of_far = (torch.stft(each, size, size // 2, window=window, return_complex=True) for each in padded)
        power = spectrum.real.square() + spectrum.imag.square()
        far_power = of_far.real.square() + of_far.imag.square()
        gain = _share_left(far_power / power.clamp(min=1e-20), far_share, 2.0).sqrt()
        waves: Tensor = torch.istft(spectrum * gain, size, size // 2, window=window, length=near.shape[1])
        return waves


def subtracted_embeddings(near: Tensor, far: Tensor, far_share: float) -> Tensor:
    """Embeddings [n, dimensions] of length 1, less `far_share` times those of the far microphone."""
    return normalize(near, dim=1) - far_share * normalize(far, dim=1)


def _share_left(ratio: Tensor, far_share: float, power: float) -> Tensor:
    """What is left of the near power, where `ratio` is far to near."""
    return (1 - far_share * ratio).clamp(min=_floor(power))


def _floor(power: float) -> float:
    return float(10 ** (-FLOOR_DB * power / 20))
