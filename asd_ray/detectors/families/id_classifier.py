"""Classifiers of machine ids, their labels augmented: the M, A and R of Giri et al.; and the official MobileNetV2.

Giri, Tenneti, Cheng, Helwani, Isik, Krishnaswamy, "Unsupervised Anomalous Sound Detection Using Self-Supervised
Classification and Group Masked Autoencoder for Density Estimation", DCASE 2020. The official baseline: Kawaguchi et
al., DCASE 2021; Dohi et al., DCASE 2022.

A net sees log-mel pictures of 64 frames and learns which id they are of. To learn more than the ids ask for, it also
hears mixtures of two of them, whose proportions it has to tell, and spectrally warped ones, which are classes of
their own. A clip that the net does not take for its own id is anomalous.

Left open, and chosen here: the front end is that of the DCASE baselines; pictures are standardised by the training
set's one mean and deviation; half of the pictures are mixtures, in shares drawn uniformly; the warps are f' = a f² +
(1 − a) f with a = ±0.2, ±0.4, …, for each picture one of them or none; Adam with 1e-3, batches of 32, 20 epochs;
batch normalisation's averages move by 0.1 a step, Keras' by 0.001; ArcFace with s = 30, m = 0.5, and for a mixture
the sum of both ids' losses by their shares; a clip's score is the mean over its pictures. Which augmentations are
best differs by machine, as the authors say of theirs too.

The official baseline is net "mobilenet_v2", channels 3, head "softmax", mix "none", warps 0, lr 1e-5, test_hop 1, but
that it takes pictures as they are and leaves out the last tenth of them, most of the last id, to validate with: its
score is `log_odds`, and `log_odds_2021` what its programs of 2021 compute instead.

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
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.mobilenet_v2 import MobileNetV2
from asd_ray.detectors.nets.resnet import ResNet50
from asd_ray.detectors.parts import augment, training
from asd_ray.detectors.parts import classifier as classify
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import ArcFace, Softmax, arcmix, check_head, divergence, new_head
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, Windows
from asd_ray.features._base import must_be

NETS: dict[str, Callable[[int], MobileNetV2 | ResNet50]] = {"mobilenet_v2": MobileNetV2, "resnet50": ResNet50}
MIXES = ("none", "before", "after", "both")  # the log
BEND = 0.2  # of the warps: a = ±BEND, ±2 BEND, …


class IdClassifier:
    """A detector; see the module for the method.

    `mix` says whether pairs of ids are combined before or after the log, or each half of the time; `warps` is the
    number of warped copies of each id; `hop` is that of the pictures learned from, `test_hop` of those scored.

    Variants: `probability`, `log_odds`, `nll` and `log_odds_2021` of the own id; and one for each of `backends` on
    the mean embedding of a clip.
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
    ) -> None:
        self.context = context
        self.net, self.channels, self.head, self.scale, self.margin = net, channels, head, scale, margin
        self.mix, self.warps = mix, warps
        self.frames, self.hop, self.test_hop, self.backends = frames, hop, test_hop, backends
        self.lr, self.batch_size, self.epochs = lr, batch_size, epochs
        for name, known in (("net", tuple(NETS)), ("mix", MIXES)):
            must_be(self, name, getattr(self, name) in known, f"one of {', '.join(known)}")
        must_be(self, "channels", channels in (1, 3), "1 or 3")
        check_head(self)
        training.check_whole(self, "warps", 0)
        training.check_whole(self, "frames", 32)
        for name in ("hop", "test_hop"):
            training.check_whole(self, name, 1)
        training.check_recipe(self)
        classify.backends_for(backends)
        self._kept = classify.Kept(self, self._new)

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["baseline"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        lacking = Classes.lacking(train, least=1 if self.warps else 2)
        return lacking or training.too_few(train, self.front_end, self.frames, self.hop)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        classes = Classes.of(train.frame, least=1 if self.warps else 2)
        frames, windows = training.frames_of(self.front_end, train, self.frames, self.context, self.hop)
        device, made = self.context.device, self._kept.begun(classes)
        assert isinstance(made.net, classify.Standardised)
        made.net.learn(frames)
        picture, starts = self._pictures(frames), training.starts_of(windows, device)
        labels = classes.labels(train.frame)[torch.from_numpy(windows.clip)].to(device)
        optimiser = torch.optim.Adam(made.parameters(), lr=self.lr, fused=True)
        changed = _Changes(self, len(classes), frames.shape[1])

        def losses(at: Tensor) -> dict[str, Tensor]:
            pictures, first, second, weights = changed(picture(starts[at]), labels[at])
            return {"train": self._loss(made.head, made.embedded(pictures), first, second, weights)}

        generator = self.context.generator()
        yield from made.learn(train, losses, len(starts), optimiser, self.epochs, self.batch_size, generator)

    def score(self, clips: ClipSet) -> Scores:
        return self._kept.score(clips)

    def state(self) -> State:
        return self._kept.state()

    def load(self, state: State) -> None:
        self._kept.load(state)

    def _new(self, classes: Classes) -> classify.Classifier:
        net, head = training.made_with_seed(lambda: self._modules(len(classes) * (1 + self.warps)), self.context)
        return classify.Classifier(self.context, self._inputs, net, head, classes, self.backends)

    def _modules(self, classes: int) -> nn.ModuleList:
        net = NETS[self.net](self.channels)
        head = new_head(self.head, net.width, classes, scale=self.scale, margin=self.margin)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster, on a CPU too
        return nn.ModuleList([classify.Standardised(net), head])

    def _inputs(self, clips: ClipSet) -> tuple[classify.Gather, Windows]:
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context, self.test_hop)
        return self._pictures(frames), windows

    def _pictures(self, frames: Tensor) -> classify.Gather:
        picture = training.pictures_of(frames, self.frames)
        return lambda starts: picture(starts).expand(-1, self.channels, -1, -1)

    def _loss(self, head: nn.Module, embedding: Tensor, first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
        if isinstance(head, ArcFace):
            return arcmix(head, embedding, first, second, weights)
        assert isinstance(head, Softmax)
        logits = head.logits(embedding)
        return divergence(logits, augment.soft_labels(first, second, weights, logits.shape[1]))


class _Changes:
    """Warps and mixes a batch; gives the pictures, two classes of each and the share of the first."""

    def __init__(self, owner: IdClassifier, classes: int, mels: int) -> None:
        self.mix, self.warps, self.classes, self.device = owner.mix, owner.warps, classes, owner.context.device
        self.draw = np.random.default_rng(owner.context.seed)
        bends = [BEND * (1 + n // 2) * (-1) ** n for n in range(self.warps)]
        self.matrices = augment.warp_matrices(mels, [(0.0, 1.0), *((a, 1 - a) for a in bends)]).to(self.device)

    def __call__(self, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count = len(pictures)
        if self.warps:
            which = self._to_device(self.draw.integers(0, 1 + self.warps, count))
            pictures = augment.warped(pictures, self.matrices, which)
            labels = augment.warped_labels(labels, which, self.classes)
        if self.mix == "none":
            return pictures, labels, labels, torch.ones(count, device=self.device)
        with_whom = self._to_device(self.draw.permutation(count))
        shares = self.draw.uniform(size=count).astype(np.float32)
        weights = self._to_device(np.where(self.draw.random(count) < 0.5, shares, np.float32(1)))
        before = self.mix == "before" or (self.mix == "both" and self.draw.random() < 0.5)
        mixed = (augment.mixed_before_log if before else augment.mixed)(pictures, pictures[with_whom], weights)
        return mixed, labels, labels[with_whom], weights

    def _to_device(self, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
        return torch.from_numpy(values).to(self.device)
