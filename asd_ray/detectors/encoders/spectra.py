"""Mel spectra of a batch of waves, the input of CLAP and Whisper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FLOOR = 1e-10  # of a power, before its logarithm


class MelSpectra(nn.Module):
    """[n, samples] -> [n, frames, mels]: powers of at least FLOOR, in centred, reflected Hann windows of `n_fft`.

    `filters` are [n_fft // 2 + 1, mels]. It computes in the precision of its waves.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, filters: Tensor, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft, dtype=torch.float64), persistent=False)
        self.register_buffer("filters", filters.double(), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        window, filters = self.window.to(waves.dtype), self.filters.to(waves.dtype)
        spectra = torch.stft(waves, self.n_fft, self.hop, window=window, pad_mode="reflect", return_complex=True)
        with torch.autocast(waves.device.type, enabled=False):  # bfloat16 is too coarse for a logarithm of powers
            return (spectra.abs().square().transpose(1, 2) @ filters).clamp_min(FLOOR)
