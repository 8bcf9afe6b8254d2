"""Classifiers of machine ids: their class scores, and their backends on embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from asd_ray.deploy.onnx.backends import BackendsById
from asd_ray.deploy.onnx.fourier import RealFft
from asd_ray.deploy.onnx.front_ends import ExportedSpectral, exported, images, windows
from asd_ray.deploy.onnx.frozen import frozen
from asd_ray.deploy.onnx.score_net import ScoreNet, by_clip, mean_of_windows, of_id, row_of
from asd_ray.detectors.families.complex_net import ComplexNet
from asd_ray.detectors.families.embedding_knn import EmbeddingKnn
from asd_ray.detectors.families.id_classifier import IdClassifier
from asd_ray.detectors.families.stgram import FLOOR, Stgram, StgramMfn
from asd_ray.detectors.nets.dual_branch import DualBranch
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.classifier import EPS, WITH_MARGIN
from asd_ray.detectors.parts.heads import ArcFace


class ClassifierScores(ScoreNet, ABC):
    """What all classifiers share; a subclass says how samples become embeddings."""

    allowed: Tensor

    def __init__(
        self, detector: ComplexNet | EmbeddingKnn | IdClassifier | StgramMfn, window: int = 1, hop: int = 1
    ) -> None:
        classifier = training.require_fitted(detector, detector._fitted.classifier, "export")
        class_ids = ["/".join(name.split("/", 2)[:2]) for name in classifier.classes.names]
        ids = list(dict.fromkeys(class_ids))
        super().__init__(detector.front_end, window, hop, ids)
        self.net, self.head = frozen(classifier.net), frozen(classifier.head)
        width = next(iter(self.head.parameters())).shape[-1] * _parts(self.head)
        logits: Tensor = self.head.logits(torch.zeros(1, width))  # type: ignore[operator]
        allowed = torch.zeros(len(ids) + 1, logits.shape[1], dtype=torch.bool)  # more classes than names: warped images
        for number, class_id in enumerate(class_ids):
            allowed[ids.index(class_id), number] = allowed[-1, number] = True
        self.register_buffer("allowed", allowed)
        self.backends = None
        keys = [id.replace("/", " ", 1) for id in ids]
        if classifier.backend_names:
            self.backends = BackendsById(classifier._fit_backends(), keys)
        self.memory = BackendsById(classifier.fitted_memory(), keys) if classifier.supplemental_bank else None

    @abstractmethod
    def embeddings(self, samples: Tensor) -> Tensor:
        """[clips, samples] -> [clips · windows, dimensions]."""

    def forward(self, samples: Tensor, id: Tensor) -> dict[str, Tensor]:
        embeddings = self.embeddings(samples)
        by_window = by_clip(embeddings, samples)
        allowed = self.allowed[row_of(id, len(self.ids))][:, None].expand(-1, by_window.shape[1], -1)
        scores = head_scores(self.head, embeddings, allowed.flatten(0, 1))
        scores = {name: mean_of_windows(values, samples) for name, values in scores.items()}
        for backends in (self.backends, self.memory):
            if backends is not None:
                by_id: dict[str, Tensor] = backends(by_window.mean(1))
                scores |= {name: of_id(values, id) for name, values in by_id.items()}
        return scores


class IdClassifierScores(ClassifierScores):
    """Log-mel images, one embedding per image."""

    def __init__(self, detector: IdClassifier) -> None:
        super().__init__(detector, detector.frames, detector.test_hop)
        self.frames, self.hop, self.channels = detector.frames, detector.test_hop, detector.channels

    def embeddings(self, samples: Tensor) -> Tensor:
        pictures = images(self.front_end(samples), self.frames, self.hop)
        embeddings: Tensor = self.net(pictures.expand(-1, self.channels, -1, -1))
        return embeddings


class ComplexNetScores(ClassifierScores):
    """Its complex convolutions are real ones on twice the channels, so that ONNX needs no complex numbers."""

    def __init__(self, detector: ComplexNet) -> None:
        super().__init__(detector, detector.frames, detector.test_hop)
        self.frames, self.hop, self.is_complex = detector.frames, detector.test_hop, detector.encoder == "complex"

    def embeddings(self, samples: Tensor) -> Tensor:
        frames = self.front_end(samples)
        if self.is_complex:
            pictures = windows(frames, self.frames, self.hop).flatten(0, 1).permute(0, 3, 2, 1)
        else:
            pictures = images(frames, self.frames, self.hop)
        embeddings: Tensor = self.net(pictures)
        return embeddings


class StgramScores(ClassifierScores):
    """The wave and its spectrogram, one embedding per clip."""

    def __init__(self, detector: StgramMfn) -> None:
        super().__init__(detector)
        self.inputs = detector.inputs

    def embeddings(self, samples: Tensor) -> Tensor:
        assert isinstance(self.net, Stgram)
        spectrograms = samples  # not used for the input "tgram"
        if self.inputs != "tgram":
            spectrograms = self.front_end(samples).transpose(1, 2)
        if self.inputs == "spectrum":
            spectrograms = spectrograms.clamp(min=FLOOR).log10() * 10
        embeddings: Tensor = self.net(samples, spectrograms)
        return embeddings


class EmbeddingKnnScores(ClassifierScores):
    """The spectrum of the whole clip and its spectrograms, one embedding per clip."""

    def __init__(self, detector: EmbeddingKnn) -> None:
        super().__init__(detector)
        assert self.samples is not None
        assert isinstance(self.net, DualBranch)
        self.bins = self.samples // 2
        if self.net.fft is not None:
            self.whole = RealFft(self.samples)
        others = {name: each for name, each in self.net.front_ends.items() if name != "stft"}
        self.front_ends = nn.ModuleDict({name: exported(each) for name, each in others.items()})

    def embeddings(self, samples: Tensor) -> Tensor:
        net = self.net
        assert isinstance(net, DualBranch)
        parts = []
        for name in net.branches:
            inputs = self._spectra(samples) if name == "fft" else self._spectrograms(samples, name)
            parts.append(net.net(name)(inputs))
        return torch.cat(parts, 1)

    def _spectra(self, samples: Tensor) -> Tensor:
        real, imaginary = self.whole(samples)
        magnitudes: Tensor = (real.square() + imaginary.square()).sqrt()
        return magnitudes[:, : self.bins]

    def _spectrograms(self, samples: Tensor, name: str) -> Tensor:
        front_end = self.front_end if name == "stft" else self.front_ends[name]
        assert isinstance(front_end, ExportedSpectral)
        assert self.samples is not None
        repeats = -(-front_end.front_end.used_samples(1) // self.samples)  # 1, except of short clips for long windows
        spectrograms: Tensor = front_end(torch.cat([samples] * repeats, 1) if repeats > 1 else samples)
        return spectrograms - spectrograms.mean(1, keepdim=True)


def head_scores(head: nn.Module, embedding: Tensor, allowed: Tensor) -> dict[str, Tensor]:
    """As `head_scores` of the families, without softplus in float64, which runtimes lack."""
    logits: Tensor = head.logits(embedding).double()  # type: ignore[operator]
    own_logit, own_class = logits.masked_fill(~allowed, -torch.inf).max(1, keepdim=True)
    other_logits = logits.scatter(1, own_class, -torch.inf).logsumexp(1, keepdim=True)
    log_odds = (other_logits - own_logit).squeeze(1)
    nll = _softplus(log_odds)
    p = (-nll).exp()
    scores = {
        "probability": -p,
        "log_odds": log_odds,
        "nll": nll,
        "log_odds_2021": ((1 - p).clamp(min=EPS) - p.clamp(min=EPS).log()).log(),
    }
    if isinstance(head, ArcFace):
        with_margin = head.logits(embedding, own_class.squeeze(1)).double()
        scores[WITH_MARGIN] = -with_margin.log_softmax(1).gather(1, own_class).squeeze(1)
    return scores


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), with all digits where it is near 0: there 1 + exp(x) would round to 1."""
    small = (-x.abs()).exp()
    series = small * (1 - small * (0.5 - small / 3))
    return x.clamp(min=0) + torch.where(small < 1e-5, series, (1 + small).log())


def _parts(head: nn.Module) -> int:
    """Embeddings of a complex net have several parts, each with its own head."""
    parts = getattr(head, "parts", None)
    return len(parts) if isinstance(parts, nn.ModuleList) else 1
