"""Embeddings of a clip's spectrum and spectrogram, learned by telling machines apart, and how far apart they lie.

Wilkinghoff, "Design Choices for Learning Embeddings from Auxiliary Tasks for Domain Generalization in Anomalous Sound
Detection", ICASSP 2023; "AdaProj: Adaptively Scaled Angular Margin Subspace Projections for Anomalous Sound Detection
with Auxiliary Classification Tasks", DCASE 2024.

One net hears the spectrum of the whole clip, another its spectrogram less the mean over time. They learn together to
tell the classes of mixed clips by sub-cluster AdaCos or AdaProj, whose centres stay as drawn. A clip whose embedding
lies far from those of the normal clips of its id is anomalous.

Of the author's code: the nets of `nets/dual_branch.py` without biases; one head on both embeddings side by side; 16
sub-clusters; every clip mixed with another, in shares drawn uniformly; penalties of 1e-5 times the squares of the
nets' weights; Adam, 1e-3, batches of 64, 10 epochs; scored by the cosine to the nearest of the target clips and of 16
k-means centres of the source clips (at first, of all clips), the backend "kmeans".

Chosen here: a clip is mixed with any of its batch, itself not excluded; the classes are those of all our classifiers,
where the author's are of id, attributes and domain; nets learn of the machines that a trial is given, the author's of
all at once; clips shorter than `seconds` are repeated; SMOTE makes embeddings of target clips for the banks; the other
backends are ours to compare, "knn_ldn" after Wilkinghoff et al. 2025.

Published: of these very nets we know no figures. Of kin, by ASDKit (mean of four seeds, nothing selected), DCASE 2020
development, evaluation: sub-cluster AdaCos with learned centres 90.57, 91.96; with several spectrograms 91.65, 92.84.
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
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.augment import mixed, mixing_weights, soft_labels
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import AdaProj, SubClusterAdaCos, divergence
from asd_ray.detectors.parts.waves import Waves
from asd_ray.families.resources import Resources
from asd_ray.features import FrontEnd, Magnitude, Windows
from asd_ray.features._base import must_be

HEADS = ("scac", "adaproj")
BRANCHES = {"both": ("fft", "stft"), "fft": ("fft",), "stft": ("stft",)}
PENALTY = 1e-5  # of squared weights
SHORTEST = 0.25  # seconds: six frames, of which the ResNet needs five
MOST = 32  # clips at once where nothing is learned: 0.2 GB in the first layers


class EmbeddingKnn:
    """A detector; see the module for the method.

    `sub_clusters` are the centres of a class (head "scac") or the dimensions of its subspace ("adaproj"), and with
    `learned` they learn, too. `mix` is the share of clips that are mixed, in shares from Beta(`alpha`, `alpha`). With
    `smote_ratio` above 0 the banks get interpolated target clips up to this share of the source clips.

    Variants: `probability`, `log_odds`, `nll` and `log_odds_2021` of the own class; and one for each of `backends` on
    a clip's embedding.
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
    ) -> None:
        self.context = context
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
        must_be(self, "seconds", SHORTEST <= seconds < math.inf, f"{SHORTEST} or more")
        must_be(self, "alpha", 0 < alpha < math.inf, "above 0")
        for name in ("mix", "smote_ratio"):
            must_be(self, name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        training.check_recipe(self)
        classify.backends_for(backends)
        self._kept = classify.Kept(self, self._new)

    @property
    def front_end(self) -> FrontEnd:
        return Magnitude(center=False, seconds=self.seconds, short="repeat").at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return Classes.lacking(train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        classes, device = Classes.of(train.frame), self.context.device
        made = self._kept.begun(classes)
        head = made.head
        assert isinstance(head, SubClusterAdaCos | AdaProj)
        waves, labels = self._waves(train), classes.labels(train.frame).to(device)
        optimiser, draw = _optimiser(made, self.lr), np.random.default_rng(self.context.seed)

        def losses(at: Tensor) -> dict[str, Tensor]:
            heard, soft = self._mixed(waves(at), labels[at], len(classes), draw)
            return {"train": divergence(head.logits(made.embedded(heard), soft), soft)}

        generator = self.context.generator()
        yield from made.learn(train, losses, len(train), optimiser, self.epochs, self.batch_size, generator)

    def score(self, clips: ClipSet) -> Scores:
        return self._kept.score(clips)

    def state(self) -> State:
        return self._kept.state()

    def load(self, state: State) -> None:
        self._kept.load(state)

    def _new(self, classes: Classes) -> classify.Classifier:
        net, head = training.made_with_seed(lambda: self._modules(len(classes)), self.context)
        return classify.Classifier(
            self.context, self._inputs, net, head, classes, self.backends, smote_ratio=self.smote_ratio, most=MOST
        )

    def _modules(self, classes: int) -> nn.ModuleList:
        net = DualBranch(self.front_end, self.front_end.heard(1), BRANCHES[self.branches])
        head: SubClusterAdaCos | AdaProj
        if self.head == "adaproj":
            head = AdaProj(net.width, classes, dimensions=self.sub_clusters, learned=self.learned)
        else:
            head = SubClusterAdaCos(net.width, classes, sub_clusters=self.sub_clusters, learned=self.learned)
        return nn.ModuleList([net, head])

    def _mixed(self, waves: Tensor, labels: Tensor, classes: int, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A share of the waves, each mixed with another, and the soft labels of all."""
        count, device = len(labels), labels.device
        weights = mixing_weights(count, self.alpha, draw, device)
        chosen = torch.from_numpy(draw.random(count) < self.mix).to(device)
        weights = torch.where(chosen, weights, 1)
        other = torch.from_numpy(draw.permutation(count)).to(device)
        return mixed(waves, waves[other], weights), soft_labels(labels, labels[other], weights, classes)

    def _inputs(self, clips: ClipSet) -> tuple[classify.Gather, Windows]:
        waves = self._waves(clips)
        return waves, waves.windows

    def _waves(self, clips: ClipSet) -> Waves:
        return Waves(clips, self.front_end, self.context.device)


def _optimiser(made: classify.Classifier, lr: float) -> torch.optim.Adam:
    """Adam with the penalty on the weights of the net's layers; normalisations and centres have none."""
    layers = [each for each in made.net.parameters() if each.dim() > 1]
    rest = [each for each in made.parameters() if not any(each is other for other in layers)]
    groups: list[dict[str, Any]] = [{"params": layers, "weight_decay": 2 * PENALTY}, {"params": rest}]
    return torch.optim.Adam(groups, lr=lr, fused=True)
