"""Detectors that train in milliseconds and whose behaviour is a parameter. They are named as a user's own are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors import Context, Progress, Resources, Scores
from asd_ray.features import PRESETS, FrontEnd

PAPER: dict[str, Any] = {"x": 0.75, "epochs": 9, "batch_size": 64, "behaviour": ""}


def space(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0.0, 1.0), "epochs": trial.suggest_categorical("epochs", [3, 9])}


class Tiny:
    """Scores the level of a clip, as well as `x` says: 1 tells anomalies from normals, 0 is noise.

    A `behaviour` other than "" takes effect in trials with x below one half.
    """

    RESOURCES: ClassVar[Resources] = Resources()

    def __init__(
        self, context: Context, *, x: float = 0.75, epochs: int = 9, batch_size: int = 64, behaviour: str = ""
    ) -> None:
        self.seed, self.x, self.epochs, self.batch_size = context.seed, x, epochs, batch_size
        self.behaviour = behaviour if x < 0.5 else ""
        self.weight = x

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["baseline"]

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        if self.behaviour == "raises":
            raise ValueError("no such thing as a fan")
        if self.behaviour == "out of memory above 64" and self.batch_size > 64:
            raise torch.OutOfMemoryError(f"tried to allocate {self.batch_size}")
        if self.behaviour == "out of memory":
            raise torch.OutOfMemoryError(f"tried to allocate {self.batch_size}")
        for epoch in range(1, self.epochs + 1):
            if self.behaviour == "best at epoch 2":
                self.weight = 1.0 if epoch == 2 else 0.0
            bad = self.behaviour == "NaN loss at epoch 2" and epoch == 2
            yield Progress(epoch, {"loss": float("nan") if bad else 1 / epoch})

    def score(self, clips: ClipSet) -> Scores:
        noise = np.array([np.random.default_rng([self.seed, row]).normal() for row in clips.rows])
        level = np.array([float(np.abs(clips.samples(i).astype(float)).mean()) / 3000 for i in range(len(clips))])
        scores = self.weight * level + (1 - self.weight) * noise
        if self.behaviour == "scores NaN":
            scores[:2] = np.nan
        return {"level": scores}

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load(self, state: dict[str, Any]) -> None:
        self.weight = state["weight"]


class AnyRate(Tiny):
    """Follows the rate of the clips."""

    def __init__(
        self, context: Context, *, x: float = 0.75, epochs: int = 9, batch_size: int = 64, behaviour: str = ""
    ) -> None:
        super().__init__(context, x=x, epochs=epochs, batch_size=batch_size, behaviour=behaviour)
        self.context = context

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["baseline"].at(self.context.rate)


class Picky(AnyRate):
    """Suits machines with two ids or more, and clips of 0.2 s or more."""

    def suits(self, train: pd.DataFrame) -> str:
        if train.groupby("machine")["id"].nunique().min() < 2:
            return "it compares ids; record two"
        short = "samples" in train and (train["samples"] < self.context.rate / 5).any()
        return "it wants clips of 0.2 s; record longer ones" if short else ""


class Forgetful(AnyRate):
    """Suits everything, and returns None instead of ""."""

    def suits(self, train: pd.DataFrame) -> None:
        return None


class Mistaken(AnyRate):
    """Its `suits` raises."""

    def suits(self, train: pd.DataFrame) -> str:
        return str(train["colour"])
