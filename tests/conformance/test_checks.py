"""Every family passes the suite, and the suite catches detectors that break one rule each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asd_ray.cli.conformance import main
from asd_ray.conformance import check_family
from asd_ray.conformance import checks as suite
from asd_ray.conformance.checks import CHECKS, Check
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import FAMILIES, Family, family
from asd_ray.errors import AsdRayError
from asd_ray.families.weights import brought

from .broken_detectors import (
    CountsEpochsFromZero,
    Distance,
    EmptyName,
    FailsOfNoClips,
    ForgetsTheOrder,
    GlobalPythonStream,
    GlobalTorchStream,
    HalfAState,
    IgnoresEpochs,
    LearnsFromBeingAsked,
    LearnsFromNothing,
    LearnsOneThreadsShare,
    ListParameter,
    LosesItsLoss,
    LowIsAnomalous,
    NamesOfTheMoment,
    NormalisesOverTheTest,
    NotFinite,
    NoVariant,
    OneParameterMore,
    OneScoreMissing,
    OneVariantUpsideDown,
    OtherDefault,
    PositionalParameter,
    ReadsFileNames,
    ReadsLabels,
    ReadyOnlyAtTheEnd,
    RefusesHighPowers,
    ResourcesAsDict,
    ScoresAsTensor,
    ScoresBeforeFit,
    ScoresOfFrames,
    StateBeforeFit,
    StateOfObjects,
    StateThatLearnsOn,
    SuitsNothing,
    SuitsWithoutAWord,
    SwallowsAnyName,
    TakesADevice,
    VersionAsText,
    WantsEqualLengths,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_is_checked() -> None:
    assert len(FAMILIES) == 14
    assert len(CHECKS) == 20
    assert {check.__name__ for check in CHECKS} == {name for name in vars(suite) if name.startswith("check_")}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_keeps_to_the_contract(name: str, check: Check, workspaces: Callable[[str], Workspace]) -> None:
    check(family(name), workspaces(name))


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
    return family(f"{detector.__module__}:{detector.__name__}")


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
    assert main([f"{Distance.__module__}:Distance"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith(" ok") for line in lines[1:-2]] == [True] * len(CHECKS)
    assert lines[-2] == f"{len(CHECKS)} of {len(CHECKS)} checks passed"


def test_the_command_fails_with_the_message_of_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{ResourcesAsDict.__module__}:ResourcesAsDict"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "resources                        FAILED: " + (
        "RESOURCES must be a Resources(cpu=…, gpu=…) but is {'cpu': 1}"
    )
    assert lines[-2] == f"{len(CHECKS) - 1} of {len(CHECKS)} checks passed"


def test_a_family_that_needs_weights_is_checked_with_an_encoder_that_is_brought(
    encoder_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PAPER names beats."""
    assert main(["pretrained"]) == 2
    message = "pretrained needs pretrained weights, and none are brought; give them with --weights NET=FILE, or in the "
    assert message in " ".join(capsys.readouterr().err.split())
    with brought({"ast": encoder_weights / "ast"}):
        results = list(check_family("pretrained", checks=[suite.check_suits, suite.check_scores, suite.check_state]))
    assert [result.problem for result in results] == [""] * 3


def test_the_command_does_not_know_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["twfr"]) == 2
    message = "asd-ray conformance: unknown family 'twfr'; did you mean 'twfr_gmm'? known: "
    assert capsys.readouterr().err.startswith(message)
