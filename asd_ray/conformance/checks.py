"""What every family must do: one function per rule, for shipped families and for a user's own class.

The sound is synthetic: two humming machines, whose anomalies have a loud foreign tone or knocks. The message of a check
that fails is one sentence, which names the broken rule of `asd_ray/detectors/_base.py`.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.conformance.workspace import EPOCHS, Workspace, fit_on
from asd_ray.detectors._base import Progress, Scores
from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.errors import AsdRayError
from asd_ray.families import Family, Resources
from asd_ray.families.drawing import draw, paper_draw

# For the check of what a detector learned: 300 to 700 steps, because there are few clips.
TO_LEARN = {"epochs": 12, "batch_size": 16, "hop": 2}
LEAST_AUC = 0.8
LEAST_OF_ANY = 1 - LEAST_AUC  # a variant below it has the wrong sign; one that learned nothing is near 0.5
DRAWS = 50


def check_resources(tested: Family, workspace: Workspace) -> None:
    """RESOURCES is what one trial asks of Ray."""
    resources = tested.detector.RESOURCES
    assert isinstance(resources, Resources), f"RESOURCES must be a Resources(cpu=…, gpu=…) but is {resources!r}"
    resources.check_request()


def check_version(tested: Family, workspace: Workspace) -> None:
    """VERSION, where a class has it, is a whole number from 1; a shipped family has one."""
    version = tested.version
    assert version.isdecimal() or not tested.is_shipped, "a shipped family needs VERSION = 1"


def check_parameters(tested: Family, workspace: Workspace) -> None:
    """Keyword-only, with defaults that are flat JSON, and none names a path, a device or the seed."""
    for name, each in list(inspect.signature(tested.detector.__init__).parameters.items())[2:]:
        assert each.kind is inspect.Parameter.KEYWORD_ONLY, f"{name} must be keyword-only: put * before it"
        assert not {"path", "device", "seed"} & set(name.split("_")), f"no parameter may be {name}: Context gives it"
        assert _is_scalar(each.default), f"the default of {name} must be a number, text, bool or None: {each.default!r}"


def check_unknown_parameter(tested: Family, workspace: Workspace) -> None:
    """A misspelt parameter is an error. Otherwise it would be a second trial with the same settings."""
    try:
        tested.detector(workspace.context(), no_such_parameter=1)
    except (TypeError, AsdRayError):
        return
    raise AssertionError("a parameter that does not exist, no_such_parameter, was accepted without an error")


def check_paper(tested: Family, workspace: Workspace) -> None:
    """PAPER names every parameter, and its values are the defaults."""
    paper = workspace.search_space(tested).known
    assert set(paper) == tested.parameters, (
        f"PAPER and the class differ in parameters: {', '.join(sorted(set(paper) ^ tested.parameters))}"
    )
    for name, each in inspect.signature(tested.detector.__init__).parameters.items():
        if name in paper:
            assert _is_scalar(paper[name]), f"PAPER[{name!r}] must be a number, text, bool or None: {paper[name]!r}"
            same = paper[name] == each.default and type(paper[name]) is type(each.default)
            assert same, f"PAPER[{name!r}] is {paper[name]!r} but the default of the class is {each.default!r}"


def check_paper_lies_in_the_space(tested: Family, workspace: Workspace) -> None:
    """A search can start with the paper's setting: `space` can draw all its values."""
    paper_draw(workspace.search_space(tested), tested)


