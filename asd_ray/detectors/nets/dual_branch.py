"""Two nets of one wave, of its spectrum and of its spectrogram, whose embeddings stand side by side.

Wilkinghoff, "Design Choices for Learning Embeddings from Auxiliary Tasks for Domain Generalization in Anomalous Sound
Detection", ICASSP 2023; the same nets in "AdaProj", DCASE 2024. Layers, sizes, Keras' epsilon and first weights are
those of the author's code for either paper.

Otherwise than there: the blocks of the ResNet are all alike (in the author's first stage two normalisations stand
elsewhere), a convolution of stride 2 pads both sides alike, and batch normalisation's averages move by 0.1 a step,
Keras' by 0.01: one machine's ten epochs are too few steps for that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asd_ray.detectors.nets.blocks import conv_norm, relu
from asd_ray.features import FrontEnd

WIDTH = 128  # of the embedding of one branch
EPS = 1e-3
STRIDES = ((256, 64), (64, 32), (16, 4))  # kernel and stride of the convolutions over a spectrum
STAGES = ((16, 1), (32, 2), (64, 2), (128, 2))  # channels and first stride of two blocks each


class DualBranch(nn.Module):
    """Waves, [n, samples] -> [n, width], of the branches "fft" and "stft" or one of them; no layer has a bias.

    `front_end` makes the spectrograms. Spectra are made without gradients, in 32 bits whatever the nets compute in.
    """

    def __init__(self, front_end: FrontEnd, samples: int, branches: Sequence[str] = ("fft", "stft")) -> None:
        super().__init__()
        self.front_end = front_end
        self.fft = SpectrumNet(samples // 2) if "fft" in branches else None
        self.stft = SpectrogramNet(front_end.shape[0]) if "stft" in branches else None
        self.width = WIDTH * len(branches)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)

    def forward(self, waves: Tensor) -> Tensor:
        made = []
        if self.fft is not None:
            made.append(self.fft(spectra(waves)))
        if self.stft is not None:
            made.append(self.stft(self.spectrograms(waves)))
        return torch.cat(made, 1)

    def spectrograms(self, waves: Tensor) -> Tensor:
        """[n, frames, bins], from which each clip's mean over time is taken."""
        with torch.autocast(waves.device.type, enabled=False):
            made = self.front_end(waves)
        return made.sub_(made.mean(1, keepdim=True))


@torch.no_grad()
def spectra(waves: Tensor) -> Tensor:
    """[n, samples] -> [n, samples // 2]: the magnitude of the whole clip's spectrum, without the Nyquist frequency."""
    with torch.autocast(waves.device.type, enabled=False):
        made: Tensor = torch.fft.rfft(waves)[:, : waves.shape[1] // 2].abs()
    return made


class SpectrumNet(nn.Module):
    """Spectra, [n, bins] -> [n, 128]: three convolutions, then five dense layers."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, length = 1, bins
        for kernel, stride in STRIDES:
            outputs = -(-length // stride)
            layers += [_Padded(length, kernel, stride), nn.Conv1d(channels, WIDTH, kernel, stride, bias=False)]
            layers.append(nn.ReLU(inplace=True))
            channels, length = WIDTH, outputs
        layers.append(nn.Flatten())
        inputs = channels * length
        for _ in range(4):
            layers += [nn.Linear(inputs, WIDTH, bias=False), nn.BatchNorm1d(WIDTH, eps=EPS), nn.ReLU(inplace=True)]
            inputs = WIDTH
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, WIDTH, bias=False))

    def forward(self, spectra: Tensor) -> Tensor:
        made: Tensor = self.layers(spectra.unsqueeze(1))
        return made


class _Padded(nn.Module):
    """Zeros on both sides, so that a convolution gives an output for every `stride` inputs: Keras' padding "same"."""

    def __init__(self, length: int, kernel: int, stride: int) -> None:
        super().__init__()
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        self.sides = (total // 2, total - total // 2)

    def forward(self, features: Tensor) -> Tensor:
        return pad(features, self.sides)


class SpectrogramNet(nn.Module):
    """Spectrograms, [n, frames, bins] -> [n, 128]: a ResNet of eight blocks, and the largest values over time.

    The first normalisation is that of each frequency bin by itself.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(bins, eps=EPS)
        layers: list[nn.Module] = [conv_norm(1, 16, 7, 2, norm=_norm, activation=relu), nn.MaxPool2d(3, 2)]
        channels, height = 16, ((bins + 1) // 2 - 1) // 2
        for outputs, stride in STAGES:
            layers += [_Block(channels, outputs, stride), _Block(outputs, outputs, 1)]
            channels, height = outputs, -(-height // stride)
        self.layers = nn.Sequential(*layers)
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(channels * height, eps=EPS), nn.Linear(channels * height, WIDTH, bias=False)
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        pictures = self.norm(spectrograms.transpose(1, 2)).transpose(1, 2)
        made: Tensor = self.head(self.layers(pictures.unsqueeze(1)).amax(2))
        return made


class _Block(nn.Module):
    """Normalisation before activation; a stride is a max pooling of what goes past the convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm = _norm(inputs)
        self.layers = nn.Sequential(
            nn.ReLU(),
            conv_norm(inputs, outputs, 3, stride, norm=_norm, activation=relu),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.MaxPool2d(stride, ceil_mode=True))
        if inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, pictures: Tensor) -> Tensor:
        normed = self.norm(pictures)
        added: Tensor = self.layers(normed) + self.shortcut(normed)
        return added


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=EPS)
