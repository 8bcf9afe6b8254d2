"""Every family passes the suite, and the suite catches detectors that break one rule each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asd_ray.cli.conformance import main
from asd_ray.clips.bank import ClipSet
from asd_ray.conformance import checks as suite
from asd_ray.conformance.checks import CHECKS, Check
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import FAMILIES, Context, Family, Progress, Resources, Scores, State, family
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, FrontEnd


def test_what_is_checked() -> None:
    assert len(FAMILIES) == 12
    assert len(CHECKS) == 20
    assert {check.__name__ for check in CHECKS} == {name for name in vars(suite) if name.startswith("check_")}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_keeps_to_the_contract(name: str, check: Check, workspaces: Callable[[str], Workspace]) -> None:
    check(family(name), workspaces(name))


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


BROKEN: list[tuple[type[Distance], Check, str]] = [
    (VersionAsText, suite.check_version, "VERSION = '1'; give a whole number from 1"),
    (ResourcesAsDict, suite.check_resources, "RESOURCES must be a Resources"),
    (PositionalParameter, suite.check_parameters, "power must be keyword-only"),
    (TakesADevice, suite.check_parameters, "no parameter may be device"),
    (ListParameter, suite.check_parameters, "the default of power must be a number"),
    (SwallowsAnyName, suite.check_unknown_parameter, "no_such_parameter, was accepted"),
    (OtherDefault, suite.check_paper, "PAPER\\['power'\\] is 2.0 but the default of the class is 1.0"),
    (OneParameterMore, suite.check_paper, "PAPER and the class differ in parameters: more"),
    (RefusesHighPowers, suite.check_draws_construct, "which the class refuses: power above 3"),
    (SuitsWithoutAWord, suite.check_suits, "suits must return a text, which may be empty, but returned None"),
    (SuitsNothing, suite.check_suits, "suits must be empty for clips that fit learns from but is 'one is too few'"),
    (CountsEpochsFromZero, suite.check_progress, "epochs must count from 1 but are \\[0, 1, 2\\]"),
    (LosesItsLoss, suite.check_progress, "losses must be finite"),
    (IgnoresEpochs, suite.check_progress, "fit ran 7 epochs, not 3"),
    (NotFinite, suite.check_scores, "scores of 'far' must be finite"),
    (OneScoreMissing, suite.check_scores, "have shape \\(7,\\) for 8 clips"),
    (ScoresOfFrames, suite.check_scores, "have shape \\(8, 1\\) for 8 clips"),
    (ScoresAsTensor, suite.check_scores, "must be a numpy array of floats but are Tensor"),
    (WantsEqualLengths, suite.check_unequal_lengths, "same shape"),
    (EmptyName, suite.check_variants, "must not be empty"),
    (NamesOfTheMoment, suite.check_variants, "variants were \\['far-8'\\]"),
    (NoVariant, suite.check_variants, "score gave no variant"),
    (NormalisesOverTheTest, suite.check_clips_are_scored_alone, "scored one by one"),
    (ForgetsTheOrder, suite.check_clips_are_scored_alone, "scored in another order"),
    (GlobalTorchStream, suite.check_seed, "fitted again with the same seed"),
    (GlobalPythonStream, suite.check_seed, "fitted again with the same seed"),
    (LearnsOneThreadsShare, suite.check_threads, "fitted and scored on two threads"),
    (ScoresBeforeFit, suite.check_score_before_fit, "must raise AsdRayError"),
    (StateBeforeFit, suite.check_score_before_fit, "state before fit must raise AsdRayError"),
    (LearnsFromNothing, suite.check_score_before_fit, "fit of no clips must raise AsdRayError"),
    (FailsOfNoClips, suite.check_variants, "zero-size array|have shape \\(1,\\) for 0 clips"),
    (StateThatLearnsOn, suite.check_state, "loaded from its state"),
    (ReadyOnlyAtTheEnd, suite.check_scores_while_fitting, "score before fit"),
    (LearnsFromBeingAsked, suite.check_scores_while_fitting, "scored after every epoch"),
    (OneVariantUpsideDown, suite.check_planted_anomalies, "variant 'near' on planted anomalies is 0.0"),
    (StateOfObjects, suite.check_state, "may hold tensors, numbers, text"),
    (HalfAState, suite.check_state, "loaded from its state"),
    (ReadsLabels, suite.check_labels_are_not_read, "labels swapped"),
    (ReadsFileNames, suite.check_labels_are_not_read, "labels hidden"),
    (LowIsAnomalous, suite.check_planted_anomalies, "AUC of the best variant"),
]
BROKEN_SPACES: list[tuple[str, Check, str]] = [
    ('{"power": 9.0, "epochs": 5}', suite.check_paper_lies_in_the_space, "= 9 is out of the range 0.5 … 4"),
    ('{"epochs": 5}', suite.check_paper_lies_in_the_space, "suggests 'power', which PAPER does not have"),
    ('{"power": 2.0, "epochs": 4}', suite.check_paper_lies_in_the_space, "= 4 is not a multiple of the step 2 from 1"),
    ('{"power": 2.0, "epochs": 5, "loss": "mse"}', suite.check_paper, "differ in parameters: loss"),
    ('{"power": 2, "epochs": 5}', suite.check_paper, "is 2 but the default of the class is 2.0"),
    ('{"power": [2.0], "epochs": 5}', suite.check_paper, "must be a number, text, bool or None"),
]
SPACE = """
PAPER = {paper}


def space(trial):
    return {{"power": trial.suggest_float("power", 0.5, 4.0), "epochs": trial.suggest_int("epochs", 1, 9, step=2)}}
"""


def own(detector: type[Distance]) -> Family:
    return family(f"{__name__}:{detector.__name__}")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_a_plain_detector_of_ones_own_passes(check: Check, workspace: Workspace) -> None:
    check(own(Distance), workspace)


@pytest.mark.parametrize(("broken", "check", "message"), BROKEN, ids=lambda part: getattr(part, "__name__", ""))
def test_a_broken_detector_is_caught(broken: type[Distance], check: Check, message: str, workspace: Workspace) -> None:
    with pytest.raises((AssertionError, AsdRayError, ValueError), match=message):
        check(own(broken), workspace)


@pytest.mark.parametrize(("paper", "check", "message"), BROKEN_SPACES)
def test_a_broken_space_is_caught(paper: str, check: Check, message: str, tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(SPACE.format(paper=paper))
    with pytest.raises((AssertionError, AsdRayError), match=message):
        check(own(Distance), Workspace(tmp_path, space=tmp_path / "space.py"))


def test_every_check_can_fail() -> None:
    assert {check for _, check, _ in [*BROKEN, *BROKEN_SPACES]} == set(CHECKS)


def test_the_command_prints_one_line_a_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{__name__}:Distance"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith(" ok") for line in lines[1:-1]] == [True] * len(CHECKS)
    assert lines[-1] == f"{len(CHECKS)} of {len(CHECKS)} checks passed"


def test_the_command_fails_with_the_message_of_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{__name__}:ResourcesAsDict"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "resources                        FAILED: " + (
        "RESOURCES must be a Resources(cpu=…, gpu=…) but is {'cpu': 1}"
    )
    assert lines[-1] == f"{len(CHECKS) - 1} of {len(CHECKS)} checks passed"


def test_the_command_does_not_know_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["twfr"]) == 2
    message = "asd-ray conformance: unknown family 'twfr'; did you mean 'twfr_gmm'? known: "
    assert capsys.readouterr().err.startswith(message)