def check_draws_construct(tested: Family, workspace: Workspace) -> None:
    """The class accepts every setting that the space can draw."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, study = workspace.search_space(tested), optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(DRAWS):
        params = draw(space, study.ask())
        not_accepted = set(params) - tested.parameters
        assert not not_accepted, f"space() gives {sorted(not_accepted)}, which the class does not accept"
        try:
            front_end = tested.detector(workspace.context(), **params).front_end
        except Exception as error:
            raise AssertionError(f"space() drew {params}, which the class refuses: {error}") from error
        assert front_end.hash, f"no front end with {params}"


def check_suits(tested: Family, workspace: Workspace) -> None:
    """`suits`, if a class has it, returns a text, which is empty for clips that `fit` accepts."""
    detector, train = workspace.new(tested), workspace.bank("plain").select(split="train")
    if hasattr(detector, "suits"):
        for frame in (train.frame, train.frame.assign(samples=train.lengths)):
            reason = detector.suits(frame)
            assert isinstance(reason, str), f"suits must return a text, which may be empty, but returned {reason!r}"
            assert not reason, f"suits must be empty for clips that fit learns from but is {reason!r}"


def check_progress(tested: Family, workspace: Workspace) -> None:
    """`fit` yields Progress 1, 2, … with finite losses, and no more of them than `epochs`."""
    steps = list(workspace.new(tested).fit(workspace.bank("plain").select(split="train")))
    assert steps, "fit yielded nothing; yield Progress(epoch, losses) once per epoch, at least once"
    assert all(isinstance(step, Progress) for step in steps), f"fit must yield Progress but gave {steps[0]!r}"
    epochs = [step.epoch for step in steps]
    assert epochs == list(range(1, len(steps) + 1)), f"epochs must count from 1 but are {epochs}"
    assert "epochs" not in tested.parameters or len(steps) <= EPOCHS, f"fit ran {len(steps)} epochs, not {EPOCHS}"
    for step in steps:
        assert all(map(math.isfinite, step.losses.values())), f"losses must be finite but are {step.losses}"


def check_scores(tested: Family, workspace: Workspace) -> None:
    """One finite number per clip and variant, for clips of equal length."""
    _assert_scores(workspace.fitted(tested).score(_test(workspace)), 8)


def check_unequal_lengths(tested: Family, workspace: Workspace) -> None:
    """Clips of one machine may differ in length, in training and in test."""
    _assert_scores(workspace.fitted(tested, "ragged").score(_test(workspace, "ragged")), 8)


def check_variants(tested: Family, workspace: Workspace) -> None:
    """The names of the variants do not depend on the clips."""
    detector, test = workspace.fitted(tested), _test(workspace)
    names = list(detector.score(test))
    assert names, "score gave no variant; give {name: scores}"
    assert all(isinstance(n, str) and n.strip() for n in names), f"names of variants must not be empty: {names}"
    again = [list(detector.score(clips)) for clips in (test, test.take([0]), test.take([5, 2]), _none_of(test))]
    assert all(other == names for other in again), f"variants were {names}, then {again}"
    _assert_scores(detector.score(_none_of(test)), 0)


def check_clips_are_scored_alone(tested: Family, workspace: Workspace) -> None:
    """A clip's score depends neither on the other clips nor on their order."""
    for kind in ("plain", "ragged"):
        detector, test = workspace.fitted(tested, kind), _test(workspace, kind)
        together = detector.score(test)
        alone = [detector.score(test.take([i])) for i in range(len(test))]
        _assert_same(together, {v: np.concatenate([one[v] for one in alone]) for v in together}, "scored one by one")
        backwards = detector.score(test.take(np.arange(len(test))[::-1]))
        _assert_same(together, {v: values[::-1] for v, values in backwards.items()}, "scored in another order")


def check_seed(tested: Family, workspace: Workspace) -> None:
    """All random draws depend on the seed, and none on the global generators. Another seed works, too."""
    first = workspace.fitted(tested).score(_test(workspace))
    torch.rand(7), np.random.rand(7), random.random()  # a detector that draws from these gives other scores now
    second = fit_on(workspace.new(tested), workspace.bank("plain")).score(_test(workspace))
    _assert_same(first, second, "fitted again with the same seed", 1e-6 if workspace.device == "cpu" else 1e-4)
    _assert_scores(fit_on(workspace.new(tested, seed=1), workspace.bank("plain")).score(_test(workspace)), 8)


def check_threads(tested: Family, workspace: Workspace) -> None:
    """An epoch on a few clips, and the scores after it, are the same on one thread and on two.

    "The same" means that no score differs by more than 1e-4 of itself and of its variant's spread over the clips. Two
    threads add numbers in another order, and training amplifies that: Adam makes a whole step of a gradient that is
    only a rounding error. `Workspace.calm` has parameters that keep this small, such as a low learning rate.
    """
    train, scores, before = workspace.bank("plain").select(split="train"), [], torch.get_num_threads()
    some = train.take(np.arange(0, len(train), 3))  # both ids, both domains
    calm = replace(workspace, smaller={**workspace.smaller, **workspace.calm})
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            detector = calm.new(tested, epochs=1)
            for _ in detector.fit(some):
                pass
            scores.append(detector.score(_test(workspace)))
    finally:
        torch.set_num_threads(before)
    one, two = scores
    _assert_same(one, two, "fitted and scored on two threads", of_spread=True)


def check_score_before_fit(tested: Family, workspace: Workspace) -> None:
    """`score` and `state` before `fit` raise AsdRayError, and so does `fit` without clips."""
    detector = workspace.new(tested)
    train = workspace.bank("plain").select(split="train")
    detector.fit(train)  # a generator that was not started
    calls: dict[str, Callable[[], object]] = {
        "score before fit": lambda: detector.score(_test(workspace)),
        "state before fit": detector.state,
        "fit of no clips": lambda: list(detector.fit(_none_of(train))),
    }
    for what, call in calls.items():
        try:
            call()
        except AsdRayError:
            continue
        raise AssertionError(f"{what} must raise AsdRayError")


def check_scores_while_fitting(tested: Family, workspace: Workspace) -> None:
    """`score` works after each epoch, and calling it does not change what the later epochs learn."""
    detector, test = workspace.new(tested), _test(workspace)
    for _ in detector.fit(workspace.bank("plain").select(split="train")):
        _assert_scores(detector.score(test), 8)
    _assert_same(workspace.fitted(tested).score(test), detector.score(test), "scored after every epoch of fit", 1e-4)


