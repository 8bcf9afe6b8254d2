"""What every family of classifiers shares: how it learns, scores of clips from logits and embeddings, its state."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.backends import Backend, Backends, Gmm, ids_of, named, targets_of
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import ArcFace
from asd_ray.features import Windows, per_clip

EPS = sys.float_info.epsilon
MOST = 256
CLIPS = 256  # scored at once, of 16 kHz: 0.3 GB of complex spectra of 10 s
VARIANTS = ("probability", "log_odds", "nll", "log_odds_2021")
WITH_MARGIN = "nll_margin"  # of a head that has one

WIDE = 256  # dimensions above which a mixture has no full covariances

Gather = Callable[[Tensor], Tensor]  # first frames of windows -> what the net hears of them
Inputs = Callable[[ClipSet], tuple[Gather, Windows]]


class Standardised(nn.Module):
    """A net of pictures from which the training set's mean is taken, in its standard deviations."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def learn(self, frames: Tensor) -> None:
        self.mean, self.deviation = frames.mean(), frames.std().clamp(min=1e-6)

    def forward(self, pictures: Tensor) -> Tensor:
        made: Tensor = self.net((pictures - self.mean) / self.deviation)
        return made


@dataclass
class Classifier:
    """A net and a head of some classes, and banks of the net's embeddings, one an id.

    The banks are learned of the clips in `train` when first asked for, and anew after every epoch.
    """

    context: Context
    inputs: Inputs
    net: nn.Module
    head: nn.Module
    classes: Classes
    backends: str  # names
    train: ClipSet | None = None
    banks: Backends | None = None
    smote_ratio: float = 0.0
    most: int = MOST  # windows at once where nothing is learned

    def parameters(self) -> list[nn.Parameter]:
        return [each for module in (self.net, self.head) for each in module.parameters() if each.requires_grad]

    def learn(
        self,
        train: ClipSet,
        losses: training.Step,
        count: int,
        optimiser: Optimizer,
        epochs: int,
        batch_size: int,
        generator: torch.Generator,
    ) -> Iterator[Progress]:
        """Epochs over `count` positions of samples made of `train`; of the `losses`, "train" is made smaller."""

        def step(at: Tensor) -> dict[str, Tensor]:
            found = losses(at)
            optimiser.zero_grad()
            found["train"].backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            return found

        self.train = train
        for progress in training.run_epochs([self.net, self.head], step, count, epochs, batch_size, generator):
            self.banks = None
            yield progress
        self._bank()
        self.train = None  # given back

    def embedded(self, *pictures: Tensor | None) -> Tensor:
        """In half precision while the net learns only: scores of normal clips lie closer together than that tells."""
        with training.autocast(self.context.device, self.net.training):
            made: Tensor = self.net(*pictures)
        return made

    def score(self, clips: ClipSet) -> Scores:
        scores, embeddings = self._scores(clips)
        if self.backends:
            scores |= self._bank().score(embeddings, ids_of(clips))
        return {name: training.as_scores(values) for name, values in scores.items()}

    def state(self) -> State:
        return {
            "net": training.plain(self.net),
            "head": training.plain(self.head),
            "classes": {str(number): name for number, name in enumerate(self.classes.names)},
            "banks": self._bank().state() if self.backends else {},
        }

    def load(self, state: State) -> None:
        self.net.load_state_dict(state["net"])
        self.head.load_state_dict(state["head"])
        self.banks, self.train = self._new_banks(), None
        self.banks.load(state["banks"])

    @torch.inference_mode()
    def _scores(self, clips: ClipSet) -> tuple[dict[str, Tensor], Tensor]:
        """Mean scores of each clip's windows, and its mean embedding.

        What a head knows beyond the classes, as warped ones, is no clip's own.
        """
        device = self.context.device
        self.net.eval(), self.head.eval()
        parts: list[dict[str, Tensor]] = []
        at_once = max(1, CLIPS * 16_000 // max(16_000, self.context.rate))
        for first in range(0, len(clips), at_once):
            some = clips.take(np.arange(first, min(first + at_once, len(clips))))
            gather, windows = self.inputs(some)
            allowed = self.classes.allowed(some.frame)
            for part, inside in training.by_clips(windows, self.most):
                embedding = self.embedded(gather(training.starts_of(inside, device)))
                own = allowed[part][torch.from_numpy(inside.clip)].to(device)
                found = head_scores(self.head, embedding, own)
                means = {name: per_clip(values, inside, "mean") for name, values in found.items()}
                parts.append({**means, "": per_clip(embedding.float(), inside, "mean")})
        if not parts:
            nothing = torch.empty(0, dtype=torch.float64)
            return dict.fromkeys(variants_of(self.head), nothing), nothing.view(0, 1)
        joined = {name: torch.cat([each[name] for each in parts]) for name in parts[0]}
        embeddings = joined.pop("")
        return joined, embeddings

    def _bank(self) -> Backends:
        if self.banks is None:
            assert self.train is not None
            banks = self._new_banks()
            if self.backends:
                banks.fit(self._scores(self.train)[1], ids_of(self.train), targets_of(self.train))
            self.banks = banks
        return self.banks

    def _new_banks(self) -> Backends:
        width = next(iter(self.head.parameters())).shape[-1]
        return Backends(backends_for(self.backends, width), smote_ratio=self.smote_ratio, seed=self.context.seed)


class Kept:
    """The classifier of a detector, there once `fit` has begun or a state is loaded; `new` makes one of classes."""

    def __init__(self, owner: object, new: Callable[[Classes], Classifier]) -> None:
        self.owner, self.new = owner, new
        self.made: Classifier | None = None

    def begun(self, classes: Classes) -> Classifier:
        self.made = self.new(classes)
        return self.made

    def score(self, clips: ClipSet) -> Scores:
        return training.after_fit(self.owner, self.made, "score").score(clips)

    def state(self) -> State:
        return training.after_fit(self.owner, self.made, "state").state()

    def load(self, state: State) -> None:
        made = self.new(Classes([state["classes"][str(number)] for number in range(len(state["classes"]))]))
        made.load(state)
        self.made = made


def backends_for(names: str, width: int = 0) -> dict[str, Backend]:
    """``"knn, gmm"``, or none, for embeddings so wide; in wide ones a mixture has diagonal covariances."""
    found = named(names) if names else {}
    diagonal = {name: replace(each, covariance="diag") for name, each in found.items() if isinstance(each, Gmm)}
    return {**found, **diagonal} if width > WIDE else found


def variants_of(head: nn.Module) -> list[str]:
    return [*VARIANTS, WITH_MARGIN] if isinstance(head, ArcFace) else [*VARIANTS]


def head_scores(head: nn.Module, embedding: Tensor, allowed: Tensor) -> dict[str, Tensor]:
    """`window_scores` of what a head says without a margin; `nll_margin` is −log p with it, as Liu et al. score."""
    logits = head.logits(embedding)  # type: ignore[operator]
    allowed = nn.functional.pad(allowed, (0, logits.shape[1] - allowed.shape[1]))
    found = window_scores(logits, allowed)
    if isinstance(head, ArcFace):
        own = logits.masked_fill(~allowed, -torch.inf).argmax(1)
        found[WITH_MARGIN] = cross_entropy(head.logits(embedding, own).double(), own, reduction="none")
    return found


def window_scores(logits: Tensor, allowed: Tensor) -> dict[str, Tensor]:
    """Scores of windows whose clip may be of any of the `allowed` classes; its own is the likeliest of these.

    `probability` is minus the softmax p of the own class (Giri et al.), `nll` is −log p (Liu et al.), `log_odds` is
    log((1 − p) / p), the score of the official MobileNetV2, here without rounding p to 1; `log_odds_2021` is what the
    official programs of 2021 compute instead, log(max(1 − p, eps) − log(max(p, eps))).
    """
    logits = logits.double()  # near 1, p says nothing in single precision
    own, place = logits.masked_fill(~allowed, -torch.inf).max(1, keepdim=True)
    others = logits.scatter(1, place, -torch.inf).logsumexp(1, keepdim=True)
    log_odds = (others - own).squeeze(1)
    nll = torch.nn.functional.softplus(log_odds)  # −log p, with p = 1 / (1 + exp(log odds))
    p = (-nll).exp()
    return {
        "probability": -p,
        "log_odds": log_odds,
        "nll": nll,
        "log_odds_2021": ((1 - p).clamp(min=EPS) - p.clamp(min=EPS).log()).log(),
    }
