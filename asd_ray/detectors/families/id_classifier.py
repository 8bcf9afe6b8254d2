"""Classifiers of machine ids with augmented labels: M, A and R of Giri et al.; and the official MobileNetV2.

Giri, Tenneti, Cheng, Helwani, Isik, Krishnaswamy, "Unsupervised Anomalous Sound Detection Using Self-Supervised
Classification and Group Masked Autoencoder for Density Estimation", DCASE 2020. The official baseline: Kawaguchi et
al., DCASE 2021; Dohi et al., DCASE 2022.

A net learns to classify log-mel images of 64 frames by id. To make the task harder, it also gets mixtures of two
images, whose proportions it must predict, and perturbed images, which are classes of their own. The report names two
ways to perturb them: by warping the image along its mels, or by resampling the time signal before the log-mel. A clip
that the net does not assign to its own id is anomalous.

Left open, and chosen here: the front end is that of the DCASE baselines; images are standardised by one mean and one
standard deviation of the training set; half of the images are mixtures, in uniformly drawn proportions; the warps are
f' = a f² + (1 − a) f with a = ±0.2, ±0.4, …, and resampled signals are 1.1, 0.9, 1.2, 0.8, … times as fast, one of
them or none for each image; Adam with 1e-3, batches of 32, 20
epochs; the averages of batch normalisation move by 0.1 per step instead of Keras' 0.001; ArcFace with s = 30, m = 0.5,
and for a mixture the sum of both ids' losses, weighted by proportion; a clip's score is the mean over its images. Which
augmentations are best differs by machine, as the authors report for theirs too.

The official baseline is net "mobilenet_v2", channels 3, head "softmax", mix "none", warps 0, lr 1e-5, test_hop 1. It
differs in two points: it does not standardise images, and it holds out the last tenth of them for validation, most of
the last id. Its score is `log_odds`; `log_odds_2021` is what its programs of 2021 compute instead.

Published, mean over ids of AUC (pAUC) in per cent, DCASE 2020 development: only ensembles with Group MADE; System 2
(MobileNetV2) with the mean ToyCar 95.04 (90.39), ToyConveyor 80.67 (65.90), fan 82.33 (78.97), pump 86.94 (79.60),
slider 97.28 (89.54), valve 97.38 (91.21). The official baseline, harmonic means: 2021 AUC 59.24, pAUC 55.95; 2022
source AUC 64.1, target AUC 47.7, pAUC 56.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress
from asd_ray.detectors.nets.mobilenet_v2 import MobileNetV2
from asd_ray.detectors.nets.resnet import ResNet50
from asd_ray.detectors.parts import augment, training
from asd_ray.detectors.parts import classifier as classify
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import ArcFace, Softmax, arcmix, check_head, divergence, new_head
from asd_ray.detectors.parts.pseudo_labels import check_labels, training_classes, why_no_classes
from asd_ray.detectors.parts.supplemental import (
    check_switches,
    further_classes,
    why_unsuited,
    with_further_classes,
)
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FasterLogMel, LogMel, Windows
from asd_ray.features._base import must_be

NETS: dict[str, Callable[[int], MobileNetV2 | ResNet50]] = {"mobilenet_v2": MobileNetV2, "resnet50": ResNet50}
MIXES = ("none", "before", "after", "both")  # where mixing happens: before or after the log
WARPS = ("image", "time")  # what is perturbed: the image along its mels, or the time signal
BEND = 0.2  # the warps have a = ±BEND, ±2 BEND, …
SPEED = 0.1  # resampled signals are 1 + SPEED, 1 - SPEED, 1 + 2 SPEED, … times as fast
MOST_SPEEDS = 10  # then 0.5 times as fast


class IdClassifier(classify.OfClassifier):
    """A classifier of machine ids on log-mel images; see the module for the method.

    `mix` selects whether pairs of images are combined before or after the log, or each half of the time; `warps` is the
    number of perturbed copies of each id, and `warp` selects how they are perturbed. With "time", training holds the
    frames of every copy in memory. Images are of `frames` frames and start every `hop` frames in training, every
    `test_hop` frames in scoring. `supplemental_class` and `supplemental_bank` are in parts/supplemental.py; the further
    classes are perturbed as the ids are.

    `labels` are "real" (ids, or attributes of a machine with one id) or the method by which the clips of an id without
    attributes are split into `clusters` classes: "kmeans", "ward" or "vq"; see `pseudo_labels`. A machine whose clips
    have one real class is split by "kmeans" where `labels` are "real" and `warps` are 0.

    Variants: `probability`, `log_odds`, `nll` and `log_odds_2021` of the clip's own id; and one for each of `backends`
    on its mean embedding; `knn_supplemental` with `supplemental_bank`.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.5, suits_cpu=False)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        net: str = "mobilenet_v2",
        channels: int = 1,
        head: str = "softmax",
        scale: float = 30.0,
        margin: float = 0.5,
        mix: str = "both",
        warps: int = 2,
        frames: int = 64,
        hop: int = 8,
        test_hop: int = 8,
        backends: str = "knn,lof,maha,gmm",
        lr: float = 1e-3,
        batch_size: int = 32,
        epochs: int = 20,
        warp: str = "image",
        labels: str = "real",
        clusters: int = 8,
        supplemental_class: bool = False,
        supplemental_bank: bool = False,
    ) -> None:
        self.context = context
        self.net, self.channels, self.head, self.scale, self.margin = net, channels, head, scale, margin
        self.mix, self.warps, self.warp = mix, warps, warp
        self.frames, self.hop, self.test_hop, self.backends = frames, hop, test_hop, backends
        self.lr, self.batch_size, self.epochs = lr, batch_size, epochs
        self.labels, self.clusters = labels, clusters
        self.supplemental_class, self.supplemental_bank = supplemental_class, supplemental_bank
        check_switches(self, "supplemental_class", "supplemental_bank")
        for name, known in (("net", tuple(NETS)), ("mix", MIXES), ("warp", WARPS)):
            must_be(self, name, getattr(self, name) in known, f"one of {', '.join(known)}")
        must_be(self, "channels", channels in (1, 3), "1 or 3")
        check_head(self)
        training.check_whole(self, "warps", 0)
        must_be(self, "warps", warp == "image" or warps <= MOST_SPEEDS, f'at most {MOST_SPEEDS} for warp="time"')
        training.check_whole(self, "frames", 32)
        for name in ("hop", "test_hop"):
            training.check_whole(self, name, 1)
        check_labels(self)
        training.check_training_settings(self)
        classify.backends_for(backends)
        self._fitted = classify.FittedClassifier(self, self._new)

    @property
    def front_end(self) -> LogMel:
        preset = PRESETS["baseline"].at(self.context.rate)
        assert isinstance(preset, LogMel)
        return preset

    def suits(self, train: pd.DataFrame) -> str:
        too_few_windows = training.too_few_windows(train, self.front_end, self.frames, self.hop)
        return why_no_classes(train, self._least) or too_few_windows or why_unsuited(self, train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        classes, numbers = training_classes(train, self.context, self.labels, self.clusters, self._least)
        clips, clip_labels = with_further_classes(train, numbers, len(classes), self.supplemental_class)
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context, self.hop)
        device, classifier = self.context.device, self._fitted.start(classes)
        assert isinstance(classifier.net, classify.Standardised)
        classifier.net.fit(frames)
        labels = clip_labels[torch.from_numpy(windows.clip)].to(device)
        if self.warp == "time" and self.warps:
            perturbed: _WarpedImages | _FasterImages = _FasterImages(self, clips, frames, windows)
        else:
            perturbed = _WarpedImages(self, frames, windows)
        optimiser = torch.optim.Adam(classifier.parameters(), lr=self.lr, fused=True)
        augment_batch = _Augmentation(self, len(classes) + further_classes(self.supplemental_class), perturbed)

        def losses(positions: Tensor) -> dict[str, Tensor]:
            images, first, second, weights = augment_batch(positions, labels[positions])
            return {"train": self._loss(classifier.head, classifier.embed(images), first, second, weights)}

        generator = self.context.generator()
        yield from classifier.fit(train, losses, len(windows), optimiser, self.epochs, self.batch_size, generator)

    @property
    def _least(self) -> int:
        """The classes that are enough: with warps a single one, because each warp of it is another class."""
        return 1 if self.warps else 2

    def _new(self, classes: Classes) -> classify.Classifier:
        net, head = training.build_with_seed(lambda: self._modules(len(classes)), self.context)
        return classify.Classifier(
            self.context, self._inputs, net, head, classes, self.backends, supplemental_bank=self.supplemental_bank
        )

    def _modules(self, classes: int) -> nn.ModuleList:
        classes = (classes + further_classes(self.supplemental_class)) * (1 + self.warps)
        net = NETS[self.net](self.channels)
        head = new_head(self.head, net.width, classes, scale=self.scale, margin=self.margin)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster, also on a CPU
        return nn.ModuleList([classify.Standardised(net), head])

    def _inputs(self, clips: ClipSet) -> tuple[classify.Gather, Windows]:
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context, self.test_hop)
        return self.images(frames), windows

    def images(self, frames: Tensor) -> classify.Gather:
        """A function: first frames of images -> the images that the net takes."""
        image_at = training.images_of(frames, self.frames)
        return lambda starts: image_at(starts).expand(-1, self.channels, -1, -1)

    def _loss(self, head: nn.Module, embedding: Tensor, first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
        if isinstance(head, ArcFace):
            return arcmix(head, embedding, first, second, weights)
        assert isinstance(head, Softmax)
        logits = head.logits(embedding)
        return divergence(logits, augment.soft_labels(first, second, weights, logits.shape[1]))


def _steps(count: int, step: float) -> list[float]:
    """step, -step, 2 step, -2 step, …"""
    return [step * (1 + n // 2) * (-1) ** n for n in range(count)]


class _WarpedImages:
    """Images at positions of windows, each warped along its mels by the number of a warp; 0 is no warp."""

    def __init__(self, owner: IdClassifier, frames: Tensor, windows: Windows) -> None:
        device = owner.context.device
        self.image_at, self.starts = owner.images(frames), training.window_starts(windows, device)
        bends = [(0.0, 1.0), *((a, 1 - a) for a in _steps(owner.warps, BEND))]
        self.matrices = augment.warp_matrices(frames.shape[1], bends).to(device)

    def __call__(self, positions: Tensor, numbers: Tensor | None) -> Tensor:
        images = self.image_at(self.starts[positions])
        return images if numbers is None else augment.warped(images, self.matrices, numbers)


class _FasterImages:
    """The same, with clips that were played faster or slower: the frames of all speeds, one after another.

    The window at a position is at the same share of its clip at each speed.
    """

    def __init__(self, owner: IdClassifier, train: ClipSet, frames: Tensor, windows: Windows) -> None:
        first = np.cumsum(windows.counts) - windows.counts
        share = (np.arange(len(windows)) - first[windows.clip]) / windows.counts[windows.clip]
        all_frames, starts, count = [frames], [windows.start], len(frames)
        for step in _steps(owner.warps, SPEED):
            front_end = FasterLogMel.of(owner.front_end, round(1 + step, 6))
            faster, own = training.frames_of(front_end, train, owner.frames, owner.context, owner.hop)
            begins = np.cumsum(own.counts) - own.counts
            chosen = begins[windows.clip] + (share * own.counts[windows.clip]).astype(np.int64)
            starts.append(own.start[chosen] + count)
            all_frames.append(faster)
            count += len(faster)
        self.image_at = owner.images(torch.cat(all_frames))
        self.starts = torch.from_numpy(np.stack(starts)).to(owner.context.device)

    def __call__(self, positions: Tensor, numbers: Tensor | None) -> Tensor:
        return self.image_at(self.starts[0 if numbers is None else numbers, positions])


class _Augmentation:
    """Perturbs and mixes a batch. Returns images, both classes of each, and the proportion of the first class."""

    def __init__(self, owner: IdClassifier, classes: int, perturbed: _WarpedImages | _FasterImages) -> None:
        self.mix, self.warps, self.classes, self.device = owner.mix, owner.warps, classes, owner.context.device
        self.perturbed = perturbed
        self.rng = np.random.default_rng(owner.context.seed)

    def __call__(self, positions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count = len(positions)
        numbers = self._to_device(self.rng.integers(0, 1 + self.warps, count)) if self.warps else None
        images = self.perturbed(positions, numbers)
        if numbers is not None:
            labels = augment.warped_labels(labels, numbers, self.classes)
        if self.mix == "none":
            return images, labels, labels, torch.ones(count, device=self.device)
        partners = self._to_device(self.rng.permutation(count))
        proportions = self.rng.uniform(size=count).astype(np.float32)
        weights = self._to_device(np.where(self.rng.random(count) < 0.5, proportions, np.float32(1)))
        before_log = self.mix == "before" or (self.mix == "both" and self.rng.random() < 0.5)
        mixed_images = (augment.mixed_before_log if before_log else augment.mixed)(images, images[partners], weights)
        return mixed_images, labels, labels[partners], weights

    def _to_device(self, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
        return to_device(torch.from_numpy(values), self.device)
