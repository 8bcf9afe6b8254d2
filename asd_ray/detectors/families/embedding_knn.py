"""Embeddings of a clip's spectrum and spectrogram, learned by classifying machines, and distances between them.

Wilkinghoff, "Design Choices for Learning Embeddings from Auxiliary Tasks for Domain Generalization in Anomalous Sound
Detection", ICASSP 2023; "AdaProj: Adaptively Scaled Angular Margin Subspace Projections for Anomalous Sound Detection
with Auxiliary Classification Tasks", DCASE 2024.

One net gets the spectrum of the whole clip, another its spectrogram minus the mean over time. Together they learn to
classify mixed clips with sub-cluster AdaCos or AdaProj, whose centres keep their random initial values. A clip whose
embedding is far from those of the normal clips of its id is anomalous.

As in the author's code: the nets of `nets/dual_branch.py` without biases; one head on both embeddings, concatenated; 16
sub-clusters; every clip mixed with another, in uniformly drawn proportions; penalties of 1e-5 times the squares of the
nets' weights; Adam, 1e-3, batches of 64, 10 epochs; scored by the cosine distance to the nearest of the target clips
and of 16 k-means centres of the source clips (at first, of all clips), which is the backend "kmeans".

Chosen here: a clip is mixed with any clip of its batch, possibly itself; the classes are those of all our classifiers,
where the author's combine id, attributes and domain; nets are trained on the machines of the trial, the author's on all
at once; clips shorter than `seconds` are repeated; SMOTE adds target embeddings to the references of the backends; the
other backends are added for comparison, "knn_ldn" after Wilkinghoff et al. 2025.

Published: no figures are known for these exact nets. For related ones, by ASDKit (mean of four seeds, nothing
selected), DCASE 2020 development, evaluation: sub-cluster AdaCos with learned centres 90.57, 91.96; with several
spectrograms 91.65, 92.84.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.dual_branch import WIDTH, DualBranch
from asd_ray.detectors.parts import classifier as classify
from asd_ray.detectors.parts import microphones, training
from asd_ray.detectors.parts.augment import mixed, mixing_weights, soft_labels
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import AdaProj, SubClusterAdaCos, divergence
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.detectors.parts.waves import MAX_CLIPS, Waves
from asd_ray.families.resources import Resources
from asd_ray.features import FrontEnd, Magnitude, Windows
from asd_ray.features._base import must_be

HEADS = ("scac", "adaproj")
SUBTRACT = ("embedding", "spectrum")
BRANCHES = {"both": ("fft", "stft"), "fft": ("fft",), "stft": ("stft",)}
PENALTY = 1e-5  # on squared weights
MIN_SECONDS = 0.25  # seconds: six frames; the ResNet needs five


class EmbeddingKnn:
    """Embeddings of spectrum and spectrogram with several backends; see the module for the method.

    `sub_clusters` is the number of centres per class (head "scac") or the dimension of its subspace ("adaproj"); with
    `learned` they are trained too. `branches` selects the nets. `mix` is the fraction of clips that are mixed, in
    proportions from Beta(`alpha`, `alpha`). With `smote_ratio` above 0 the backends get interpolated target clips, up
    to this ratio to the source clips.

    `microphone` and `far_share` are those of `parts/microphones.py`. With "near-far" the far sound is subtracted in the
    "spectrum" of every wave that the net gets, or, by `subtract`, in the "embedding": the net then learns from the near
    microphone, classes are scored by it alone, and the backends get the difference of a clip's two embeddings.

    Variants: `probability`, `log_odds`, `nll` and `log_odds_2021` of the clip's own class; and one for each of
    `backends` on its embedding.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.5, suits_cpu=False)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        head: str = "scac",
        sub_clusters: int = 16,
        learned: bool = False,
        branches: str = "both",
        seconds: float = 10.0,
        mix: float = 1.0,
        alpha: float = 1.0,
        smote_ratio: float = 0.0,
        backends: str = "knn,knn_ldn,kmeans,lof,maha,gmm",
        lr: float = 1e-3,
        batch_size: int = 64,
        epochs: int = 10,
        microphone: str = microphones.NEAR,
        far_share: float = 0.5,
        subtract: str = "embedding",
    ) -> None:
        self.context = context
        self.microphone, self.far_share, self.subtract = microphone, far_share, subtract
        microphones.check_microphone(self)
        must_be(self, "subtract", subtract in SUBTRACT, f"one of {', '.join(SUBTRACT)}")
        self.head, self.sub_clusters, self.learned = head, sub_clusters, learned
        self.branches, self.seconds, self.mix, self.alpha = branches, seconds, mix, alpha
        self.smote_ratio, self.backends = smote_ratio, backends
        self.lr, self.batch_size, self.epochs = lr, batch_size, epochs
        for name, known in (("head", HEADS), ("branches", tuple(BRANCHES))):
            must_be(self, name, getattr(self, name) in known, f"one of {', '.join(known)}")
        training.check_whole(self, "sub_clusters", 1)
        width = WIDTH * len(BRANCHES[branches])
        fits = head == "scac" or sub_clusters < width
        must_be(self, "sub_clusters", fits, f"below the {width} dimensions of the embedding, with head 'adaproj',")
        must_be(self, "learned", isinstance(learned, bool), "true or false")
        must_be(self, "seconds", MIN_SECONDS <= seconds < math.inf, f"{MIN_SECONDS} or more")
        must_be(self, "alpha", 0 < alpha < math.inf, "above 0")
        for name in ("mix", "smote_ratio"):
            must_be(self, name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        training.check_training_settings(self)
        classify.backends_for(backends)
        self._fitted = classify.FittedClassifier(self, self._new)

    @property
    def front_end(self) -> FrontEnd:
        return Magnitude(center=False, seconds=self.seconds, short="repeat").at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return microphones.why_unheard(self.microphone, train) or Classes.why_too_few(train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        classes, device = Classes.from_clips(train.frame), self.context.device
        classifier = self._fitted.start(classes)
        head = classifier.head
        assert isinstance(head, SubClusterAdaCos | AdaProj)
        waves, labels = self._waves(train), classes.labels(train.frame)
        optimiser, rng = _optimiser(classifier, self.lr), np.random.default_rng(self.context.seed)

        def losses(positions: Tensor) -> dict[str, Tensor]:
            own_labels = to_device(labels[positions], device)
            mixed_waves, soft_targets = self._mixed(waves(positions), own_labels, len(classes), rng)
            return {"train": divergence(head.logits(classifier.embed(mixed_waves), soft_targets), soft_targets)}

        generator = self.context.generator()
        yield from classifier.fit(
            train, losses, len(train), optimiser, self.epochs, self.batch_size, generator, torch.device("cpu")
        )

    def score(self, clips: ClipSet) -> Scores:
        return self._fitted.score(clips)

    def embeddings(self, clips: ClipSet) -> Scores:
        """The mean embedding of each clip's windows, which is the input of head and backends."""
        return self._fitted.embeddings(clips)

    def state(self) -> State:
        return self._fitted.state()

    def load(self, state: State) -> None:
        self._fitted.load(state)

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
            far_share=self.far_share if self._subtracts("embedding") else None,
        )

    def _modules(self, classes: int) -> nn.ModuleList:
        net = DualBranch(self.front_end, self.front_end.used_samples(1), BRANCHES[self.branches])
        head: SubClusterAdaCos | AdaProj
        if self.head == "adaproj":
            head = AdaProj(net.width, classes, dimensions=self.sub_clusters, learned=self.learned)
        else:
            head = SubClusterAdaCos(net.width, classes, sub_clusters=self.sub_clusters, learned=self.learned)
        return nn.ModuleList([net, head])

    def _mixed(self, waves: Tensor, labels: Tensor, classes: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The waves, a part of them mixed with others, and soft labels for all."""
        count, device = len(labels), labels.device
        weights = mixing_weights(count, self.alpha, rng, device)
        is_mixed = to_device(torch.from_numpy(rng.random(count) < self.mix), device)
        weights = torch.where(is_mixed, weights, 1)
        partners = to_device(torch.from_numpy(rng.permutation(count)), device)
        return mixed(waves, waves[partners], weights), soft_labels(labels, labels[partners], weights, classes)

    def _inputs(self, clips: ClipSet) -> tuple[classify.Gather, Windows]:
        waves = self._waves(clips)
        return waves, waves.windows

    def _waves(self, clips: ClipSet) -> Waves:
        device = self.context.device
        if self._subtracts("embedding"):
            return Waves(clips, self.front_end, device)  # of either microphone
        return microphones.HeardWaves(clips, self.front_end, device, self.microphone, self.far_share)

    def _subtracts(self, where: str) -> bool:
        return self.microphone == microphones.NEAR_FAR and self.subtract == where


def _optimiser(classifier: classify.Classifier, lr: float) -> torch.optim.Adam:
    """Adam with a penalty on the weights of the net's layers, but not on normalisations and centres."""
    layer_weights = [weight for weight in classifier.net.parameters() if weight.dim() > 1]
    rest = [
        weight
        for weight in classifier.parameters()
        if not any(weight is layer_weight for layer_weight in layer_weights)
    ]
    groups: list[dict[str, Any]] = [{"params": layer_weights, "weight_decay": 2 * PENALTY}, {"params": rest}]
    return torch.optim.Adam(groups, lr=lr, fused=True)