def check_state(tested: Family, workspace: Workspace) -> None:
    """A state can be written to a file, and a new detector gives the same scores with what is read from it.

    The state is from after the first epoch: later epochs must not change it.
    """
    detector = workspace.new(tested)
    steps = detector.fit(workspace.bank("plain").select(split="train"))
    next(steps)
    state, scores = detector.state(), detector.score(_test(workspace))
    for _ in steps:
        pass
    try:
        read, _ = from_bytes(to_bytes(state, {}), "the state")
    except AsdRayError as error:
        raise AssertionError(
            f"state() may hold tensors, numbers, text and dictionaries of them only: {error}"
        ) from error
    other = workspace.new(tested, seed=1)
    other.load(read)
    _assert_same(scores, other.score(_test(workspace)), "loaded from its state", 1e-6)


def check_labels_are_not_read(tested: Family, workspace: Workspace) -> None:
    """Labels, and file names that contain them, do not change the scores."""
    detector, test = workspace.fitted(tested), _test(workspace)
    scores = detector.score(test)
    swapped, hidden = copy.copy(test.bank), copy.copy(test.bank)
    label, clip = test.bank.frame["label"], [f"section_00_{i:04d}.wav" for i in range(len(test.bank))]
    swapped.frame = test.bank.frame.assign(label=label.map({"normal": "anomaly", "anomaly": "normal"}))
    hidden.frame = test.bank.frame.assign(label="unknown", clip=clip, path=clip)
    _assert_same(scores, detector.score(ClipSet(swapped, test.rows)), "scored with its labels swapped", 0)
    _assert_same(scores, detector.score(ClipSet(hidden, test.rows)), "scored with its labels hidden", 0)


def check_planted_anomalies(tested: Family, workspace: Workspace) -> None:
    """Loud foreign tones and knocks get higher scores than the normal hum."""
    bank = workspace.bank("planted")
    detector = workspace.teach(workspace.new(tested, **TO_LEARN), bank)
    aucs: dict[str, list[float]] = {}
    for id in ("00", "01"):
        test = bank.select(split="test", id=id)
        anomalous = (test.frame["label"] == "anomaly").to_numpy()
        for variant, scores in detector.score(test).items():
            higher = scores[anomalous][:, None] > scores[~anomalous]
            aucs.setdefault(variant, []).append(float(higher.mean()))
    means = {variant: float(np.mean(values)) for variant, values in aucs.items()}
    best, worst = max(means.values()), min(means, key=means.__getitem__)
    assert best > LEAST_AUC, (
        f"AUC of the best variant on planted anomalies is {best:.2f}, not above {LEAST_AUC}; higher must be anomalous"
    )
    assert means[worst] > LEAST_OF_ANY, (
        f"AUC of variant {worst!r} on planted anomalies is {means[worst]:.2f}; higher must be anomalous in each"
    )


def _is_scalar(value: Any) -> bool:
    """Whether a parameter may have this value: it is the same after a round trip through JSON."""
    return value is None or (isinstance(value, bool | int | float | str) and json.loads(json.dumps(value)) == value)


Check = Callable[[Family, Workspace], None]
CHECKS: tuple[Check, ...] = (
    check_resources,
    check_version,
    check_parameters,
    check_unknown_parameter,
    check_paper,
    check_paper_lies_in_the_space,
    check_draws_construct,
    check_suits,
    check_progress,
    check_scores,
    check_unequal_lengths,
    check_variants,
    check_clips_are_scored_alone,
    check_seed,
    check_threads,
    check_score_before_fit,
    check_scores_while_fitting,
    check_state,
    check_labels_are_not_read,
    check_planted_anomalies,
)


def _none_of(clips: ClipSet) -> ClipSet:
    return clips.take(np.zeros(len(clips), bool))


def _test(workspace: Workspace, kind: str = "plain") -> ClipSet:
    return workspace.bank(kind).select(split="test")


def _assert_scores(scores: Scores, clips: int) -> None:
    assert isinstance(scores, dict), f"score must return a dictionary but returned {type(scores).__name__}"
    for variant, values in scores.items():
        right = isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.floating)
        assert right, f"scores of {variant!r} must be a numpy array of floats but are {type(values).__name__}"
        assert values.shape == (clips,), f"scores of {variant!r} have shape {values.shape} for {clips} clips"
        assert np.isfinite(values).all(), f"scores of {variant!r} must be finite but are {values.tolist()}"


def _assert_same(
    expected: Scores, scores: Scores, when: str, tolerance: float = 1e-4, *, of_spread: bool = False
) -> None:
    assert list(expected) == list(scores), f"variants differ when {when}: {list(expected)}, {list(scores)}"
    for variant, values in expected.items():
        least = tolerance * max(0.01, float(np.ptp(values)) if of_spread else 0.0)
        np.testing.assert_allclose(
            scores[variant], values, rtol=tolerance, atol=least, err_msg=f"scores of {variant!r}, {when}"
        )
