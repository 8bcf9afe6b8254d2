"""TWFR-GMM: one time-weighted spectrum per clip, one Gaussian mixture per machine and id; no net, seconds to train.

Guan et al., "Time-weighted frequency domain audio representation with GMM estimator for anomalous sound detection",
ICASSP 2023, after the authors' published code.

The frames of each mel bin are sorted from loud to quiet, and the i-th gets the weight r^i. A clip becomes 128
numbers: r = 1 is the mean over time, r = 0 the maximum, which responds to knocks. The score is minus the largest log
density of any Gaussian of the mixture.

Chosen here: the shipped setting differs by machine: r is 1.00 for ToyCar and fan, .90 ToyTrain, 1.00 or
.80 bearing, .98 or 1.00 gearbox, .88 or .90 slider, .46 valve (the second value with SMOTE). As one setting for every
machine we chose r = 1, which most of them have, and no SMOTE.

Published for DCASE 2022 with SMOTE, as AUC source / AUC target / pAUC: development 85.97 / 74.08 / 64.89 (settings
selected on those labels), evaluation 78.64 / 67.27 / 61.67.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.parts import microphones, training
from asd_ray.detectors.parts.backends import Learned, interpolated
from asd_ray.detectors.parts.mixtures import fit_mixture, log_densities
from asd_ray.detectors.parts.supplemental import NOISE_STATE, heard_without_noise, why_unsuited
from asd_ray.errors import AsdRayError
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd
from asd_ray.features._base import FULL_SCALE, must_be

Floats = npt.NDArray[np.float64]
BLOCK = 64  # clips sorted, or synthesised by SMOTE, at a time: 40 MB at 10 s


class TwfrGmm:
    """One Gaussian mixture of time-weighted spectra per machine and id; see the module for the method.

    The mixtures have full covariances, in float64. `r` is the weight, `components` the number of Gaussians, `reg` is
    added to the variances and `tol` ends the fit. An id with fewer different clips than `components` gets as many
    components as it has different clips. A clip of an id that was not in training is scored by every mixture, and the
    lowest score counts: it is as normal as the known machine that it resembles most.

    With `smote`, an id whose training clips have domains gets waves interpolated between target clips and one of their
    `smote_neighbours` nearest neighbours, until there are `smote_ratio` times as many target as source clips. With
    fewer than two target clips there is nothing to interpolate, and nothing is added.

    `microphone` and `far_share` are those of `parts/microphones.py`; the far sound is subtracted in the spectrum. Waves
    of both microphones are then interpolated alike. `subtract_noise` is in parts/supplemental.py.

    Variant: `gmm`.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1, gpu=0)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        r: float = 1.0,
        components: int = 2,
        reg: float = 1e-6,
        tol: float = 1e-6,
        smote: bool = False,
        smote_ratio: float = 0.2,
        smote_neighbours: int = 3,
        subtract_noise: float = 0.0,
        microphone: str = microphones.NEAR,
        far_share: float = 0.5,
    ) -> None:
        self.microphone, self.far_share, self.subtract_noise = microphone, far_share, subtract_noise
        self.context, self.noise = heard_without_noise(self, context)
        self.r, self.components, self.reg, self.tol = r, components, reg, tol
        self.smote, self.smote_ratio, self.smote_neighbours = smote, smote_ratio, smote_neighbours
        must_be(self, "r", 0 <= r <= 1, "in [0, 1]")
        must_be(self, "components", type(components) is int and components >= 1, "a whole number from 1")
        must_be(self, "reg", reg > 0, "above 0")
        must_be(self, "tol", tol > 0, "above 0")
        must_be(self, "smote", type(smote) is bool, "True or False")
        must_be(self, "smote_ratio", 0 < smote_ratio <= 1, "above 0 and at most 1")
        must_be(self, "smote_neighbours", type(smote_neighbours) is int and smote_neighbours >= 1, "a number from 1")
        self._mixtures: dict[tuple[str, str], Learned] = {}

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["twfr"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return microphones.why_unheard(self.microphone, train) or why_unsuited(self, train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        if len(train) == 0:
            raise AsdRayError("TwfrGmm learns from clips but got none; check the training split of this machine")
        self.noise.learn(self.front_end, train, self.context.device)
        vectors = self._vectors(train)
        mixtures, likelihood, count = {}, 0.0, 0
        for key, positions in _ids(train).items():
            id_vectors = vectors[positions]
            if self.smote:
                id_vectors = np.concatenate([id_vectors, self._synthetic(train.take(positions))])
            mixtures[key], mean_likelihood = self._mixture(key, id_vectors)
            likelihood, count = likelihood + mean_likelihood * len(id_vectors), count + len(id_vectors)
        self._mixtures = mixtures
        yield Progress(1, {"loss": -likelihood / count})

    def score(self, clips: ClipSet) -> Scores:
        mixtures = training.require_fitted(self, self._mixtures or None, "score")
        vectors, scores = self._vectors(clips), np.zeros(len(clips))
        for key, positions in _ids(clips).items():
            fitted = [mixtures[key]] if key in mixtures else list(mixtures.values())
            scores[positions] = np.min([_scores(mixture, vectors[positions]) for mixture in fitted], axis=0)
        return {"gmm": scores}

    def state(self) -> State:
        state: State = {}
        for (machine, id), learned in training.require_fitted(self, self._mixtures or None, "state").items():
            state.setdefault(machine, {})[id] = dict(learned)
        return state | self.noise.state()

    def load(self, state: State) -> None:
        self._mixtures = {
            (machine, id): {name: tensor.cpu() for name, tensor in tensors.items()}
            for machine, ids in state.items()
            if machine != NOISE_STATE
            for id, tensors in ids.items()
        }
        self.noise.load(state)

    def _vectors(self, clips: ClipSet) -> Floats:
        """[clips, mels]. Clips of equal length are sorted together."""
        features = self.context.features.get(self.front_end, clips, device=self.context.device)
        vectors = np.empty((len(clips), *self.front_end.shape))
        for length in np.unique(features.lengths):
            equally_long = np.flatnonzero(features.lengths == length)
            for start in range(0, len(equally_long), BLOCK):
                block = equally_long[start : start + BLOCK]
                vectors[block] = time_weighted(np.stack([features.clip(i) for i in block.tolist()]), self.r)
        return vectors

    def _mixture(self, key: tuple[str, str], vectors: Floats) -> tuple[Learned, float]:
        """The mixture of one id, and the mean log likelihood of its own clips."""
        rows = torch.from_numpy(vectors)
        try:
            # The same seed for every id, so that the result of an id does not depend on the other ids.
            learned = fit_mixture(rows, self.components, "full", self.reg, self.tol, self.context.seed)
        except AsdRayError as error:
            raise AsdRayError(f"TwfrGmm, {key[0]} id {key[1]}: {error}") from error
        densities = log_densities(rows, learned["means"], learned["factors"]) + learned["weights"].log()
        return learned, float(densities.logsumexp(1).mean())

    def _synthetic(self, clips: ClipSet) -> Floats:
        """Vectors of the clips that SMOTE adds to one id."""
        domains = clips.frame["domain"].to_numpy(str)
        target = clips.take(domains == "target")
        missing = round(self.smote_ratio * int((domains == "source").sum())) - len(target)
        vectors = [np.empty((0, *self.front_end.shape))]
        if len(target) >= 2 and missing > 0:
            shortest = int(target.lengths.min())
            heard = microphones.heard_channels(target, self.microphone)
            waves = np.stack([np.concatenate([on.samples(i)[:shortest] for on in heard]) for i in range(len(target))])
            target_waves = torch.from_numpy(waves.astype(np.float32) / np.float32(FULL_SCALE))
            generator = self.context.generator()
            for start in range(0, missing, BLOCK):
                synthetic = interpolated(target_waves, min(BLOCK, missing - start), self.smote_neighbours, generator)
                both = synthetic.to(self.context.device)
                on_each = [both[:, at : at + shortest] for at in range(0, both.shape[1], shortest)]
                frames = microphones.of_waves(self.front_end, on_each, self.far_share)
                frames = self.noise.subtracted(frames, str(target.frame["machine"].iloc[0]))
                vectors.append(time_weighted(frames.cpu().numpy(), self.r))
        return np.concatenate(vectors)


def time_weighted(frames: npt.NDArray[np.floating], r: float) -> Floats:
    """[clips, frames, mels] -> [clips, mels]: values of each bin from loud to quiet, weighted by r^i / Σ r^i."""
    if r == 1:
        mean: Floats = frames.mean(axis=1, dtype=np.float64)
        return mean
    ascending = np.ascontiguousarray(frames.swapaxes(1, 2))
    ascending.sort(axis=2)
    weights = np.float64(r) ** np.arange(frames.shape[1])
    weighted: Floats = ascending @ (weights / weights.sum())[::-1]
    return weighted


def _scores(learned: Learned, vectors: Floats) -> Floats:
    """Minus the largest log density of any one Gaussian; the weights of the Gaussians do not count."""
    densities: Floats = log_densities(torch.from_numpy(vectors), learned["means"], learned["factors"]).amax(1).numpy()
    return -densities


def _ids(clips: ClipSet) -> dict[tuple[str, str], npt.NDArray[np.intp]]:
    """(machine, id) -> positions of its clips."""
    frame = clips.frame
    positions: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(frame["machine"], frame["id"], strict=True)):
        positions.setdefault(key, []).append(i)
    return {key: np.array(own_positions, np.intp) for key, own_positions in positions.items()}
