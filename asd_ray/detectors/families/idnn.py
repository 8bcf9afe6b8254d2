"""IDNN: interpolation of the middle frame.

Suefusa, Nishida, Purohit, Tanabe, Endo, Kawaguchi, "Anomalous Sound Detection Based on Interpolation Deep Neural
Network", ICASSP 2020.

A dense net learns from normal clips to predict the middle one of five consecutive log-mel frames from the other four. A
frame that it cannot predict is anomalous: a clip's score is the mean (or the largest) of the mean squared errors of its
vectors.

Left open, and chosen here: the front end is that of the DCASE baselines from 2021 on; weights and batch normalisation
start as in torch; the batch size is the 512 of the 2020 baseline; all vectors are used for training, none is held out.

Published, AUC (pAUC) in per cent, DCASE 2020 development, in the table of Liu et al. 2022: fan 67.71 (52.90), pump
73.76 (61.07), slider 86.45 (67.58), valve 84.09 (64.94), ToyCar 78.69 (69.22), ToyConveyor 71.07 (59.70), average 76.96
(62.57).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.dense import DenseNet
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.error_maps import ErrorMap, WindowSums
from asd_ray.detectors.parts.supplemental import NoiseSubtraction, check_factor, why_unsuited
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be


class IDNN:
    """A dense net that predicts the middle frame from its neighbours; see the module for the method.

    `frames` is odd, so that there is a middle one. The hidden layers have `hidden` units, its half, quarter and eighth,
    and back up: 128, 64, 32, 16, 32, 64, 128. `subtract_noise` is in parts/supplemental.py. Variants: `mean` and `max`
    over a clip's vectors.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.25)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        frames: int = 5,
        hidden: int = 128,
        lr: float = 1e-3,
        batch_size: int = 512,
        epochs: int = 100,
        subtract_noise: float = 0.0,
    ) -> None:
        self.noise, self.subtract_noise = NoiseSubtraction(context.features, subtract_noise), subtract_noise
        self.context = replace(context, features=self.noise)
        self.frames, self.hidden = frames, hidden
        self.lr, self.batch_size, self.epochs = lr, batch_size, epochs
        training.check_whole(self, "frames", 3)
        must_be(self, "frames", frames % 2 == 1, "odd")
        training.check_whole(self, "hidden", 8)
        must_be(self, "hidden", hidden % 8 == 0, "a multiple of 8")
        training.check_training_settings(self)
        check_factor(self, "subtract_noise")
        self._net: DenseNet | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["baseline"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few_windows(train, self.front_end, self.frames) or why_unsuited(self, train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        self.noise.learn(self.front_end, train, self.context.device)
        frames, windows = training.frames_of(self.front_end, train, self.frames, self.context)
        self._net = training.build_with_seed(self._new_net, self.context)
        settings = training.TrainingSettings(self.epochs, self.batch_size, self.lr)
        starts = training.window_starts(windows)
        yield from training.train(
            self._net,
            inputs_and_targets_of(frames, self.frames),
            starts,
            starts[:0],
            settings,
            self.context.generator(),
        )

    def score(self, clips: ClipSet) -> Scores:
        net = self._fitted_net("score")
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        mean = torch.empty(len(clips), device=self.context.device)
        largest = torch.empty_like(mean)
        with torch.inference_mode():
            for chunk, chunk_windows in training.clip_chunks(windows):
                inputs, targets = inputs_and_targets_of(frames, self.frames)(
                    training.window_starts(chunk_windows, frames.device)
                )
                errors = (net(inputs) - targets).square().mean(1)
                mean[chunk] = per_clip(errors, chunk_windows, "mean")
                largest[chunk] = per_clip(errors, chunk_windows, "max")
        return {"mean": training.as_scores(mean), "max": training.as_scores(largest)}

    def error_map(self, clips: ClipSet) -> list[ErrorMap]:
        """The squared error in each band of the frame that is predicted; the mean of the map is the variant `mean`.

        The first and last frames of a clip are never predicted and have the value 0.
        """
        net = self._fitted_net("error_map")
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        inputs_and_targets = inputs_and_targets_of(frames, self.frames)
        sums = WindowSums(self.front_end, clips, self.frames, frames.device)
        with torch.inference_mode():
            for starts in torch.split(training.window_starts(windows, frames.device), training.CHUNK):
                inputs, targets = inputs_and_targets(starts)
                sums.add(starts, (net(inputs) - targets).square()[:, None], first=self.frames // 2)
        return sums.contributions()

    def state(self) -> State:
        return {"net": training.cpu_weights(self._fitted_net("state")), **self.noise.state()}

    def load(self, state: State) -> None:
        net = training.build_with_seed(self._new_net, self.context)
        net.load_state_dict(state["net"])
        self._net = net
        self.noise.load(state)

    def _new_net(self) -> DenseNet:
        mels = self.front_end.shape[0]
        first_half = [self.hidden, self.hidden // 2, self.hidden // 4]
        return DenseNet((self.frames - 1) * mels, [*first_half, self.hidden // 8, *first_half[::-1]], mels)

    def _fitted_net(self, method: str) -> DenseNet:
        return training.require_fitted(self, self._net, method).eval()


def inputs_and_targets_of(frames: Tensor, size: int) -> training.InputsAndTargets:
    """A function: first frames of vectors -> all frames but the middle one, and the middle one."""
    row, middle, mels = training.rows_of(frames, size), size // 2, frames.shape[1]

    def inputs_and_targets(starts: Tensor) -> tuple[Tensor, Tensor]:
        rows = row(starts)
        before, targets, after = torch.split(rows, [middle * mels, mels, middle * mels], dim=1)
        return torch.cat([before, after], 1), targets

    return inputs_and_targets
