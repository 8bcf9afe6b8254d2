"""A detector that keeps every rule of the conformance suite, and detectors that break one rule each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors import Context, Progress, Resources, Scores, State
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, FrontEnd

PAPER = {"power": 2.0, "epochs": 5}


def space(trial: Any) -> dict[str, Any]:
    return {"power": trial.suggest_float("power", 0.5, 4.0, log=True), "epochs": trial.suggest_int("epochs", 1, 9)}


class Distance:
    """A detector that keeps every rule: how far a clip's mean spectrum lies from one learned of random clips."""

    RESOURCES: Any = Resources()

    def __init__(self, context: Context, *, power: float = 2.0, epochs: int = 5) -> None:
        if not 0.5 <= power <= 4:
            raise AsdRayError(f"power must be in [0.5, 4] but got {power}")
        self.context, self.power, self.epochs, self.centre = context, power, epochs, None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["twfr"]

    def spectra(self, clips: ClipSet) -> torch.Tensor:
        features = self.context.features.get(self.front_end, clips)
        return (
            torch.empty(0, 128)
            if not len(clips)
            else torch.stack([torch.from_numpy(features.clip(i).mean(axis=0)) for i in range(len(clips))])
        )

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        if len(train) == 0:
            raise AsdRayError("nothing to learn from")
        spectra, generator = self.spectra(train), self.context.generator()
        for epoch in range(1, self.epochs + 1):
            chosen = spectra[torch.randperm(len(spectra), generator=generator)[:4]].mean(dim=0)
            self.centre = chosen if self.centre is None else 0.9 * self.centre + 0.1 * chosen
            yield Progress(epoch, {"loss": float((spectra - self.centre).abs().mean())})

    def score(self, clips: ClipSet) -> Scores:
        if self.centre is None:
            raise AsdRayError("score before fit")
        return {"far": (self.spectra(clips) - self.centre).abs().pow(self.power).mean(dim=1).numpy()}

    def state(self) -> State:
        if self.centre is None:
            raise AsdRayError("state before fit")
        return {"centre": self.centre}

    def load(self, state: State) -> None:
        self.centre = state["centre"]


class VersionAsText(Distance):
    VERSION = "1"


class ResourcesAsDict(Distance):
    RESOURCES = {"cpu": 1}


class PositionalParameter(Distance):
    def __init__(self, context: Context, power: float = 2.0, *, epochs: int = 5) -> None:
        super().__init__(context, power=power, epochs=epochs)


class TakesADevice(Distance):
    def __init__(self, context: Context, *, power: float = 2.0, epochs: int = 5, device: str = "cpu") -> None:
        super().__init__(context, power=power, epochs=epochs)


class ListParameter(Distance):
    def __init__(self, context: Context, *, power: Any = (2.0, 1.0), epochs: int = 5) -> None:
        super().__init__(context, epochs=epochs)


class SwallowsAnyName(Distance):
    def __init__(self, context: Context, *, power: float = 2.0, epochs: int = 5, **other: Any) -> None:
        super().__init__(context, power=power, epochs=epochs)


class OtherDefault(Distance):
    def __init__(self, context: Context, *, power: float = 1.0, epochs: int = 5) -> None:
        super().__init__(context, power=power, epochs=epochs)


class OneParameterMore(Distance):
    def __init__(self, context: Context, *, power: float = 2.0, epochs: int = 5, more: int = 1) -> None:
        super().__init__(context, power=power, epochs=epochs)


class RefusesHighPowers(Distance):
    def __init__(self, context: Context, *, power: float = 2.0, epochs: int = 5) -> None:
        if power > 3:
            raise AsdRayError("power above 3")
        super().__init__(context, power=power, epochs=epochs)


class CountsEpochsFromZero(Distance):
    def fit(self, train: ClipSet) -> Iterator[Progress]:
        return (Progress(step.epoch - 1, step.losses) for step in super().fit(train))


class LosesItsLoss(Distance):
    def fit(self, train: ClipSet) -> Iterator[Progress]:
        return (Progress(step.epoch, {"loss": float("nan")}) for step in super().fit(train))


class IgnoresEpochs(Distance):
    def fit(self, train: ClipSet) -> Iterator[Progress]:
        self.epochs = 7
        return super().fit(train)


