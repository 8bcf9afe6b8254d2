"""Nets for one wave, one on its spectrum and others on spectrograms of it, with concatenated embeddings.

Wilkinghoff, "Design Choices for Learning Embeddings from Auxiliary Tasks for Domain Generalization in Anomalous Sound
Detection", ICASSP 2023; the same nets in "AdaProj", DCASE 2024. Layers, sizes, Keras' epsilon and initial weights are
those of the author's code for either paper.

Different from it: all blocks of the ResNet are the same (in the author's first stage two normalisations are in another
place), a convolution of stride 2 pads both sides equally, and the averages of batch normalisation move by 0.1 per step
instead of Keras' 0.01, because ten epochs of one machine are too few steps for that.

Spectrograms of short and long windows have the same ResNet. Their windows are those of ASDKit's net of several
spectrograms, 256, 1024 and 4096 samples at 16 kHz with half a window as hop; our middle one is that of the two nets
above. Chosen here: they have no lower limit of frequency, which is 200 Hz there; the mean over time is subtracted from
each; a clip that has too few long windows for the ResNet is repeated for that net.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asd_ray.detectors.nets.blocks import conv_norm, relu
from asd_ray.detectors.parts.spec_masks import masked
from asd_ray.features import FrontEnd, Magnitude

WIDTH = 128  # of one branch's embedding
NORM_EPS = 1e-3
STRIDES = ((256, 64), (64, 32), (16, 4))  # kernel and stride of the convolutions over a spectrum
STAGES = ((16, 1), (32, 2), (64, 2), (128, 2))  # channels and first stride; every stage has two blocks
RATE = 16_000  # Hz, at which windows have these samples; at another rate they keep their seconds
WINDOWS = {"stft_short": 256, "stft": 1024, "stft_long": 4096}
LEAST_SECONDS = 0.8  # for five frames of long windows; the ResNet needs five


class DualBranch(nn.Module):
    """Waves, [n, samples] -> [n, width]. `branches` are of "fft", "stft_short", "stft" and "stft_long", in this order.

    `front_end` computes the spectrograms of "stft"; the other two have its rate and seconds. No layer has a bias.
    Spectra are computed without gradients and always in 32 bits. `masks`, of `parts/spec_masks.py`, hide parts of all
    spectrograms, in training only.
    """

    def __init__(self, front_end: FrontEnd, samples: int, branches: Sequence[str] = ("fft", "stft")) -> None:
        super().__init__()
        self.branches = tuple(branches)
        self.front_ends = {name: with_window(front_end, name) for name in branches if name in WINDOWS}
        self.fft = SpectrumNet(samples // 2) if "fft" in branches else None
        self.stft = SpectrogramNet(front_end.shape[0]) if "stft" in branches else None
        self.more = nn.ModuleDict(
            {name: SpectrogramNet(each.shape[0]) for name, each in self.front_ends.items() if name != "stft"}
        )
        self.width = WIDTH * len(branches)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)

    def forward(self, waves: Tensor, masks: Tensor | None = None) -> Tensor:
        embeddings = []
        for name in self.branches:
            inputs = spectra(waves) if name == "fft" else self.spectrograms(waves, name)
            if name != "fft" and masks is not None:
                inputs = masked(inputs, masks)
            embeddings.append(self.net(name)(inputs))
        return torch.cat(embeddings, 1)

    def net(self, name: str) -> nn.Module:
        """The net of one branch."""
        net: nn.Module = self.more[name] if name in self.more else getattr(self, name)
        return net

    def spectrograms(self, waves: Tensor, name: str = "stft") -> Tensor:
        """[n, frames, bins], with the mean over time subtracted for each clip."""
        with torch.autocast(waves.device.type, enabled=False):
            spectrograms = self.front_ends[name](waves)
        return spectrograms.sub_(spectrograms.mean(1, keepdim=True))


def with_window(front_end: FrontEnd, name: str) -> FrontEnd:
    """The front end of a branch: `front_end` itself for "stft", otherwise one with a window of the same seconds."""
    if name == "stft":
        return front_end
    window = WINDOWS[name]
    seconds = max(front_end.seconds or 0, LEAST_SECONDS if name == "stft_long" else 0)
    own = Magnitude(n_fft=window, hop=window // 2, center=False, seconds=seconds, short="repeat")
    return own.at(front_end.rate)


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
