"""A classifier of machine ids on the complex spectrum: complex convolutions with attention.

Kim, Ho, Kang, "Self-supervised Complex Network for Machine Sound Anomaly Detection", EUSIPCO 2021.

Five layers of complex convolutions encode two seconds of the complex spectrum. Three sets of features learn to classify
the ids: of the output, of its absolute value, and of both, weighted by an attention over channels. Their three
cross-entropies are added. A clip that the combined features do not assign to its own id is anomalous.

The rows of the paper's Table II are encoder "log_mel" with mix, "magnitude" with mix, "magnitude", "complex" without
attention, and "complex"; its first row is the family id_classifier.

Left open, and chosen here: spectra are divided by one standard deviation of the training set, and the mean is
subtracted from real ones only; PReLU has one slope for each channel and part; there is a ReLU between the two layers of
the attention and nothing after the convolutions behind the encoder; a real encoder has the first of these convolutions
and one loss. With `mix`, half of the images are mixtures of two, in uniformly drawn proportions, where the paper
mentions all ids at once. An epoch uses as many images of a clip as fit side by side, at random positions. Scored are
images at half overlap, which leaves out up to half an image at the end of a clip; a clip's score is their mean. Batches
of 32 and 50 epochs are our choice. It is unknown whether the paper's 45 and 90 channels are complex ones; if not, as in
a public Deep Complex U-Net, `width_factor` is 1 / √2.

Published, AUC in per cent, DCASE 2020 development, fan, pump, slider, valve, average: log-mel with mix 81.92, 89.82,
94.25, 91.65, 89.41; magnitude with mix 84.10, 90.02, 97.95, 92.07, 91.03; magnitude 86.75, 96.72, 97.62, 94.37, 93.86;
complex 87.80, 95.62, 98.02, 94.17, 93.90; complex with attention 89.55, 96.40, 98.75, 96.87, 95.39.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores
from asd_ray.detectors.nets.complex import MIN_FRAMES, ComplexEncoder, RealEncoder
from asd_ray.detectors.parts import augment, training
from asd_ray.detectors.parts import classifier as classify
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import Softmax, divergence
from asd_ray.detectors.parts.pseudo_labels import check_labels, training_classes, why_no_classes
from asd_ray.detectors.parts.random_windows import RandomWindows
from asd_ray.detectors.parts.supplemental import (
    check_switches,
    further_classes,
    why_unsuited,
    with_further_classes,
)
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, Windows
from asd_ray.features._base import must_be

FRONT_ENDS = {"complex": "kim_complex", "magnitude": "magnitude", "log_mel": "baseline"}
CHANNELS = 45  # of the first layer
LOSSES = ("total", "magnitude", "complex")  # one per part of an encoder's output, in its order


class ComplexNet(classify.OfClassifier):
    """A classifier of machine ids on complex or real spectra; see the module for the method.

    `attention` matters to the encoder "complex" only; `width_factor` scales the encoder's channels, and `head_channels`
    is C of the paper. Images are of `frames` frames; in scoring they start every `test_hop` frames.
    `supplemental_class` and `supplemental_bank` are in parts/supplemental.py.

    `labels` are "real" (ids, or attributes of a machine with one id) or the method by which the clips of an id without
    attributes are split into `clusters` classes: "kmeans", "ward" or "vq"; see `pseudo_labels`. A machine whose clips
    have one real class is always split, by "kmeans" where `labels` are "real".

    Variants: `probability`, `log_odds`, `nll` and `log_odds_2021` of the clip's own id; and one for each of `backends`
    on its mean embedding, which is the only input of the classifiers; `knn_supplemental` with `supplemental_bank`.
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
        labels: str = "real",
        clusters: int = 8,
        supplemental_class: bool = False,
        supplemental_bank: bool = False,
    ) -> None:
        self.context = context
        self.encoder, self.attention, self.mix = encoder, attention, mix
        self.width_factor, self.head_channels = width_factor, head_channels
        self.frames, self.test_hop, self.backends = frames, test_hop, backends
        self.lr, self.batch_size, self.epochs = lr, batch_size, epochs
        self.labels, self.clusters = labels, clusters
        self.supplemental_class, self.supplemental_bank = supplemental_class, supplemental_bank
        check_switches(self, "supplemental_class", "supplemental_bank")
        must_be(self, "encoder", encoder in FRONT_ENDS, f"one of {', '.join(FRONT_ENDS)}")
        for name in ("attention", "mix"):
            must_be(self, name, isinstance(getattr(self, name), bool), "true or false")
        must_be(self, "width_factor", 1 / CHANNELS <= width_factor <= 4, f"from 1/{CHANNELS} to 4")
        training.check_whole(self, "frames", MIN_FRAMES)
        for name in ("head_channels", "test_hop"):
            training.check_whole(self, name, 1)
        check_labels(self)
        training.check_training_settings(self)
        classify.backends_for(backends)
        self._fitted = classify.FittedClassifier(self, self._new)

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS[FRONT_ENDS[self.encoder]].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return why_no_classes(train) or why_unsuited(self, train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        classes, numbers = training_classes(train, self.context, self.labels, self.clusters)
        count = len(classes) + further_classes(self.supplemental_class)
        clips, clip_labels = with_further_classes(train, numbers, len(classes), self.supplemental_class)
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        device, classifier = self.context.device, self._fitted.start(classes)
        net, head = classifier.net, classifier.head
        assert isinstance(net, classify.Standardised)
        assert isinstance(head, _Heads)
        net.fit(frames)
        if self.encoder == "complex":
            net.mean.zero_()  # subtracting a mean would change phases
        image_at, generator = self._images(frames), self.context.generator()
        random_windows = RandomWindows(windows, clip_labels, device)
        optimiser = torch.optim.Adam(classifier.parameters(), lr=self.lr, fused=True)

        def losses(positions: Tensor) -> dict[str, Tensor]:
            starts, labels = random_windows(positions, generator)
            images, soft_targets = image_at(starts), nn.functional.one_hot(labels, count).float()
            if self.mix:
                images, soft_targets = _mixed(images, labels, count, generator)
            part_losses = [
                divergence(logits, soft_targets) for logits in head.logits_of_parts(classifier.embed(images))
            ]
            return {"train": torch.stack(part_losses).sum(), **dict(zip(LOSSES, part_losses, strict=False))}

        yield from classifier.fit(
            train, losses, len(random_windows), optimiser, self.epochs, self.batch_size, generator
        )

    def embeddings(self, clips: ClipSet) -> Scores:
        """The mean features of each clip: "total" (T of the paper), by which clips are scored, and those of the parts.

        A real encoder has one part, which is called "total" as well.
        """
        embedding = self._fitted.embeddings(clips)["embedding"]
        parts = 1 if self.encoder != "complex" else len(LOSSES)
        return dict(zip(LOSSES, np.split(embedding, parts, axis=1), strict=False))

    def _new(self, classes: Classes) -> classify.Classifier:
        net, head = training.build_with_seed(lambda: self._modules(len(classes)), self.context)
        return classify.Classifier(
            self.context, self._inputs, net, head, classes, self.backends, supplemental_bank=self.supplemental_bank
        )

    def _modules(self, classes: int) -> nn.ModuleList:
        classes += further_classes(self.supplemental_class)
        width, channels = int(CHANNELS * self.width_factor + 1e-9), self.head_channels
        net: ComplexEncoder | RealEncoder
        if self.encoder == "complex":
            net = ComplexEncoder(width, channels, attention=self.attention)
        else:
            net = RealEncoder(width, channels)
        return nn.ModuleList([classify.Standardised(net), _Heads(net.parts, channels, classes)])

    def _inputs(self, clips: ClipSet) -> tuple[classify.Gather, Windows]:
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context, self.test_hop)
        return self._images(frames), windows

    def _images(self, frames: Tensor) -> classify.Gather:
        """Inputs of the net: real images, [n, 1, bins, frames], or complex ones, [n, 2, bins, frames]."""
        if self.encoder != "complex":
            return training.images_of(frames, self.frames)
        bins = frames.shape[1]
        row = training.rows_of(frames.flatten(1), self.frames)  # real and imaginary part of a bin are adjacent
        return lambda starts: row(starts).view(-1, self.frames, bins, 2).permute(0, 3, 2, 1)


class _Heads(nn.Module):
    """One softmax head for each part of an embedding. Clips are scored by the first."""

    def __init__(self, parts: int, width: int, classes: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Softmax(width, classes) for _ in range(parts))

    def logits_of_parts(self, embedding: Tensor) -> list[Tensor]:
        pairs = zip(self.parts, embedding.chunk(len(self.parts), 1), strict=True)
        return [head.logits(part) for head, part in pairs]  # type: ignore[operator]

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.logits_of_parts(embedding)[0]


def _mixed(images: Tensor, labels: Tensor, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half of the images, on average, mixed with another one, and soft labels for all."""
    count = len(labels)
    proportions, draws = torch.rand(2, count, generator=generator)
    weights = to_device(torch.where(draws < 0.5, proportions, 1), images.device)
    partners = to_device(torch.randperm(count, generator=generator), images.device)
    soft = augment.soft_labels(labels, labels[partners], weights, classes)
    return augment.mixed(images, images[partners], weights), soft