class NotFinite(Distance):
    def score(self, clips: ClipSet) -> Scores:
        scores = super().score(clips)["far"]
        return {"far": np.where(np.arange(len(scores)) == 3, np.nan, scores)}


class OneScoreMissing(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {"far": super().score(clips)["far"][1:]}


class ScoresOfFrames(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {"far": super().score(clips)["far"][:, None]}


class ScoresAsTensor(Distance):
    def score(self, clips: ClipSet) -> Any:
        return {"far": torch.from_numpy(super().score(clips)["far"])}


class WantsEqualLengths(Distance):
    def spectra(self, clips: ClipSet) -> torch.Tensor:
        features = self.context.features.get(self.front_end, clips)
        return torch.from_numpy(np.stack([features.clip(i) for i in range(len(clips))])).mean(dim=1)


class EmptyName(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {"": super().score(clips)["far"]}


class NamesOfTheMoment(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {f"far-{len(clips)}": super().score(clips)["far"]}


class NoVariant(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {}


class NormalisesOverTheTest(Distance):
    def score(self, clips: ClipSet) -> Scores:
        scores = super().score(clips)["far"]
        return {"far": scores - scores.mean()}


class ForgetsTheOrder(Distance):
    def score(self, clips: ClipSet) -> Scores:
        scores = super().score(clips)["far"]
        return {"far": scores[np.argsort(clips.frame["clip"].to_numpy(str))]}


class GlobalTorchStream(Distance):
    def fit(self, train: ClipSet) -> Iterator[Progress]:
        self.context = Context(seed=int(torch.randint(2**31, ())), features=self.context.features)
        return super().fit(train)


class GlobalPythonStream(Distance):
    def fit(self, train: ClipSet) -> Iterator[Progress]:
        self.context = Context(seed=random.randrange(2**31), features=self.context.features)
        return super().fit(train)


class LearnsOneThreadsShare(Distance):
    def fit(self, train: ClipSet) -> Iterator[Progress]:
        return super().fit(train.take(np.arange(0, len(train), torch.get_num_threads())))


class SuitsWithoutAWord(Distance):
    def suits(self, train: Any) -> None:
        return None


class SuitsNothing(Distance):
    def suits(self, train: Any) -> str:
        return "one is too few" if len(train) else ""


class ScoresBeforeFit(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {"far": np.zeros(len(clips))} if self.centre is None else super().score(clips)


class OneVariantUpsideDown(Distance):
    def score(self, clips: ClipSet) -> Scores:
        far = super().score(clips)["far"]
        return {"far": far, "near": -far}


class StateBeforeFit(Distance):
    def state(self) -> State:
        return {} if self.centre is None else super().state()


class LearnsFromNothing(Distance):
    def fit(self, train: ClipSet) -> Iterator[Progress]:
        yield from super().fit(train) if len(train) else [Progress(1, {})]


class FailsOfNoClips(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {"far": np.atleast_1d(super().score(clips)["far"].max())} if not len(clips) else super().score(clips)


class StateThatLearnsOn(Distance):
    """The tensor that training writes into."""

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        for progress in super().fit(train):
            kept = self.__dict__.setdefault("kept", torch.empty_like(self.centre))
            kept.copy_(self.centre)
            yield progress

    def state(self) -> State:
        return super().state() and {"centre": self.kept}


class ReadyOnlyAtTheEnd(Distance):
    def fit(self, train: ClipSet) -> Iterator[Progress]:
        for step in super().fit(train):
            held, self.centre = self.centre, None
            yield step
            self.centre = held


class LearnsFromBeingAsked(Distance):
    def score(self, clips: ClipSet) -> Scores:
        scores = super().score(clips)
        self.centre = 0.9 * self.centre + 0.1 * self.spectra(clips).mean(dim=0)
        return scores


class StateOfObjects(Distance):
    def state(self) -> State:
        return {"centre": self.centre, "context": self.context}


class HalfAState(Distance):
    def load(self, state: State) -> None:
        self.centre = torch.round(state["centre"])


class ReadsLabels(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {"far": super().score(clips)["far"] + 100.0 * (clips.frame["label"] == "anomaly").to_numpy()}


class ReadsFileNames(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {"far": super().score(clips)["far"] + 100.0 * clips.frame["path"].str.contains("anomaly").to_numpy()}


class LowIsAnomalous(Distance):
    def score(self, clips: ClipSet) -> Scores:
        return {"far": -super().score(clips)["far"]}
