"""A pretrained encoder, trained further to tell the classes of normal clips apart; distances between its embeddings.

Zheng et al., "Improving Anomalous Sound Detection via Low-Rank Adaptation Fine-Tuning of Pre-Trained Audio Models",
2024 (arXiv 2409.07016): low-rank layers in the attention of a pretrained encoder, masks on its input, and a classifier
with an angular margin on top. Low-rank layers: Hu et al., ICLR 2022. Others train all weights of the encoder, or only a
head on it.

The weights of the encoder are a file of the user; `pretrained` names it by its content. The state of a trial has what
training changed: low-rank layers, pooling and head, but no frozen weights, so `load` needs the same file again. With
tune="all" every weight changes, and the state has them all.

Chosen here, because we know the paper by its abstract and its results: all values of PAPER; the layers that are adapted
(`parts/lora.py`); masks on waves (`parts/wave_masks.py`), because encoders differ in what they make of a wave; the
encoder in eval mode (`nets/tuned_encoder.py`); AdamW with clipped gradients (`parts/gentle.py`); the classes are those
of all our classifiers; clips shorter than `seconds` are repeated; clips of another rate than the encoder's are
resampled. Training on a GPU is in bfloat16, scoring in 32 bits.

Published: with BEATs 77.75 on DCASE 2023 evaluation (the authors). By ASDKit, mean of four seeds, DCASE 2020, 2021,
2022, 2023, 2024 evaluation: BEATs 93.52, 67.62, 68.87, 71.46, 61.72; EAT 93.46, 67.57, 69.85, 72.04, 61.47. None of
these was repeated here: no weights could be fetched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, State
from asd_ray.detectors.encoders.loading import NETS, load_encoder
from asd_ray.detectors.nets.tuned_encoder import POOLINGS, TUNES, TunedEncoder
from asd_ray.detectors.parts import classifier as classify
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.augment import mixed, partners, soft_labels
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.gentle import gentle_adamw
from asd_ray.detectors.parts.heads import AdaProj, ArcFace, SubClusterAdaCos, arcmix, divergence, sub_cluster_head
from asd_ray.detectors.parts.lora import PLACES
from asd_ray.detectors.parts.pseudo_labels import (
    Rows,
    check_labels,
    spectrum_statistics,
    training_classes,
    why_no_classes,
)
from asd_ray.detectors.parts.supplemental import (
    NoiseMix,
    check_switches,
    further_classes,
    why_unsuited,
    with_further_classes,
)
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.detectors.parts.user_encoder import UserEncoder
from asd_ray.detectors.parts.wave_masks import masked_waves
from asd_ray.detectors.parts.waves import MAX_CLIPS, Waves
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, Windows
from asd_ray.features._base import must_be

HEADS = ("arcface", "scac", "adaproj")
CLUSTER_BY = ("spectrum", "embedding")
MIN_SECONDS = 0.25
ENCODERS = tuple(net for net in NETS if net not in ("onnx", "exported"))  # those two are finished graphs


class Finetuned(classify.OfClassifier):
    """A fine-tuned encoder with several backends; see the module for the method.

    `encoder` is the net, `pretrained` the user's weights of it; without a name, those that are brought are used. `tune`
    says what is trained below the head: "lora" trains low-rank layers of `rank` and `lora_alpha` in `places`, "all"
    every weight, "head" nothing. `layer` is the share of the net's depth: 0 is the first layer, 1 the last. `pooling`
    and, above 0, a linear `projection` make one embedding of the frames. `scale` and `margin` belong to head "arcface";
    `sub_clusters` and `learned` to the other two, as in `embedding_knn`. `mix` is the part of clips that are mixed,
    `time_mask` and `band_mask` are the largest parts that are masked. The learning rate rises over the part `warmup` of
    all steps. `labels` and `clusters` make the classes, as in `embedding_knn`; clips that are clustered are described
    by `cluster_by`: "spectrum", as in the other classifiers, or "embedding", the mean over time of the frames of
    `layer` before any training, which is also where a mean of frames begins. `noise_mix`, `supplemental_class` and
    `supplemental_bank` are in parts/supplemental.py.

    Variants: as `embedding_knn`, and with head "arcface" `nll_margin`.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.5, suits_cpu=False)
    VERSION: ClassVar[int] = 1
    WEIGHTS: ClassVar[dict[str, tuple[str, ...]]] = {"encoder": ENCODERS}
    NEEDS_WEIGHTS: ClassVar[bool] = True

    def __init__(
        self,
        context: Context,
        *,
        encoder: str = "beats",
        tune: str = "lora",
        rank: int = 16,
        lora_alpha: float = 16.0,
        places: str = "attention",
        layer: float = 1.0,
        pooling: str = "mean",
        projection: int = 0,
        head: str = "arcface",
        scale: float = 30.0,
        margin: float = 0.5,
        sub_clusters: int = 16,
        learned: bool = True,
        labels: str = "real",
        clusters: int = 8,
        seconds: float = 10.0,
        mix: float = 0.5,
        alpha: float = 1.0,
        time_mask: float = 0.1,
        band_mask: float = 0.1,
        smote_ratio: float = 0.0,
        backends: str = "knn,knn_ldn,knn_mix,knn_dn,knn_exit,bands,pca,kmeans,lof,maha,cos",
        lr: float = 1e-4,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        batch_size: int = 32,
        epochs: int = 10,
        pretrained: str = "",
        noise_mix: float = 0.0,
        supplemental_class: bool = False,
        supplemental_bank: bool = False,
        cluster_by: str = "spectrum",
    ) -> None:
        self.context, self.encoder, self.pretrained = context, encoder, pretrained
        self.tune, self.rank, self.lora_alpha, self.places = tune, rank, lora_alpha, places
        self.layer, self.pooling, self.projection = layer, pooling, projection
        self.head, self.scale, self.margin, self.sub_clusters, self.learned = head, scale, margin, sub_clusters, learned
        self.labels, self.clusters, self.cluster_by = labels, clusters, cluster_by
        self.seconds, self.mix, self.alpha, self.time_mask, self.band_mask = seconds, mix, alpha, time_mask, band_mask
        self.smote_ratio, self.backends = smote_ratio, backends
        self.lr, self.weight_decay, self.warmup = lr, weight_decay, warmup
        self.batch_size, self.epochs = batch_size, epochs
        self.noise_mix = noise_mix
        self.supplemental_class, self.supplemental_bank = supplemental_class, supplemental_bank
        self._encoder = UserEncoder(self, context, encoder, pretrained, ENCODERS)
        self._check()
        self._fitted = classify.FittedClassifier(self, self._new)

    def _check(self) -> None:
        choices = {"tune": TUNES, "places": PLACES, "pooling": POOLINGS, "head": HEADS, "cluster_by": CLUSTER_BY}
        for name, known in choices.items():
            must_be(self, name, getattr(self, name) in known, f"one of {', '.join(known)}")
        for name, least in (("rank", 0), ("projection", 0), ("sub_clusters", 1)):
            training.check_whole(self, name, least)
        for name in ("lora_alpha", "alpha", "scale"):
            must_be(self, name, 0 < getattr(self, name) < math.inf, "above 0")
        must_be(self, "layer", 0 <= self.layer <= 1, "in [0, 1]")
        must_be(self, "margin", 0 <= self.margin < 1.5, "in [0, 1.5)")
        must_be(self, "learned", isinstance(self.learned, bool), "true or false")
        changes = self.head == "arcface" or self.learned or self.projection > 0 or self.pooling != "mean"
        trains = self.tune == "all" or (self.tune == "lora" and self.rank > 0)
        must_be(self, "learned", changes or trains, "true where nothing else is trained")
        must_be(self, "seconds", MIN_SECONDS <= self.seconds < math.inf, f"{MIN_SECONDS} or more")
        must_be(self, "weight_decay", 0 <= self.weight_decay < math.inf, "0 or more")
        check_switches(self, "supplemental_class", "supplemental_bank")
        for name in ("mix", "smote_ratio", "noise_mix"):
            must_be(self, name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        for name in ("time_mask", "band_mask", "warmup"):
            training.check_fraction(self, name)
        check_labels(self)
        training.check_training_settings(self)
        classify.backends_for(self.backends)

    @property
    def front_end(self) -> FrontEnd:
        return replace(PRESETS["baseline"], seconds=self.seconds, short="repeat").at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return self._encoder.why_none() or why_no_classes(train) or why_unsuited(self, train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        self._encoder.keep()
        classes, numbers = self._classes(train)
        count = len(classes) + further_classes(self.supplemental_class)
        clips, labels = with_further_classes(train, numbers, len(classes), self.supplemental_class)
        classifier, device = self._fitted.start(classes), self.context.device
        head, rate = classifier.head, self.front_end.rate
        assert isinstance(head, ArcFace | SubClusterAdaCos | AdaProj)
        waves = self._waves(clips)
        with_noise = NoiseMix(train, waves, self.noise_mix, self.context.seed)
        steps = self.epochs * len(training.batches(torch.arange(len(clips)), self.batch_size))
        optimiser = gentle_adamw(classifier.parameters(), self.lr, self.weight_decay, self.warmup, steps)
        rng = np.random.default_rng(self.context.seed)

        def losses(positions: Tensor) -> dict[str, Tensor]:
            batch, first = with_noise(waves(positions), positions), to_device(labels[positions], device)
            others, weights = partners(len(positions), self.mix, self.alpha, rng, device)
            batch = masked_waves(mixed(batch, batch[others], weights), self.time_mask, self.band_mask, rate, rng)
            embedding, second = classifier.embed(batch), first[others]
            if isinstance(head, ArcFace):
                return {"train": arcmix(head, embedding, first, second, weights)}
            soft = soft_labels(first, second, weights, count)
            return {"train": divergence(head.logits(embedding, soft), soft)}

        generator = self.context.generator()
        yield from classifier.fit(
            train, losses, len(clips), optimiser, self.epochs, self.batch_size, generator, torch.device("cpu")
        )

    def state(self) -> State:
        return {**super().state(), "encoder": self._encoder.state()}

    def load(self, state: State) -> None:
        """It needs the user's file, and raises an AsdRayError if that is missing or has other weights."""
        self._encoder.load(state)
        super().load(state)

    def _new(self, classes: Classes) -> classify.Classifier:
        net, head = training.build_with_seed(lambda: self._modules(len(classes)), self.context)
        return classify.Classifier(
            self.context,
            self._inputs,
            net,
            head,
            classes,
            self.backends,
            smote_ratio=self.smote_ratio,
            max_windows=MAX_CLIPS,
            supplemental_bank=self.supplemental_bank,
        )

    def _classes(self, train: ClipSet) -> tuple[Classes, Tensor]:
        """The classes, and the class number of each clip."""

        def embeddings(clips: ClipSet, context: Context) -> Rows:
            return self._encoder.clip_means(clips, self.layer)

        rows_of = embeddings if self.cluster_by == "embedding" else spectrum_statistics
        return training_classes(train, self.context, self.labels, self.clusters, rows_of=rows_of)

    def _modules(self, classes: int) -> nn.ModuleList:
        encoder = load_encoder(self._encoder.name, self.context.weights).to(self.context.device)
        samples = round(self.seconds * encoder.rate)
        must_be(self, "seconds", encoder.frames(samples) > 0, f"enough for one frame of the encoder {self.encoder}")
        net = TunedEncoder(
            encoder,
            rate=self.context.rate,
            tune=self.tune,
            rank=self.rank,
            lora_alpha=self.lora_alpha,
            places=self.places,
            layer=self.layer,
            pooling=self.pooling,
            projection=self.projection,
        )
        return nn.ModuleList([net, self._new_head(net.width, classes + further_classes(self.supplemental_class))])

    def _new_head(self, width: int, classes: int) -> ArcFace | SubClusterAdaCos | AdaProj:
        if self.head == "arcface":
            return ArcFace(width, classes, scale=self.scale, margin=self.margin)
        return sub_cluster_head(self.head, width, classes, self.sub_clusters, self.learned)

    def _inputs(self, clips: ClipSet) -> tuple[classify.Gather, Windows]:
        waves = self._waves(clips)
        return waves, waves.windows

    def _waves(self, clips: ClipSet) -> Waves:
        return Waves(clips, self.front_end, self.context.device)
