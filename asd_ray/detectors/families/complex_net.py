"""A classifier of machine ids that hears phase: complex convolutions of the complex spectrum, with attention.

Kim, Ho, Kang, "Self-supervised Complex Network for Machine Sound Anomaly Detection", EUSIPCO 2021.

Five layers of complex convolutions encode two seconds of the complex spectrum. Features of what comes out, of its
absolute value and of both, weighed by an attention over their channels, each learn to tell the ids, and their three
cross-entropies add up. A clip that the last of the three does not take for its own id is anomalous.

The rows of the paper's Table II are encoder "log_mel" with mix, "magnitude" with mix, "magnitude", "complex" without
attention, and "complex"; its first row is the family id_classifier.

Left open, and chosen here: spectra are divided by the training set's one deviation, and real ones lose its mean, too;
a layer has one slope of PReLU for each channel and part; between the two layers of the attention is ReLU, and after
the convolutions behind the encoder nothing; a real encoder has the first of these convolutions and one loss. With
`mix` half of the pictures are mixtures of two, in shares drawn uniformly, where the paper speaks of all ids at once.
An epoch hears of a clip as many pictures as fit side by side, at places drawn anew; scored are pictures at half
overlap, which leaves out up to half a picture at a clip's end, and a clip's score is their mean. Batches of 32 and 50
epochs are ours. Of the paper's 45 and 90 channels it is unknown whether they are complex ones; if not, as in a public
Deep Complex U-Net, `width_factor` is 1 / √2.

Published, AUC in per cent, DCASE 2020 development, fan, pump, slider, valve, average: log-mel with mix 81.92, 89.82,
94.25, 91.65, 89.41; magnitude with mix 84.10, 90.02, 97.95, 92.07, 91.03; magnitude 86.75, 96.72, 97.62, 94.37, 93.86;
complex 87.80, 95.62, 98.02, 94.17, 93.90; complex with attention 89.55, 96.40, 98.75, 96.87, 95.39.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.complex import LEAST_FRAMES, ComplexEncoder, RealEncoder
from asd_ray.detectors.parts import augment, training
from asd_ray.detectors.parts import classifier as classify
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import Softmax, divergence
from asd_ray.detectors.parts.random_windows import Places
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, Windows
from asd_ray.features._base import must_be

FRONT_ENDS = {"complex": "kim_complex", "magnitude": "magnitude", "log_mel": "baseline"}
CHANNELS = 45  # of the first layer
LOSSES = ("total", "magnitude", "complex")  # of what an encoder gives, in its order


class ComplexNet:
    """A detector; see the module for the method.

    `attention` matters to the encoder "complex" only; `width_factor` is that of the encoder's channels, and
    `head_channels` C of the paper. `test_hop` is the hop of the pictures scored.

    Variants: `probability`, `log_odds`, `nll` and `log_odds_2021` of the own id; and one for each of `backends` on
    the mean embedding of a clip, which is all that the classifiers hear.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.5, suits_cpu=False)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        encoder: str = "complex",
        attention: bool = True,
        mix: bool = False,
        width_factor: float = 1.0,
        head_channels: int = 4,
        frames: int = 64,
        test_hop: int = 32,
        backends: str = "knn,lof,maha,gmm",
        lr: float = 1e-4,
        batch_size: int = 32,
        epochs: int = 50,
    ) -> None:
        self.context = context
        self.encoder, self.attention, self.mix = encoder, attention, mix
        self.width_factor, self.head_channels = width_factor, head_channels
        self.frames, self.test_hop, self.backends = frames, test_hop, backends
        self.lr, self.batch_size, self.epochs = lr, batch_size, epochs
        must_be(self, "encoder", encoder in FRONT_ENDS, f"one of {', '.join(FRONT_ENDS)}")
        for name in ("attention", "mix"):
            must_be(self, name, isinstance(getattr(self, name), bool), "true or false")
        must_be(self, "width_factor", 1 / CHANNELS <= width_factor <= 4, f"from 1/{CHANNELS} to 4")
        training.check_whole(self, "frames", LEAST_FRAMES)
        for name in ("head_channels", "test_hop"):
            training.check_whole(self, name, 1)
        training.check_recipe(self)
        classify.backends_for(backends)
        self._kept = classify.Kept(self, self._new)

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS[FRONT_ENDS[self.encoder]].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return Classes.lacking(train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        classes = Classes.of(train.frame)
        frames, windows = training.frames_of(self.front_end, train, self.frames, self.context)
        device, made = self.context.device, self._kept.begun(classes)
        net, head = made.net, made.head
        assert isinstance(net, classify.Standardised)
        assert isinstance(head, _Heads)
        net.learn(frames)
        if self.encoder == "complex":
            net.mean.zero_()  # to take a number away would turn phases
        picture, generator = self._pictures(frames), self.context.generator()
        places = Places(windows, classes.labels(train.frame), device)
        optimiser = torch.optim.Adam(made.parameters(), lr=self.lr, fused=True)

        def losses(at: Tensor) -> dict[str, Tensor]:
            starts, labels = places(at, generator)
            pictures, soft = picture(starts), nn.functional.one_hot(labels, len(classes)).float()
            if self.mix:
                pictures, soft = _mixed(pictures, labels, len(classes), generator)
            each = [divergence(logits, soft) for logits in head.each(made.embedded(pictures))]
            return {"train": torch.stack(each).sum(), **dict(zip(LOSSES, each, strict=False))}

        yield from made.learn(train, losses, len(places), optimiser, self.epochs, self.batch_size, generator)

    def score(self, clips: ClipSet) -> Scores:
        return self._kept.score(clips)

    def state(self) -> State:
        return self._kept.state()

    def load(self, state: State) -> None:
        self._kept.load(state)

    def _new(self, classes: Classes) -> classify.Classifier:
        net, head = training.made_with_seed(lambda: self._modules(len(classes)), self.context)
        return classify.Classifier(self.context, self._inputs, net, head, classes, self.backends)

    def _modules(self, classes: int) -> nn.ModuleList:
        width, channels = int(CHANNELS * self.width_factor + 1e-9), self.head_channels
        net: ComplexEncoder | RealEncoder
        if self.encoder == "complex":
            net = ComplexEncoder(width, channels, attention=self.attention)
        else:
            net = RealEncoder(width, channels)
        return nn.ModuleList([classify.Standardised(net), _Heads(net.parts, channels, classes)])

    def _inputs(self, clips: ClipSet) -> tuple[classify.Gather, Windows]:
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context, self.test_hop)
        return self._pictures(frames), windows

    def _pictures(self, frames: Tensor) -> classify.Gather:
        """Pictures, [n, 1, bins, frames], or complex ones, [n, 2, bins, frames]."""
        if self.encoder != "complex":
            return training.pictures_of(frames, self.frames)
        bins = frames.shape[1]
        row = training.rows_of(frames.flatten(1), self.frames)  # each bin's real part is beside its imaginary part
        return lambda starts: row(starts).view(-1, self.frames, bins, 2).permute(0, 3, 2, 1)


class _Heads(nn.Module):
    """A softmax for each part of an embedding; clips are scored by the first."""

    def __init__(self, parts: int, width: int, classes: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Softmax(width, classes) for _ in range(parts))

    def each(self, embedding: Tensor) -> list[Tensor]:
        both = zip(self.parts, embedding.chunk(len(self.parts), 1), strict=True)
        return [head.logits(part) for head, part in both]  # type: ignore[operator]

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.each(embedding)[0]


def _mixed(pictures: Tensor, labels: Tensor, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of the pictures, on average, mixed with another, and soft labels."""
    count = len(labels)
    shares, chosen = torch.rand(2, count, generator=generator)
    weights = torch.where(chosen < 0.5, shares, 1).to(pictures.device)
    other = torch.randperm(count, generator=generator).to(pictures.device)
    soft = augment.soft_labels(labels, labels[other], weights, classes)
    return augment.mixed(pictures, pictures[other], weights), soft
