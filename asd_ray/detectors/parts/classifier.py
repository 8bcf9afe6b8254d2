"""What all classifier families share: training, scores of clips from logits and embeddings, and the state."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from asd_ray._precision import full_float32
from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.backends import Backend, Backends, Gmm, ids_of, parse_backends, targets_of
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import ArcFace
from asd_ray.detectors.parts.microphones import FAR_CHANNEL, subtracted_embeddings
from asd_ray.detectors.parts.supplemental import Rows, memory_of, new_memory
from asd_ray.features import Windows, per_clip

EPS = sys.float_info.epsilon
MAX_WINDOWS = 256  # windows per forward pass without gradients
MAX_CLIPS = 256  # per batch of scoring, at 16 kHz: 0.3 GB of complex spectra of 10 s
VARIANTS = ("probability", "log_odds", "nll", "log_odds_2021")
WITH_MARGIN = "nll_margin"  # only if the head has a margin

WIDE_EMBEDDING = 256  # dimensions above which a Gaussian mixture gets diagonal covariances

Gather = Callable[[Tensor], Tensor]  # first frames of windows -> inputs of the net
Inputs = Callable[[ClipSet], tuple[Gather, Windows]]


class Standardised(nn.Module):
    """A net whose input images are standardised by the mean and standard deviation of the training set."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def fit(self, frames: Tensor) -> None:
        """Take the mean and standard deviation from the training frames."""
        self.mean, self.deviation = frames.mean(), frames.std().clamp(min=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.net((images - self.mean) / self.deviation)
        return output


@dataclass
class Classifier:
    """A net, a head for the classes, and backends that compare embeddings with those of the training clips of an id.

    The backends are fitted to the clips in `train` when they are first needed, and again after every epoch.
    """

    context: Context
    inputs: Inputs
    net: nn.Module
    head: nn.Module
    classes: Classes
    backend_names: str  # separated by commas
    train: ClipSet | None = None
    fitted_backends: Backends | None = None
    smote_ratio: float = 0.0
    max_windows: int = MAX_WINDOWS  # per forward pass without gradients
    supplemental_bank: bool = False  # also compare with supplemental clips: the variant of `memory`
    memory: Backends | None = None  # fitted together with the backends
    far_share: float | None = None  # of the far microphone's embedding that is subtracted; None: it is not listened to

    def parameters(self) -> list[nn.Parameter]:
        """All trainable parameters of net and head."""
        return [
            parameter
            for module in (self.net, self.head)
            for parameter in module.parameters()
            if parameter.requires_grad
        ]

    def fit(
        self,
        train: ClipSet,
        losses: training.Step,
        count: int,
        optimiser: Optimizer,
        epochs: int,
        batch_size: int,
        generator: torch.Generator,
        positions_on: torch.device | None = None,
    ) -> Iterator[Progress]:
        """Train on `count` positions of samples from `train`; of the losses that `losses` returns, minimise "train".

        Positions are on the device, or on `positions_on`.
        """

        def step(at: Tensor) -> dict[str, Tensor]:
            values = losses(at)
            training.minimise(optimiser, values["train"])
            return values

        self.train = train
        for progress in training.run_epochs(
            [self.net, self.head], step, count, epochs, batch_size, generator, positions_on
        ):
            self.fitted_backends = None
            yield progress
        self._fit_backends()
        self.train = None  # frees the clips

    def embed(self, *inputs: Tensor | None) -> Tensor:
        """Embeddings, in half precision during training only: it cannot resolve scores of normal clips."""
        with training.autocast(self.context, self.net):
            embedding: Tensor = self.net(*inputs)
        return embedding

    def score(self, clips: ClipSet) -> Scores:
        scores, embeddings = self._scores(clips)
        if self.backend_names:
            scores |= self._fit_backends().score(embeddings, ids_of(clips))
        if self.supplemental_bank:
            scores |= self.fitted_memory().score(embeddings, ids_of(clips))
        return {name: training.as_scores(values) for name, values in scores.items()}

    def embeddings(self, clips: ClipSet) -> npt.NDArray[np.floating]:
        """[clips, dimensions]: the mean embedding of each clip's windows."""
        return training.as_scores(self._scores(clips)[1])

    def state(self) -> State:
        return {
            "net": training.cpu_weights(self.net),
            "head": training.cpu_weights(self.head),
            "classes": {str(number): name for number, name in enumerate(self.classes.names)},
            "banks": self._fit_backends().state() if self.backend_names else {},
            **({"memory": self.fitted_memory().state()} if self.supplemental_bank else {}),
        }

    def load(self, state: State) -> None:
        self.net.load_state_dict(state["net"])
        self.head.load_state_dict(state["head"])
        self.fitted_backends, self.train = self._new_backends(), None
        self.fitted_backends.load(state["banks"])
        if self.supplemental_bank:
            self.memory = new_memory()
            self.memory.load(state["memory"])

    @full_float32()  # also in `fit`, for what clips are compared with
    @torch.inference_mode()
    def _scores(self, clips: ClipSet) -> tuple[dict[str, Tensor], Tensor]:
        """The mean scores of each clip's windows, and its mean embedding, less that of the far microphone."""
        scores, embeddings = self._of_windows(clips)
        if self.far_share is not None and len(clips):
            far = self._of_windows(clips.on_channel(FAR_CHANNEL))[1]
            embeddings = subtracted_embeddings(embeddings, far, self.far_share)
        return scores, embeddings

    def _of_windows(self, clips: ClipSet) -> tuple[dict[str, Tensor], Tensor]:
        """The means over each clip's windows.

        Classes of the head beyond `classes`, such as those of warped images, are never a clip's own class.
        """
        device = self.context.device
        self.net.eval(), self.head.eval()
        parts: list[dict[str, Tensor]] = []
        batch_size = max(1, MAX_CLIPS * 16_000 // max(16_000, self.context.rate))
        for first in range(0, len(clips), batch_size):
            batch = clips.take(np.arange(first, min(first + batch_size, len(clips))))
            gather, windows = self.inputs(batch)
            allowed = self.classes.allowed(batch.frame)
            for chunk, chunk_windows in training.clip_chunks(windows, self.max_windows):
                embedding = self.embed(gather(training.window_starts(chunk_windows, device)))
                allowed_classes = allowed[chunk][torch.from_numpy(chunk_windows.clip)].to(device)
                window_values = head_scores(self.head, embedding, allowed_classes)
                means = {name: per_clip(values, chunk_windows, "mean") for name, values in window_values.items()}
                parts.append({**means, "": per_clip(embedding.float(), chunk_windows, "mean")})
        if not parts:
            empty = torch.empty(0, dtype=torch.float64)
            return dict.fromkeys(variants_of(self.head), empty), empty.view(0, 1)
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        embeddings = joined.pop("")
        return joined, embeddings

    def _fit_backends(self) -> Backends:
        """The backends, fitted to the training clips if they are not fitted yet."""
        if self.fitted_backends is None:
            assert self.train is not None
            backends = self._new_backends()
            if self.backend_names or self.supplemental_bank:
                embeddings = self._scores(self.train)[1]
                if self.backend_names:
                    backends.fit(embeddings, ids_of(self.train), targets_of(self.train))
                if self.supplemental_bank:
                    self.memory = memory_of(self.train, _one_per_clip(embeddings), self._rows)
            self.fitted_backends = backends
        return self.fitted_backends

    def _rows(self, clips: ClipSet) -> Rows:
        return _one_per_clip(self._scores(clips)[1])

    def fitted_memory(self) -> Backends:
        """The backend on supplemental clips, fitted with the others if they are not fitted yet."""
        self._fit_backends()
        assert self.memory is not None
        return self.memory

    def _new_backends(self) -> Backends:
        width = next(iter(self.head.parameters())).shape[-1]
        return Backends(backends_for(self.backend_names, width), smote_ratio=self.smote_ratio, seed=self.context.seed)


class FittedClassifier:
    """The classifier of a detector: it exists once `fit` has begun or a state is loaded.

    `build` makes one for the given classes.
    """

    def __init__(self, owner: object, build: Callable[[Classes], Classifier]) -> None:
        self.owner, self.build = owner, build
        self.classifier: Classifier | None = None

    def start(self, classes: Classes) -> Classifier:
        self.classifier = self.build(classes)
        return self.classifier

    def score(self, clips: ClipSet) -> Scores:
        return training.require_fitted(self.owner, self.classifier, "score").score(clips)

    def embeddings(self, clips: ClipSet) -> dict[str, npt.NDArray[np.floating]]:
        return {"embedding": training.require_fitted(self.owner, self.classifier, "embeddings").embeddings(clips)}

    def state(self) -> State:
        return training.require_fitted(self.owner, self.classifier, "state").state()

    def load(self, state: State) -> None:
        classifier = self.build(Classes([state["classes"][str(number)] for number in range(len(state["classes"]))]))
        classifier.load(state)
        self.classifier = classifier


class OfClassifier:
    """Base of a detector that is a classifier: all but `fit` is the fitted classifier's."""

    _fitted: FittedClassifier

    def score(self, clips: ClipSet) -> Scores:
        return self._fitted.score(clips)

    def embeddings(self, clips: ClipSet) -> Scores:
        """The mean embedding of each clip's windows, which is the input of head and backends."""
        return self._fitted.embeddings(clips)

    def state(self) -> State:
        return self._fitted.state()

    def load(self, state: State) -> None:
        self._fitted.load(state)


def _one_per_clip(embeddings: Tensor) -> Rows:
    return embeddings, np.arange(len(embeddings), dtype=np.intp)


def backends_for(names: str, width: int = 0) -> dict[str, Backend]:
    """Parse ``"knn, gmm"`` (or "" for none). For embeddings wider than 256, mixtures have diagonal covariances."""
    backends = parse_backends(names) if names else {}
    diagonal = {
        name: replace(backend, covariance="diag") for name, backend in backends.items() if isinstance(backend, Gmm)
    }
    return {**backends, **diagonal} if width > WIDE_EMBEDDING else backends


def variants_of(head: nn.Module) -> list[str]:
    """Names of the variants that `head_scores` returns for this head."""
    return [*VARIANTS, WITH_MARGIN] if isinstance(head, ArcFace) else [*VARIANTS]


def head_scores(head: nn.Module, embedding: Tensor, allowed: Tensor) -> dict[str, Tensor]:
    """`window_scores` of the logits without a margin, and `nll_margin`: −log p with it, as Liu et al. score."""
    logits = head.logits(embedding)  # type: ignore[operator]
    allowed = nn.functional.pad(allowed, (0, logits.shape[1] - allowed.shape[1]))
    scores = window_scores(logits, allowed)
    if isinstance(head, ArcFace):
        own_class = logits.masked_fill(~allowed, -torch.inf).argmax(1)
        scores[WITH_MARGIN] = cross_entropy(head.logits(embedding, own_class).double(), own_class, reduction="none")
    return scores


def window_scores(logits: Tensor, allowed: Tensor) -> dict[str, Tensor]:
    """Scores of windows whose clip may belong to any of the `allowed` classes; the likeliest of them is its own class.

    `probability` is minus the softmax p of the own class (Giri et al.). `nll` is −log p (Liu et al.). `log_odds` is
    log((1 − p) / p), the score of the official MobileNetV2, here without rounding p to 1. `log_odds_2021` is what the
    official programs of 2021 compute instead, log(max(1 − p, eps) − log(max(p, eps))).
    """
    logits = logits.double()  # single precision cannot resolve p near 1
    own_logit, own_class = logits.masked_fill(~allowed, -torch.inf).max(1, keepdim=True)
    other_logits = logits.scatter(1, own_class, -torch.inf).logsumexp(1, keepdim=True)
    log_odds = (other_logits - own_logit).squeeze(1)
    nll = torch.nn.functional.softplus(log_odds)  # −log p, with p = 1 / (1 + exp(log odds))
    p = (-nll).exp()
    return {
        "probability": -p,
        "log_odds": log_odds,
        "nll": nll,
        "log_odds_2021": ((1 - p).clamp(min=EPS) - p.clamp(min=EPS).log()).log(),
    }
