"""STgram-MFN: a classifier of machine ids on a log-mel spectrogram and one learned from the wave.

Liu, Guan, Zhu, Wang, "Anomalous Sound Detection Using Spectral-Temporal Information Fusion", ICASSP 2022. Later
settings: Cho, "Self-Supervised Learning Methods Using ST-gram for Anomaly Machine Sound Detection", DCASE 2022; Choi,
Choi, "Noisy-ArcMix: Additive Noisy Angular Margin Loss Combined with Mixup for Anomalous Sound Detection", 2023
(TASTgram).

One-dimensional convolutions learn from the wave what a spectrogram loses (the Tgram). It and the log-mel spectrogram
(the Sgram) are the two input channels of MobileFaceNet. ArcFace learns to tell all ids of all machines apart by its
embedding, or those of one machine. A clip that the net does not assign to its own id is anomalous.

Rows of the paper: inputs "sgram", "tgram" and "spectrum" (LogMel-, Tgram- and Spec-MFN), head "softmax" (CEE). The
authors' later code has net "mobilefacenet_2023" and 300 epochs. Cho: mix "mixup", net "mobilefacenet_2022" or
"mobilenet_v3", which starts from weights of ImageNet that the user brings, or else at random. TASTgram: inputs
"sgram+tgram+attention", picture "noisy_arcmix", net "mobilefacenet_2023", mix "noisy_arcmix", weight_decay 0.01,
anneal_after 0, batch_size 64, 300 epochs. The paper trains on all machines at once, as `asd-ray search --jointly` does;
training per machine is said to cost 10 points.

Left open, and chosen here: clips shorter than `seconds` are repeated; the linear spectrum is in dB; the proportion of a
mixture is drawn for each clip from Beta(alpha, alpha), with alpha 0.5 also for Cho, who mixes waves and gives each
class its own margin; he does not say how pretrained weights for three colours fit two channels, and here each channel
gets their sum over the colours, divided by the number of channels; the weights of the last epoch are used, where the
authors take the best on test clips and Choi & Choi those with the lowest loss on held out clips; the learning rate
falls as in the authors' later code, by a cosine over all epochs that starts after the first 20, down to a tenth; an
embedding has unit length under ArcFace.

Published, AUC (pAUC) in per cent, DCASE 2020 development, best epoch on test clips, fan, pump, slider, valve, ToyCar,
ToyConveyor: ArcFace 94.04 (88.97), 91.94 (81.75), 99.55 (97.61), 99.64 (98.44), 94.44 (87.68), 74.57 (63.60); mean
92.36 (86.34), CEE 89.68 (84.64). Mean AUC of the ablations: LogMel 87.67, Tgram 75.18, Spec 77.12. TASTgram with
Noisy-ArcMix, no test clips used: 98.32 (95.34), 95.44 (85.99), 99.53 (97.50), 99.95 (99.74), 96.76 (90.11), 77.90
(67.15). The score of all these is `nll_margin`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress
from asd_ray.detectors.nets.mobilefacenet import MobileFaceNet
from asd_ray.detectors.nets.mobilenet_v3 import MobileNetV3
from asd_ray.detectors.nets.tgram import Tgram, temporal_attention
from asd_ray.detectors.parts import classifier as classify
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.augment import mixed, mixing_weights
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import ArcFace, Softmax, arcmix, check_head, new_head, noisy_arcmix
from asd_ray.detectors.parts.pseudo_labels import check_labels, training_classes, why_no_classes
from asd_ray.detectors.parts.supplemental import (
    NoiseMix,
    check_switches,
    further_classes,
    why_unsuited,
    with_further_classes,
)
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.detectors.parts.waves import MAX_CLIPS, Waves
from asd_ray.detectors.parts.weights import is_pretrained_name, load_weights
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, LogMel, Magnitude, Windows
from asd_ray.features._base import must_be

NETS = ("mobilefacenet_2022", "mobilefacenet_2023", "mobilenet_v3")
INPUTS = ("sgram+tgram", "sgram+tgram+attention", "sgram", "tgram", "spectrum")
PICTURES = ("stgram", "noisy_arcmix")  # presets for the log-mel spectrogram
MIXES: dict[str, Callable[..., Tensor] | None] = {"none": None, "mixup": arcmix, "noisy_arcmix": noisy_arcmix}
FLOOR = 1e-10  # of the power of a spectrum, for its logarithm


class Stgram(nn.Module):
    """Waves, [n, samples] -> embeddings. `spectrograms` are those of the same sound, if they are already computed."""

    def __init__(self, front_end: LogMel | Magnitude, inputs: str, net: str, samples: int, *, unit: bool) -> None:
        super().__init__()
        self.front_end, self.inputs, self.unit = front_end, inputs.split("+"), unit
        frames, bins, hop = front_end.frames(samples), front_end.shape[0], front_end.hop
        self.tgram = Tgram(frames, mels=bins, window=2 * hop, hop=hop) if "tgram" in self.inputs else None
        channels = len(self.inputs)
        self.net: MobileFaceNet | MobileNetV3
        if net == "mobilenet_v3":
            self.net = MobileNetV3(channels)
        else:
            self.net = MobileFaceNet(channels, size=(bins, frames), table=net.removeprefix("mobilefacenet_"))
        self.width = self.net.width

    def spectrograms(self, waves: Tensor) -> Tensor:
        """[n, bins, frames] in dB."""
        with torch.autocast(waves.device.type, enabled=False):
            frames = self.front_end(waves).transpose(1, 2)
        return frames.clamp_min(FLOOR).log10().mul(10) if self.inputs == ["spectrum"] else frames

    def forward(self, waves: Tensor, spectrograms: Tensor | None = None) -> Tensor:
        if spectrograms is None:
            spectrograms = waves.new_empty(0) if self.inputs == ["tgram"] else self.spectrograms(waves)
        channels = []
        for name in self.inputs:
            if name == "tgram":
                assert self.tgram is not None
                channels.append(self.tgram(waves))
            else:
                channels.append(temporal_attention(spectrograms) if name == "attention" else spectrograms)
        images = torch.stack(channels, 1)
        if self.training:  # in this format convolutions train a quarter faster; they score no faster in it
            images = images.contiguous(memory_format=torch.channels_last)
        embedding: Tensor = self.net(images)
        return normalize(embedding.float()) if self.unit else embedding


class StgramMfn(classify.OfClassifier):
    """A classifier of machine ids on two kinds of spectrogram; see the module for the method.

    `seconds` of each clip are used; `picture` is the preset of the log-mel spectrogram. The learning rate falls after
    epoch `anneal_after`. With `weight_decay` above 0, AdamW is used instead of Adam. `pretrained` names the user's
    weights from which `net` starts, by their content; "" is a random start. `noise_mix`, `supplemental_class` and
    `supplemental_bank` are in parts/supplemental.py.

    `labels` are "real" (ids, or attributes of a machine with one id) or the method by which the clips of an id without
    attributes are split into `clusters` classes: "kmeans", "ward" or "vq"; see `pseudo_labels`. A machine whose clips
    have one real class is always split, by "kmeans" where `labels` are "real".

    Variants: `nll_margin` (head "arcface"), `probability`, `log_odds`, `nll` and `log_odds_2021` of the clip's own id,
    and one for each of `backends` on its embedding; `knn_supplemental` with `supplemental_bank`.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.5, suits_cpu=False)
    VERSION: ClassVar[int] = 1
    WEIGHTS: ClassVar[dict[str, tuple[str, ...]]] = {"net": ("mobilenet_v3",)}

    def __init__(
        self,
        context: Context,
        *,
        inputs: str = "sgram+tgram",
        picture: str = "stgram",
        net: str = "mobilefacenet_2022",
        head: str = "arcface",
        scale: float = 30.0,
        margin: float = 0.7,
        mix: str = "none",
        alpha: float = 0.5,
        seconds: float = 10.0,
        backends: str = "knn,lof,maha,gmm",
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        anneal_after: int = 20,
        batch_size: int = 128,
        epochs: int = 200,
        pretrained: str = "",
        labels: str = "real",
        clusters: int = 8,
        noise_mix: float = 0.0,
        supplemental_class: bool = False,
        supplemental_bank: bool = False,
    ) -> None:
        self.context = context
        self.inputs, self.picture, self.net, self.head = inputs, picture, net, head
        self.scale, self.margin, self.mix, self.alpha = scale, margin, mix, alpha
        self.seconds, self.backends = seconds, backends
        self.lr, self.weight_decay, self.anneal_after = lr, weight_decay, anneal_after
        self.batch_size, self.epochs, self.pretrained = batch_size, epochs, pretrained
        self.labels, self.clusters = labels, clusters
        self.noise_mix = noise_mix
        self.supplemental_class, self.supplemental_bank = supplemental_class, supplemental_bank
        choices = {"inputs": INPUTS, "picture": PICTURES, "net": NETS, "mix": tuple(MIXES)}
        for name, known in choices.items():
            must_be(self, name, getattr(self, name) in known, f"one of {', '.join(known)}")
        check_head(self)
        must_be(self, "alpha", 0 < alpha < math.inf, "above 0")
        must_be(self, "seconds", 0.25 <= seconds < math.inf, "0.25 or more")
        must_be(self, "weight_decay", 0 <= weight_decay < math.inf, "0 or more")
        is_of_net = net in self.WEIGHTS["net"] and is_pretrained_name(pretrained, net)
        must_be(self, "pretrained", is_of_net or pretrained == "", f'the name of weights of the net {net}, or ""')
        must_be(self, "noise_mix", 0 <= noise_mix <= 1, "in [0, 1]")
        check_switches(self, "supplemental_class", "supplemental_bank")
        training.check_whole(self, "anneal_after", 0)
        check_labels(self)
        training.check_training_settings(self)
        classify.backends_for(backends)
        self._fitted = classify.FittedClassifier(self, self._new)

    @property
    def front_end(self) -> LogMel | Magnitude:
        preset = PRESETS[self.picture]
        assert isinstance(preset, LogMel)
        if self.inputs == "spectrum":
            return Magnitude(
                n_fft=preset.n_fft, pad_mode=preset.pad_mode, power=2, seconds=self.seconds, short="repeat"
            ).at(self.context.rate)
        return replace(preset, seconds=self.seconds).at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return why_no_classes(train) or why_unsuited(self, train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        classes, numbers = training_classes(train, self.context, self.labels, self.clusters)
        classifier, device = self._fitted.start(classes), self.context.device
        net, head = classifier.net, classifier.head
        assert isinstance(net, Stgram)
        assert isinstance(head, ArcFace | Softmax)
        if self.pretrained:
            assert isinstance(net.net, MobileNetV3)
            net.net.start_from(load_weights(self.pretrained, self.context.weights))
        clips, labels = with_further_classes(train, numbers, len(classes), self.supplemental_class)
        waves = self._waves(clips)
        with_noise = NoiseMix(train, waves, self.noise_mix, self.context.seed)
        rng, mixed_loss = np.random.default_rng(self.context.seed), MIXES[self.mix]
        optimiser = torch.optim.AdamW(classifier.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, partial(_learning_rate_factor, after=self.anneal_after, epochs=self.epochs)
        )

        def losses(positions: Tensor) -> dict[str, Tensor]:
            batch_waves = with_noise(waves(positions), positions)
            first = to_device(labels[positions], device)
            if mixed_loss is None:
                return {"train": cross_entropy(head.logits(classifier.embed(batch_waves), first), first)}
            partners = to_device(torch.from_numpy(rng.permutation(len(positions))), device)
            weights, spectrograms = mixing_weights(len(positions), self.alpha, rng, device), None
            if self.mix == "noisy_arcmix" and self.inputs != "tgram":
                spectrograms = net.spectrograms(batch_waves)
                spectrograms = mixed(spectrograms, spectrograms[partners], weights)
            batch_waves = mixed(batch_waves, batch_waves[partners], weights)
            return {
                "train": mixed_loss(head, classifier.embed(batch_waves, spectrograms), first, first[partners], weights)
            }

        generator = self.context.generator()
        for progress in classifier.fit(
            train, losses, len(clips), optimiser, self.epochs, self.batch_size, generator, torch.device("cpu")
        ):
            yield progress
            schedule.step()

    def _new(self, classes: Classes) -> classify.Classifier:
        net, head = training.build_with_seed(lambda: self._modules(len(classes)), self.context)
        if self.context.device.type == "cuda":  # on a CPU only images are converted, in training
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return classify.Classifier(
            self.context,
            self._inputs,
            net,
            head,
            classes,
            self.backends,
            max_windows=MAX_CLIPS,
            supplemental_bank=self.supplemental_bank,
        )

    def _modules(self, classes: int) -> nn.ModuleList:
        samples, arcface = self.front_end.used_samples(1), self.head == "arcface"
        net = Stgram(self.front_end, self.inputs, self.net, samples, unit=arcface)
        classes += further_classes(self.supplemental_class)
        head = new_head(self.head, net.width, classes, scale=self.scale, margin=self.margin)
        return nn.ModuleList([net, head])

    def _inputs(self, clips: ClipSet) -> tuple[classify.Gather, Windows]:
        waves = self._waves(clips)
        return waves, waves.windows

    def _waves(self, clips: ClipSet) -> Waves:
        return Waves(clips, self.front_end, self.context.device)


def _learning_rate_factor(epoch: int, *, after: int, epochs: int) -> float:
    """The learning rate as a factor of `lr`: 1 up to `after`, then half a cosine period over `epochs`, down to 0.1."""
    return 0.55 + 0.45 * math.cos(math.pi * min(max(0, epoch - after) / epochs, 1))
