"""Front ends as modules that torch can export: the same features as `asd_ray.features`, from operators of ONNX."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asd_ray.deploy.onnx.errors import CannotExport
from asd_ray.deploy.onnx.fourier import RealFft
from asd_ray.detectors.parts.supplemental import NoiseSubtraction, less_noise
from asd_ray.features import Complex, FrontEnd, LogMel, Magnitude
from asd_ray.features.spectral import Spectral, _window


class ExportedSpectral(nn.Module):
    """[clips, samples] in [-1, 1) -> [clips, frames, …], as the given front end computes it.

    Clips may have any length. `seconds` of a front end cuts longer clips; where it also repeats shorter ones, the
    length of the graph's input is fixed, and there is nothing to do here.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, front_end: Spectral) -> None:
        super().__init__()
        self.front_end, self.fft = front_end, RealFft(front_end.n_fft)
        self.limit = None if front_end.seconds is None else front_end.used_samples(2**62)
        self.register_buffer("window", _window(front_end.win_length or front_end.n_fft, front_end.n_fft).clone())
        if isinstance(front_end, LogMel):
            self.register_buffer("filters", front_end._filters().clone())

    def forward(self, waves: Tensor) -> Tensor:
        front_end = self.front_end
        real, imaginary = self.spectrum(waves)
        if isinstance(front_end, Complex):
            return torch.stack([real, imaginary], -1)
        power = real.square() + imaginary.square()
        if isinstance(front_end, Magnitude):
            return _to_power(power, front_end.power)
        assert isinstance(front_end, LogMel)
        mel = _to_power(power, front_end.power) @ self.filters
        mel = mel.clamp(min=front_end.floor) if front_end.floor_rule == "max" else mel + front_end.floor
        decibels = mel.log10() * (20.0 / front_end.power)
        if front_end.top_db is not None:
            decibels = torch.maximum(decibels, decibels.amax((1, 2), keepdim=True) - front_end.top_db)
        return decibels

    def spectrum(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part, [clips, frames, bins] each."""
        front_end, half = self.front_end, self.front_end.n_fft // 2
        if self.limit is not None:
            waves = waves[:, : self.limit]
        if front_end.center:
            waves = pad(waves[:, None], (half, half), front_end.pad_mode)[:, 0]
        real, imaginary = self.fft(overlapping(waves, front_end.n_fft, front_end.hop) * self.window)
        return real, imaginary


def exported(front_end: FrontEnd) -> ExportedSpectral:
    """The module for a spectral front end. Families that use the samples themselves need none."""
    if not isinstance(front_end, Spectral):
        raise CannotExport(f"a front end of kind {front_end.KIND!r} is not one of a spectrum")
    return ExportedSpectral(front_end)


class LessNoise(nn.Module):
    """The frames in dB of a front end, less the noise of the one machine that the detector was trained on."""

    noise: Tensor

    def __init__(self, front_end: ExportedSpectral, noise: Tensor, factor: float) -> None:
        super().__init__()
        self.front_end, self.factor = front_end, factor
        self.register_buffer("noise", noise.clone())

    def forward(self, waves: Tensor) -> Tensor:
        return less_noise(self.front_end(waves), self.noise, self.factor)


def with_noise_subtracted(front_end: ExportedSpectral, subtraction: NoiseSubtraction) -> nn.Module:
    """The module for a detector that subtracts noise, or the one for its front end if it subtracts none."""
    if not subtraction.noise:
        return front_end
    if len(subtraction.noise) > 1:
        raise CannotExport("it subtracts the noise of several machines, and a graph does not know that of a clip")
    return LessNoise(front_end, next(iter(subtraction.noise.values())), subtraction.factor)


def overlapping(waves: Tensor, size: int, hop: int) -> Tensor:
    """[clips, samples] -> [clips, frames, size], a frame every `hop` samples.

    Frames are put together from rows of `hop` samples. `Tensor.unfold` would need an index for every sample.
    """
    frames, rows_per_frame = (waves.shape[1] - size) // hop + 1, -(-size // hop)
    count = frames + rows_per_frame - 1
    rows = pad(waves, (0, rows_per_frame * hop))[:, : count * hop].reshape(-1, count, hop)
    return torch.cat([rows[:, i : i + frames] for i in range(rows_per_frame)], 2)[..., :size]


def vectors(frames: Tensor, size: int) -> Tensor:
    """[clips, frames, mels] -> [clips, vectors, size, mels]: all runs of `size` consecutive frames of each clip."""
    count = frames.shape[1] - size + 1
    return torch.stack([frames[:, i : i + count] for i in range(size)], 2)


def windows(frames: Tensor, size: int, hop: int) -> Tensor:
    """[clips, frames, …] -> [clips, windows, size, …], a window every `hop` frames."""
    count = (frames.shape[1] - size) // hop + 1
    index = torch.arange(count)[:, None] * hop + torch.arange(size)
    return frames[:, index]


def images(frames: Tensor, size: int, hop: int) -> Tensor:
    """[clips, frames, mels] -> [clips · windows, 1, mels, size]: the images of all windows, clip by clip."""
    return windows(frames, size, hop).flatten(0, 1).transpose(1, 2)[:, None]


def _to_power(squares: Tensor, power: float) -> Tensor:
    """Magnitudes to `power`, from their squares."""
    return squares if power == 2 else squares.sqrt() if power == 1 else squares.pow(power / 2)
