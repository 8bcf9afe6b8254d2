"""The learned spectrogram of STgram and TASTgram (Tgram), and temporal attention.

Tgram: Liu, Guan, Zhu, Wang, "Anomalous Sound Detection Using Spectral-Temporal Information Fusion", ICASSP 2022.
Temporal attention: Choi, Choi, "Noisy-ArcMix: Additive Noisy Angular Margin Loss Combined With Mixup for Anomalous
Sound Detection", 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Tgram(nn.Module):
    """Waves, [n, samples] -> [n, mels, frames], with as many frames as the centred log-mel spectrogram of the same hop.

    The paper calls it layer normalisation. The authors' code normalises each channel over time, with one weight per
    time step, so the number of `frames` is fixed: 313 for 10 s at 16 kHz.
    """

    def __init__(self, frames: int = 313, *, mels: int = 128, window: int = 1024, hop: int = 512) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, mels, window, hop, window // 2, bias=False)
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.LayerNorm(frames), nn.LeakyReLU(0.2, inplace=True)]
            layers += [nn.Conv1d(mels, mels, 3, padding=1, bias=False)]
        self.layers = nn.Sequential(*layers)

    def forward(self, waves: Tensor) -> Tensor:
        with torch.autocast(waves.device.type, enabled=False):  # bfloat16 would leave 8 of a wave's 16 bits
            filtered = self.filters(waves.unsqueeze(1))
        spectrograms: Tensor = self.layers(filtered)
        return spectrograms


def temporal_attention(images: Tensor) -> Tensor:
    """[…, mels, time]: each frame times the sigmoid of the sum of its largest and its mean value over the mels."""
    return images * torch.sigmoid(images.amax(-2, keepdim=True) + images.mean(-2, keepdim=True))
