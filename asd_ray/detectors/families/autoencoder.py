"""The autoencoder of the DCASE task 2 baselines, 2020 to 2026.

Koizumi et al., "Description and Discussion on DCASE2020 Challenge Task 2", DCASE 2020; Harada et al., "First-Shot
Anomaly Detection for Machine Condition Monitoring: A Domain Generalization Baseline", EUSIPCO 2023 (MAHALA).

Five consecutive log-mel frames form one vector. A dense net with a narrow bottleneck learns to reproduce such vectors
from normal clips, and a clip that it reproduces badly is anomalous: `mse` is the mean squared error over the clip's
vectors. `mahala` instead measures how unusual the residuals are under their covariance in training, once for the source
and once for the target domain, and takes the lower of the two.

Left open, and chosen here: the covariance is computed with batch normalisation in eval mode, so that scores depend only
on the weights and the training vectors; a clip without a domain counts as source; if there are target clips only, their
matrix is used alone. Adam in torch adds eps after its bias correction and Keras before it; this difference remains.

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

from asd_ray._precision import full_float32
from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.dense import DenseNet
from asd_ray.detectors.parts import microphones, training
from asd_ray.detectors.parts.error_maps import ErrorMap, WindowSums
from asd_ray.detectors.parts.supplemental import heard_without_noise, why_unsuited
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

EDITIONS = ("2020", "2021", "2023")
SINGULAR = 1e-10  # times the largest eigenvalue: smaller variances are rounding errors of float32 residuals
RIDGE = 1e-5  # times the mean variance: added to the diagonal of a singular covariance only
MIN_VARIANCE = 1e-6  # dB²; the ridge uses at least this mean variance, in case all residuals are equal


class Autoencoder:
    """The autoencoder of the DCASE baselines; see the module for the method.

    There are `layers` hidden layers of `hidden` units on each side of the `bottleneck`. `frames` is the number of
    frames per vector, `validation` the fraction of vectors that are held out; they are never trained on, and training
    does not stop early.

    `edition` selects the official program. "2020" and "2021" (2022 is the same) are the Keras programs: Glorot weights,
    eps 1e-7 in Adam, and the last tenth of the vectors for validation. "2023" (and later) is the torch program: torch's
    initial weights, eps 1e-8, and a random tenth for validation. The front end of "2020" computes log10(mel + eps),
    that of the others log10(max(mel, eps)). Batches were of 512 in 2020 to 2022 and of 256 from 2023. `subtract_noise`
    is in parts/supplemental.py.

    `microphone` and `far_share` are those of `parts/microphones.py`; the far sound is subtracted in the spectrum.

    Variants: `mse`; `mahala`, the official selective Mahalanobis score, which takes the quadratic form of the clip's
    mean residual frame; `mahala_frame`, the usual mean of the quadratic forms of all residual frames.
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
        subtract_noise: float = 0.0,
        microphone: str = microphones.NEAR,
        far_share: float = 0.5,
    ) -> None:
        self.microphone, self.far_share, self.subtract_noise = microphone, far_share, subtract_noise
        self.context, self.noise = heard_without_noise(self, context)
        self.edition, self.frames = edition, frames
        self.hidden, self.layers, self.bottleneck = hidden, layers, bottleneck
        self.lr, self.batch_size, self.epochs, self.validation = lr, batch_size, epochs, validation
        must_be(self, "edition", edition in EDITIONS, f"one of {', '.join(EDITIONS)}")
        for name in ("frames", "hidden", "layers", "bottleneck"):
            training.check_whole(self, name, 1)
        training.check_training_settings(self)
        training.check_fraction(self, "validation")
        self._net: DenseNet | None = None
        self._precisions: dict[str, Tensor] | None = None  # None: to be computed from _training_vectors
        self._training_vectors: TrainingVectors | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["baseline_2020" if self.edition == "2020" else "baseline"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        too_few = training.too_few_windows(train, self.front_end, self.frames, fraction=1 - self.validation)
        return microphones.why_unheard(self.microphone, train) or too_few or why_unsuited(self, train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        self.noise.learn(self.front_end, train, self.context.device)
        frames, windows = training.frames_of(self.front_end, train, self.frames, self.context)
        generator = self.context.generator()
        if self.edition == "2023":
            used, held_out = training.split_random(len(windows), self.validation, generator)
        else:
            used, held_out = training.split_tail(len(windows), self.validation)
        starts, row = training.window_starts(windows), training.rows_of(frames, self.frames)
        is_target = torch.from_numpy((train.frame["domain"] == "target").to_numpy(bool, copy=True)[windows.clip])
        self._net, self._precisions = training.build_with_seed(self._new_net, self.context), None
        self._training_vectors = TrainingVectors(frames, starts[used], is_target[used])
        eps = 1e-8 if self.edition == "2023" else 1e-7
        settings = training.TrainingSettings(self.epochs, self.batch_size, self.lr, eps)
        for progress in training.train(
            self._net, lambda first: (row(first),) * 2, starts[used], starts[held_out], settings, generator
        ):
            self._precisions = None
            yield progress
        self._precision()
        self._training_vectors = None  # frees the frames

    def score(self, clips: ClipSet) -> Scores:
        net, precisions = self._fitted_net("score"), self._precision()
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        cholesky_factors = {domain: torch.linalg.cholesky(matrix) for domain, matrix in precisions.items()}
        mse = torch.empty(len(clips), device=self.context.device)
        mean_residual = torch.empty((len(clips), frames.shape[-1]), device=self.context.device)
        quadratic_forms = {domain: torch.empty_like(mse) for domain in cholesky_factors}
        row = training.rows_of(frames, self.frames)
        with torch.inference_mode():
            for chunk, chunk_windows in training.clip_chunks(windows):
                residual = _residuals(net, row(training.window_starts(chunk_windows, frames.device)), self.frames)
                mse[chunk] = per_clip(residual.square().mean((1, 2)), chunk_windows, "mean")
                mean_residual[chunk] = per_clip(residual.mean(1), chunk_windows, "mean")
                # δᵀPδ = |Lᵀδ|² with P = LLᵀ; a sum of squares loses no digits to cancellation
                for domain, factor in cholesky_factors.items():
                    squares = (residual @ factor.float()).square().sum(2).mean(1)
                    quadratic_forms[domain][chunk] = per_clip(squares, chunk_windows, "mean")
            selective = [(mean_residual.double() @ factor).square().sum(1) for factor in cholesky_factors.values()]
            scores = {
                "mse": mse,
                "mahala": torch.stack(selective).amin(0),
                "mahala_frame": torch.stack(list(quadratic_forms.values())).amin(0),
            }
        return {variant: training.as_scores(values) for variant, values in scores.items()}

    def error_map(self, clips: ClipSet) -> list[ErrorMap]:
        """The squared error in each band of each frame, over all vectors with that frame; its mean is `mse`."""
        net = self._fitted_net("error_map")
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        row, sums = training.rows_of(frames, self.frames), WindowSums(self.front_end, clips, self.frames, frames.device)
        with torch.inference_mode():
            for starts in torch.split(training.window_starts(windows, frames.device), training.CHUNK):
                sums.add(starts, _residuals(net, row(starts), self.frames).square())
        return sums.contributions()

    def state(self) -> State:
        net = self._fitted_net("state")
        return {
            "net": training.cpu_weights(net),
            "precisions": {domain: matrix.cpu().clone() for domain, matrix in self._precision().items()},
            **self.noise.state(),
        }

    def load(self, state: State) -> None:
        net = training.build_with_seed(self._new_net, self.context)
        net.load_state_dict(state["net"])
        self._net, self._training_vectors = net, None
        self.noise.load(state)
        self._precisions = {domain: matrix.to(self.context.device) for domain, matrix in state["precisions"].items()}

    def _new_net(self) -> DenseNet:
        inputs, side = self.frames * self.front_end.shape[0], [self.hidden] * self.layers
        net = DenseNet(inputs, [*side, self.bottleneck, *side], inputs, momentum=0.01, eps=1e-3)
        if self.edition != "2023":
            net.glorot()
        return net

    def _fitted_net(self, method: str) -> DenseNet:
        return training.require_fitted(self, self._net, method).eval()

    def _precision(self) -> dict[str, Tensor]:
        """Inverse covariances by domain, computed again if training has continued since."""
        if self._precisions is None:
            assert self._training_vectors is not None
            generator = self.context.generator()  # its own, so that a call of `score` does not change the training
            by_domain = covariances(
                self._fitted_net("score"), self._training_vectors, self.frames, self.batch_size, generator
            )
            self._precisions = {domain: precision(matrix) for domain, matrix in by_domain.items()}
        return self._precisions


@dataclass(frozen=True)
class TrainingVectors:
    """The training data: all frames, the first frame of each vector, and whether its clip is of the target domain."""

    frames: Tensor
    starts: Tensor
    is_target: Tensor


@full_float32()  # also in `fit`, because clips are compared with them
@torch.inference_mode()
def covariances(
    net: nn.Module, vectors: TrainingVectors, frames_per_vector: int, batch_size: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Covariance of the residual frames in each domain that occurs, summed as the baseline does, in float64.

    `net` is in eval mode. The frames are centred on the mean of their domain in their own (shuffled) batch, and the sum
    of outer products is divided by the number of vectors less one, not of frames.
    """
    device, mels = vectors.frames.device, vectors.frames.shape[1]
    row = training.rows_of(vectors.frames, frames_per_vector)
    order = torch.randperm(len(vectors.starts), generator=generator)
    starts, is_target = vectors.starts[order].to(device), vectors.is_target[order].to(device)
    members = {"source": ~is_target, "target": is_target}
    members = {domain: member for domain, member in members.items() if bool(member.any())}
    sums = {domain: torch.zeros((mels, mels), dtype=torch.float64, device=device) for domain in members}
    for positions in training.batches(torch.arange(len(starts), device=device), batch_size):
        residual = _residuals(net, row(starts[positions]), frames_per_vector).double()
        for domain, member in members.items():
            # Multiplying by the mask, because selecting rows would wait for the GPU.
            weight = member[positions].double()[:, None, None]
            mean = (residual * weight).sum((0, 1)) / (weight.sum() * frames_per_vector).clamp(min=1)
            centred = ((residual - mean) * weight).reshape(-1, mels)
            sums[domain].addmm_(centred.T, centred)
    return {domain: total / max(1, int(members[domain].sum()) - 1) for domain, total in sums.items()}


def precision(covariance: Tensor) -> Tensor:
    """The inverse of the covariance, in float64.

    A matrix that is singular within the accuracy of the residuals first gets a ridge of 1e-5 of its mean variance: a
    mel band that never varied in training then has a large but finite weight.
    """
    eigenvalues = torch.linalg.eigvalsh(covariance)
    if eigenvalues[0] <= SINGULAR * eigenvalues[-1]:
        ridge = RIDGE * covariance.diagonal().mean().clamp(min=MIN_VARIANCE)
        covariance = covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    inverse = torch.linalg.inv(covariance)
    symmetric: Tensor = (inverse + inverse.T) / 2
    return symmetric


def _residuals(net: nn.Module, rows: Tensor, frames_per_vector: int) -> Tensor:
    """[n, frames per vector, mels]."""
    residuals: Tensor = (rows - net(rows)).view(len(rows), frames_per_vector, -1)
    return residuals
