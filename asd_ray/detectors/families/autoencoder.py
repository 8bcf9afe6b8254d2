"""The autoencoder of the DCASE task 2 baselines, 2020 to 2026.

Koizumi et al., "Description and Discussion on DCASE2020 Challenge Task 2", DCASE 2020; Harada et al., "First-Shot
Anomaly Detection for Machine Condition Monitoring: A Domain Generalization Baseline", EUSIPCO 2023 (MAHALA).

Five consecutive log-mel frames make one vector, which a dense net with a narrow waist learns to reproduce from normal
clips. What it reproduces badly is anomalous: the score of `mse` is the mean squared error over a clip's vectors.
`mahala` asks instead how unusual the residuals are under their covariance in training, of the source and of the
target domain, and believes the domain that finds the clip less unusual.

Left open, and chosen here: the covariance pass runs with batch normalisation as in scoring, so that a detector's
scores depend on its weights and its training vectors alone; a domain that is not given counts as source; a clip
set of target clips alone lends its matrix to the source. Adam in torch adds eps after its bias correction and Keras
before it, which is left as it is.

Published, AUC (pAUC) in per cent: DCASE 2020 development, mean of 10 runs, fan 65.83 (52.45), pump 72.89 (59.99),
slider 84.76 (66.53), valve 66.28 (50.98), ToyCar 78.77 (67.58), ToyConveyor 72.53 (60.43). Official scores: 2023
evaluation 59.25 (MSE) and 61.05 (MAHALA), 2024 evaluation 56.51 (MSE).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.dense import DenseNet
from asd_ray.detectors.parts import training
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

EDITIONS = ("2020", "2021", "2023")
SINGULAR = 1e-10  # of the largest eigenvalue: below it a direction's variance is rounding of float32 residuals
RIDGE = 1e-5  # of the mean variance, added to the diagonal of a singular covariance only
LEAST = 1e-6  # dB², the mean variance that a ridge at least goes by, should no residual differ at all


class Autoencoder:
    """A detector; see the module for the method. The hidden layers are `layers` × `hidden` on each side of the waist.

    `edition` "2020" and "2021" (that of 2022 too) are the Keras programs: Glorot weights, Adam's eps 1e-7, and the
    last tenth of the vectors for validation; "2023" (and later) is the torch program: torch's own weights, eps 1e-8,
    and a tenth of the vectors at random. "2020" hears with log10(mel + eps), the others with log10(max(mel, eps)).
    The batch of 2020 to 2022 was 512, that of 2023 on 256. Validation vectors are never learned from, and nothing
    stops early.

    Variants: `mse`; `mahala`, the official selective Mahalanobis score, in which the quadratic form is taken of the
    clip's mean residual row; `mahala_frame`, the textbook mean of the rows' quadratic forms.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.25)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        edition: str = "2023",
        frames: int = 5,
        hidden: int = 128,
        layers: int = 4,
        bottleneck: int = 8,
        lr: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 100,
        validation: float = 0.1,
    ) -> None:
        self.context = context
        self.edition, self.frames = edition, frames
        self.hidden, self.layers, self.bottleneck = hidden, layers, bottleneck
        self.lr, self.batch_size, self.epochs, self.validation = lr, batch_size, epochs, validation
        must_be(self, "edition", edition in EDITIONS, f"one of {', '.join(EDITIONS)}")
        for name in ("frames", "hidden", "layers", "bottleneck"):
            training.check_whole(self, name, 1)
        training.check_recipe(self)
        training.check_fraction(self, "validation")
        self._net: DenseNet | None = None
        self._precisions: dict[str, Tensor] | None = None  # None: to be made from _learned
        self._learned: Learned | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["baseline_2020" if self.edition == "2020" else "baseline"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few(train, self.front_end, self.frames, kept=1 - self.validation)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.frames_of(self.front_end, train, self.frames, self.context)
        generator = self.context.generator()
        if self.edition == "2023":
            kept, held_out = training.split_random(len(windows), self.validation, generator)
        else:
            kept, held_out = training.split_tail(len(windows), self.validation)
        starts, row = training.starts_of(windows), training.rows_of(frames, self.frames)
        target = torch.from_numpy((train.frame["domain"] == "target").to_numpy(bool, copy=True)[windows.clip])
        self._net, self._precisions = training.made_with_seed(self._new_net, self.context), None
        self._learned = Learned(frames, starts[kept], target[kept])
        eps = 1e-8 if self.edition == "2023" else 1e-7
        recipe = training.Recipe(self.epochs, self.batch_size, self.lr, eps)
        for progress in training.train(
            self._net, lambda at: (row(at),) * 2, starts[kept], starts[held_out], recipe, generator
        ):
            self._precisions = None
            yield progress
        self._precision()
        self._learned = None  # gives the frames back

    def score(self, clips: ClipSet) -> Scores:
        net, precisions = self._ready("score"), self._precision()
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        roots = {domain: torch.linalg.cholesky(matrix) for domain, matrix in precisions.items()}
        mse = torch.empty(len(clips), device=self.context.device)
        mean = torch.empty((len(clips), frames.shape[-1]), device=self.context.device)
        forms = {domain: torch.empty_like(mse) for domain in roots}
        row = training.rows_of(frames, self.frames)
        with torch.inference_mode():
            for part, inside in training.by_clips(windows):
                residual = _residuals(net, row(training.starts_of(inside, frames.device)), self.frames)
                mse[part] = per_clip(residual.square().mean((1, 2)), inside, "mean")
                mean[part] = per_clip(residual.mean(1), inside, "mean")
                for domain, root in roots.items():  # δᵀPδ = |Lᵀδ|² with P = LLᵀ: a sum of squares cancels nothing
                    squares = (residual @ root.float()).square().sum(2).mean(1)
                    forms[domain][part] = per_clip(squares, inside, "mean")
            official = [(mean.double() @ root).square().sum(1) for root in roots.values()]
            scores = {
                "mse": mse,
                "mahala": torch.stack(official).amin(0),
                "mahala_frame": torch.stack(list(forms.values())).amin(0),
            }
        return {variant: training.as_scores(values) for variant, values in scores.items()}

    def state(self) -> State:
        net = self._ready("state")
        return {
            "net": training.plain(net),
            "precisions": {domain: matrix.cpu().clone() for domain, matrix in self._precision().items()},
        }

    def load(self, state: State) -> None:
        net = training.made_with_seed(self._new_net, self.context)
        net.load_state_dict(state["net"])
        self._net, self._learned = net, None
        self._precisions = {domain: matrix.to(self.context.device) for domain, matrix in state["precisions"].items()}

    def _new_net(self) -> DenseNet:
        inputs, side = self.frames * self.front_end.shape[0], [self.hidden] * self.layers
        net = DenseNet(inputs, [*side, self.bottleneck, *side], inputs, momentum=0.01, eps=1e-3)
        if self.edition != "2023":
            net.glorot()
        return net

    def _ready(self, wanted: str) -> DenseNet:
        return training.after_fit(self, self._net, wanted).eval()

    def _precision(self) -> dict[str, Tensor]:
        """Inverse covariances by domain, made again when training has moved on since."""
        if self._precisions is None:
            assert self._learned is not None
            generator = self.context.generator()  # not that of training, which must not feel whether anybody scores
            found = covariances(self._ready("score"), self._learned, self.frames, self.batch_size, generator)
            self._precisions = {domain: precision(matrix) for domain, matrix in found.items()}
        return self._precisions


@dataclass(frozen=True)
class Learned:
    """What was learned from: all frames, and of each vector its first frame and whether its clip is of the target."""

    frames: Tensor
    starts: Tensor
    target: Tensor


@torch.inference_mode()
def covariances(
    net: nn.Module, learned: Learned, size: int, batch_size: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Covariance of the residual's rows in each domain that was heard, as the baseline sums it, in float64.

    `net` is in eval mode. The rows are centred on the mean of their domain in their own (shuffled) batch, and the
    sum of outer products is divided by the number of vectors less one, not of rows.
    """
    device, mels = learned.frames.device, learned.frames.shape[1]
    row = training.rows_of(learned.frames, size)
    order = torch.randperm(len(learned.starts), generator=generator)
    starts, target = learned.starts[order].to(device), learned.target[order].to(device)
    members = {"source": ~target, "target": target}
    members = {domain: chosen for domain, chosen in members.items() if bool(chosen.any())}
    sums = {domain: torch.zeros((mels, mels), dtype=torch.float64, device=device) for domain in members}
    for at in training.batches(torch.arange(len(starts), device=device), batch_size):
        residual = _residuals(net, row(starts[at]), size).double()
        for domain, chosen in members.items():
            weight = chosen[at].double()[:, None, None]  # a mask by product: picking rows would wait for a GPU
            centre = (residual * weight).sum((0, 1)) / (weight.sum() * size).clamp(min=1)
            centred = ((residual - centre) * weight).reshape(-1, mels)
            sums[domain].addmm_(centred.T, centred)
    return {domain: total / max(1, int(members[domain].sum()) - 1) for domain, total in sums.items()}


def precision(covariance: Tensor) -> Tensor:
    """The inverse, in float64. A matrix that is singular to the accuracy of its residuals first gets a ridge of
    1e-5 of its mean variance: a mel band that never varied then weighs much, but finitely."""
    values = torch.linalg.eigvalsh(covariance)
    if values[0] <= SINGULAR * values[-1]:
        ridge = RIDGE * covariance.diagonal().mean().clamp(min=LEAST)
        covariance = covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    inverse = torch.linalg.inv(covariance)
    symmetric: Tensor = (inverse + inverse.T) / 2
    return symmetric


def _residuals(net: nn.Module, rows: Tensor, size: int) -> Tensor:
    """[n, size, mels]: one row of mels a frame of each vector."""
    residuals: Tensor = (rows - net(rows)).view(len(rows), size, -1)
    return residuals
