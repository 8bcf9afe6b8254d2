"""Kaldi's log mel filter banks of a batch of waves, as torchaudio.compliance.kaldi.fbank has them."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asd_ray._torchaudio import load as load_torchaudio

LOWEST = 20.0  # Hz
EMPHASIS = 0.97
FLOOR = torch.finfo(torch.float32).eps  # of a power, before its logarithm


class KaldiFbank(nn.Module):
    """[n, samples] -> [n, frames, mels]: windows of 25 ms every 10 ms, none beyond the ends, without dither.

    `window` is "hanning" or "povey".
    """

    window: Tensor
    filters: Tensor

    def __init__(self, rate: int, mels: int, window: str) -> None:
        super().__init__()
        self.length, self.hop = rate * 25 // 1000, rate // 100
        self.n_fft = 1 << (self.length - 1).bit_length()
        hann = torch.hann_window(self.length, periodic=False)
        self.register_buffer("window", hann**0.85 if window == "povey" else hann, persistent=False)
        self.register_buffer("filters", _filters(rate, mels, self.n_fft), persistent=False)

    def frames(self, samples: int) -> int:
        return max(0, 1 + (samples - self.length) // self.hop)

    def forward(self, waves: Tensor) -> Tensor:
        windows = waves.unfold(1, self.length, self.hop)
        windows = windows - windows.mean(2, keepdim=True)
        windows = windows - EMPHASIS * pad(windows, (1, 0), mode="replicate")[..., :-1]
        spectra = torch.fft.rfft(windows * self.window, n=self.n_fft).abs().square()
        with torch.autocast(waves.device.type, enabled=False):  # bfloat16 is too coarse for a logarithm of powers
            powers: Tensor = spectra @ self.filters
        return powers.clamp_min(FLOOR).log()


def _filters(rate: int, mels: int, n_fft: int) -> Tensor:
    """[n_fft // 2 + 1, mels]: triangles that are even in mel from LOWEST to half the rate; the last bin has none."""
    kaldi = importlib.import_module(f"{load_torchaudio().__name__}.compliance.kaldi")
    no_warping = (100.0, -500.0, 1.0)
    filters: Tensor = kaldi.get_mel_banks(mels, n_fft, float(rate), LOWEST, rate / 2, *no_warping)[0]
    return pad(filters, (0, 1)).T.contiguous()
