"""Two nets for one wave, one on its spectrum and one on its spectrogram, with concatenated embeddings.

Wilkinghoff, "Design Choices for Learning Embeddings from Auxiliary Tasks for Domain Generalization in Anomalous Sound
Detection", ICASSP 2023; the same nets in "AdaProj", DCASE 2024. Layers, sizes, Keras' epsilon and initial weights are
those of the author's code for either paper.

Different from it: all blocks of the ResNet are the same (in the author's first stage two normalisations are in another
place), a convolution of stride 2 pads both sides equally, and the averages of batch normalisation move by 0.1 per step
instead of Keras' 0.01, because ten epochs of one machine are too few steps for that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asd_ray.detectors.nets.blocks import conv_norm, relu
from asd_ray.features import FrontEnd

WIDTH = 128  # of one branch's embedding
NORM_EPS = 1e-3
STRIDES = ((256, 64), (64, 32), (16, 4))  # kernel and stride of the convolutions over a spectrum
STAGES = ((16, 1), (32, 2), (64, 2), (128, 2))  # channels and first stride; every stage has two blocks


class DualBranch(nn.Module):
    """Waves, [n, samples] -> [n, width]. `branches` are "fft", "stft" or both; no layer has a bias.

    `front_end` computes the spectrograms. Spectra are computed without gradients and always in 32 bits.
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
        embeddings = []
        if self.fft is not None:
            embeddings.append(self.fft(spectra(waves)))
        if self.stft is not None:
            embeddings.append(self.stft(self.spectrograms(waves)))
        return torch.cat(embeddings, 1)

    def spectrograms(self, waves: Tensor) -> Tensor:
        """[n, frames, bins], with the mean over time subtracted for each clip."""
        with torch.autocast(waves.device.type, enabled=False):
            spectrograms = self.front_end(waves)
        return spectrograms.sub_(spectrograms.mean(1, keepdim=True))


@torch.no_grad()
def spectra(waves: Tensor) -> Tensor:
    """[n, samples] -> [n, samples // 2]: magnitudes of the whole clip's spectrum, without the Nyquist frequency."""
    with torch.autocast(waves.device.type, enabled=False):
        magnitudes: Tensor = torch.fft.rfft(waves)[:, : waves.shape[1] // 2].abs()
    return magnitudes


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
            layers += [nn.Linear(inputs, WIDTH, bias=False), nn.BatchNorm1d(WIDTH, eps=NORM_EPS), nn.ReLU(inplace=True)]
            inputs = WIDTH
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, WIDTH, bias=False))

    def forward(self, spectra: Tensor) -> Tensor:
        embedding: Tensor = self.layers(spectra.unsqueeze(1))
        return embedding


class _Padded(nn.Module):
    """Pads zeros on both sides so that a convolution gives one output per `stride` inputs: Keras' padding "same"."""

    def __init__(self, length: int, kernel: int, stride: int) -> None:
        super().__init__()
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        self.sides = (total // 2, total - total // 2)

    def forward(self, features: Tensor) -> Tensor:
        return pad(features, self.sides)


class SpectrogramNet(nn.Module):
    """Spectrograms, [n, frames, bins] -> [n, 128]: a ResNet of eight blocks, then the maximum over time.

    The first normalisation treats each frequency bin separately.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(bins, eps=NORM_EPS)
        layers: list[nn.Module] = [conv_norm(1, 16, 7, 2, norm=_norm, activation=relu), nn.MaxPool2d(3, 2)]
        channels, height = 16, ((bins + 1) // 2 - 1) // 2
        for outputs, stride in STAGES:
            layers += [_Block(channels, outputs, stride), _Block(outputs, outputs, 1)]
            channels, height = outputs, -(-height // stride)
        self.layers = nn.Sequential(*layers)
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.BatchNorm1d(channels * height, eps=NORM_EPS),
            nn.Linear(channels * height, WIDTH, bias=False),
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        images = self.norm(spectrograms.transpose(1, 2)).transpose(1, 2)
        embedding: Tensor = self.head(self.layers(images.unsqueeze(1)).amax(2))
        return embedding


class _Block(nn.Module):
    """A residual block with normalisation before activation. The shortcut applies a stride by max pooling."""

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

    def forward(self, images: Tensor) -> Tensor:
        normalised = self.norm(images)
        summed: Tensor = self.layers(normalised) + self.shortcut(normalised)
        return summed


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=NORM_EPS)
