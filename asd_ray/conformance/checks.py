"""What every family must do: one function per rule, for shipped families and for a user's own class.

The sound is synthetic: two humming machines, whose anomalies have a loud foreign tone or knocks. A check that fails
says in one sentence which rule of `asd_ray/detectors/_base.py` is broken.
"""

from __future__ import annotations

import copy
import inspect
import io
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
from asd_ray.errors import AsdRayError
from asd_ray.families import Family, Resources
from asd_ray.families.drawing import draw, paper_draw

# For the one check of what it learned: some 300 to 700 steps, as clips are few.
TO_LEARN = {"epochs": 12, "batch_size": 16, "hop": 2}
LEAST_AUC = 0.8
LEAST_OF_ANY = 1 - LEAST_AUC  # below it a variant is the best one upside down; one that hears nothing lies about .5
DRAWS = 50


def check_resources(tested: Family, workspace: Workspace) -> None:
    """RESOURCES is what one trial asks of Ray."""
    found = tested.detector.RESOURCES
    assert isinstance(found, Resources), f"RESOURCES must be a Resources(cpu=…, gpu=…) but is {found!r}"
    found.check_request()


def check_parameters(tested: Family, workspace: Workspace) -> None:
    """Keyword-only, with defaults that are flat JSON, and none names a path, a device or the seed."""
    for name, each in list(inspect.signature(tested.detector.__init__).parameters.items())[2:]:
        assert each.kind is inspect.Parameter.KEYWORD_ONLY, f"{name} must be keyword-only: put * before it"
        assert not {"path", "device", "seed"} & set(name.split("_")), f"no parameter may be {name}: Context gives it"
        assert _is_scalar(each.default), f"the default of {name} must be a number, text, bool or None: {each.default!r}"


def check_unknown_parameter(tested: Family, workspace: Workspace) -> None:
    """A misspelt parameter is an error, not a trial like the last one."""
    try:
        tested.detector(workspace.context(), no_such_parameter=1)
    except (TypeError, AsdRayError):
        return
    raise AssertionError("a parameter that does not exist, no_such_parameter, was taken without an error")


def check_paper(tested: Family, workspace: Workspace) -> None:
    """PAPER names every parameter, and its values are the defaults."""
    paper = workspace.search_space(tested).paper
    assert set(paper) == tested.parameters, (
        f"PAPER and the class differ in parameters: {', '.join(sorted(set(paper) ^ tested.parameters))}"
    )
    for name, each in inspect.signature(tested.detector.__init__).parameters.items():
        if name in paper:
            assert _is_scalar(paper[name]), f"PAPER[{name!r}] must be a number, text, bool or None: {paper[name]!r}"
            same = paper[name] == each.default and type(paper[name]) is type(each.default)
            assert same, f"PAPER[{name!r}] is {paper[name]!r} but the default of the class is {each.default!r}"


def check_paper_lies_in_the_space(tested: Family, workspace: Workspace) -> None:
    """A search can start at the paper's setting: every one of its values is one that `space` may draw."""
    paper_draw(workspace.search_space(tested), tested)


def check_draws_construct(tested: Family, workspace: Workspace) -> None:
    """Every setting that the space may draw is one that the class takes."""
    space, study = workspace.search_space(tested), optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(DRAWS):
        params = draw(space, study.ask())
        not_taken = set(params) - tested.parameters
        assert not not_taken, f"space() gives {sorted(not_taken)}, which the class does not take"
        try:
            front_end = tested.detector(workspace.context(), **params).front_end
        except Exception as error:
            raise AssertionError(f"space() drew {params}, which the class refuses: {error}") from error
        assert front_end.hash, f"no front end with {params}"


def check_suits(tested: Family, workspace: Workspace) -> None:
    """`suits`, where a class has it, gives a text, and an empty one for clips that can be learned from."""
    detector, train = workspace.new(tested), workspace.bank("plain").select(split="train")
    if hasattr(detector, "suits"):
        for frame in (train.frame, train.frame.assign(samples=train.lengths)):
            said = detector.suits(frame)
            assert isinstance(said, str), f"suits must give a text, empty if all is well, but gave {said!r}"
            assert not said, f"suits must be empty for clips that fit learns from but is {said!r}"


def check_progress(tested: Family, workspace: Workspace) -> None:
    """`fit` yields Progress 1, 2, … with finite losses, and no more of them than `epochs`."""
    steps = list(workspace.new(tested).fit(workspace.bank("plain").select(split="train")))
    assert steps, "fit yielded nothing; yield Progress(epoch, losses) once an epoch, at least once"
    assert all(isinstance(step, Progress) for step in steps), f"fit must yield Progress but gave {steps[0]!r}"
    epochs = [step.epoch for step in steps]
    assert epochs == list(range(1, len(steps) + 1)), f"epochs must count from 1 but are {epochs}"
    assert "epochs" not in tested.parameters or len(steps) <= EPOCHS, f"{len(steps)} epochs where {EPOCHS} were asked"
    for step in steps:
        assert all(map(math.isfinite, step.losses.values())), f"losses must be finite but are {step.losses}"


def check_scores(tested: Family, workspace: Workspace) -> None:
    """One finite number a clip and variant, for equally long clips."""
    _assert_scores(workspace.fitted(tested).score(_test(workspace)), 8)


def check_unequal_lengths(tested: Family, workspace: Workspace) -> None:
    """Clips of one machine may differ in length, in training and in test."""
    _assert_scores(workspace.fitted(tested, "ragged").score(_test(workspace, "ragged")), 8)


def check_variants(tested: Family, workspace: Workspace) -> None:
    """The names of the variants are the same whatever is scored."""
    detector, test = workspace.fitted(tested), _test(workspace)
    names = list(detector.score(test))
    assert names, "score gave no variant; give {name: scores}"
    assert all(isinstance(n, str) and n.strip() for n in names), f"names of variants must not be empty: {names}"
    again = [list(detector.score(clips)) for clips in (test, test.take([0]), test.take([5, 2]), _none_of(test))]
    assert all(other == names for other in again), f"variants were {names}, then {again}"
    _assert_scores(detector.score(_none_of(test)), 0)


def check_clips_are_scored_alone(tested: Family, workspace: Workspace) -> None:
    """A clip's score does not depend on which others are scored beside it, nor on their order."""
    for kind in ("plain", "ragged"):
        detector, test = workspace.fitted(tested, kind), _test(workspace, kind)
        together = detector.score(test)
        alone = [detector.score(test.take([i])) for i in range(len(test))]
        _assert_same(together, {v: np.concatenate([one[v] for one in alone]) for v in together}, "scored one by one")
        backwards = detector.score(test.take(np.arange(len(test))[::-1]))
        _assert_same(together, {v: values[::-1] for v, values in backwards.items()}, "scored in another order")


def check_seed(tested: Family, workspace: Workspace) -> None:
    """The seed decides every random draw; the global generators decide none. Another seed works, too."""
    first = workspace.fitted(tested).score(_test(workspace))
    torch.rand(7), np.random.rand(7), random.random()  # who draws from these scores otherwise now
    second = fit_on(workspace.new(tested), workspace.bank("plain")).score(_test(workspace))
    _assert_same(first, second, "fitted again with the same seed", 1e-6 if workspace.device == "cpu" else 1e-4)
    _assert_scores(fit_on(workspace.new(tested, seed=1), workspace.bank("plain")).score(_test(workspace)), 8)


def check_threads(tested: Family, workspace: Workspace) -> None:
    """An epoch of a few clips, and scores after it, are the same on one thread and on two.

    The same is: no clip's score differs by more than 1e-4 of itself and of its variant's spread over the clips. Sums
    are added up in another order on two threads, and training amplifies that: Adam makes a whole step of a gradient
    that is nothing but rounding. `Workspace.calm` holds parameters that keep it small, as a low learning rate.
    """
    train, found, before = workspace.bank("plain").select(split="train"), [], torch.get_num_threads()
    some = train.take(np.arange(0, len(train), 3))  # both ids, both domains
    calm = replace(workspace, smaller={**workspace.smaller, **workspace.calm})
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            detector = calm.new(tested, epochs=1)
            for _ in detector.fit(some):
                pass
            found.append(detector.score(_test(workspace)))
    finally:
        torch.set_num_threads(before)
    one, two = found
    _assert_same(one, two, "fitted and scored on two threads", of_spread=True)


def check_score_before_fit(tested: Family, workspace: Workspace) -> None:
    """A detector that has learned nothing says so, and one that is given nothing to learn from."""
    detector = workspace.new(tested)
    train = workspace.bank("plain").select(split="train")
    detector.fit(train)  # a generator that nobody asked has not begun
    asked: dict[str, Callable[[], object]] = {
        "score before fit": lambda: detector.score(_test(workspace)),
        "state before fit": detector.state,
        "fit of no clips": lambda: list(detector.fit(_none_of(train))),
    }
    for what, ask in asked.items():
        try:
            ask()
        except AsdRayError:
            continue
        raise AssertionError(f"{what} must raise AsdRayError")


def check_scores_while_fitting(tested: Family, workspace: Workspace) -> None:
    """After each epoch `score` works, and whether it was called does not change what is learned after it."""
    detector, test = workspace.new(tested), _test(workspace)
    for _ in detector.fit(workspace.bank("plain").select(split="train")):
        _assert_scores(detector.score(test), 8)
    _assert_same(workspace.fitted(tested).score(test), detector.score(test), "scored after every epoch of fit", 1e-4)


def check_state(tested: Family, workspace: Workspace) -> None:
    """What `state` gives survives a file of tensors and plain values, and a new detector scores the same with it.

    It is taken after an epoch: what is learned later must not change it.
    """
    detector, file = workspace.new(tested), io.BytesIO()
    steps = detector.fit(workspace.bank("plain").select(split="train"))
    next(steps)
    state, scores = detector.state(), detector.score(_test(workspace))
    for _ in steps:
        pass
    torch.save(state, file)
    file.seek(0)
    try:
        read = torch.load(file, weights_only=True)
    except Exception as error:
        raise AssertionError("state() may hold tensors, numbers, text and dictionaries of them only") from error
    other = workspace.new(tested, seed=1)
    other.load(read)
    _assert_same(scores, other.score(_test(workspace)), "loaded from its state", 1e-6)


def check_labels_are_not_read(tested: Family, workspace: Workspace) -> None:
    """Labels, and file names that tell them, change nothing."""
    detector, test = workspace.fitted(tested), _test(workspace)
    scores = detector.score(test)
    swapped, hidden = copy.copy(test.bank), copy.copy(test.bank)
    label, clip = test.bank.frame["label"], [f"section_00_{i:04d}.wav" for i in range(len(test.bank))]
    swapped.frame = test.bank.frame.assign(label=label.map({"normal": "anomaly", "anomaly": "normal"}))
    hidden.frame = test.bank.frame.assign(label="unknown", clip=clip, path=clip)
    _assert_same(scores, detector.score(ClipSet(swapped, test.rows)), "scored with its labels swapped", 0)
    _assert_same(scores, detector.score(ClipSet(hidden, test.rows)), "scored with its labels hidden", 0)


def check_planted_anomalies(tested: Family, workspace: Workspace) -> None:
    """Loud foreign tones and knocks get higher scores than the hum that was learned."""
    bank = workspace.bank("planted")
    detector = workspace.teach(workspace.new(tested, **TO_LEARN), bank)
    aucs: dict[str, list[float]] = {}
    for id in ("00", "01"):
        test = bank.select(split="test", id=id)
        anomalous = (test.frame["label"] == "anomaly").to_numpy()
        for variant, scores in detector.score(test).items():
            higher = scores[anomalous][:, None] > scores[~anomalous]
            aucs.setdefault(variant, []).append(float(higher.mean()))
    found = {variant: float(np.mean(each)) for variant, each in aucs.items()}
    best, worst = max(found.values()), min(found, key=found.__getitem__)
    assert best > LEAST_AUC, (
        f"AUC of the best variant on planted anomalies is {best:.2f}, not above {LEAST_AUC}; higher must be anomalous"
    )
    assert found[worst] > LEAST_OF_ANY, (
        f"AUC of variant {worst!r} on planted anomalies is {found[worst]:.2f}; higher must be anomalous in each"
    )


def _is_scalar(value: Any) -> bool:
    """Whether a parameter may have this value: JSON gives it back as it was."""
    return value is None or (isinstance(value, bool | int | float | str) and json.loads(json.dumps(value)) == value)


Check = Callable[[Family, Workspace], None]
CHECKS: tuple[Check, ...] = (
    check_resources,
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
    assert isinstance(scores, dict), f"score must give a dictionary variant -> scores but gave {type(scores).__name__}"
    for variant, values in scores.items():
        right = isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.floating)
        assert right, f"scores of {variant!r} must be a numpy array of floats but are {type(values).__name__}"
        assert values.shape == (clips,), f"scores of {variant!r} have shape {values.shape} for {clips} clips"
        assert np.isfinite(values).all(), f"scores of {variant!r} must be finite but are {values.tolist()}"


def _assert_same(
    expected: Scores, found: Scores, when: str, tolerance: float = 1e-4, *, of_spread: bool = False
) -> None:
    assert list(expected) == list(found), f"variants differ when {when}: {list(expected)}, {list(found)}"
    for variant, values in expected.items():
        least = tolerance * max(0.01, float(np.ptp(values)) if of_spread else 0.0)
        np.testing.assert_allclose(
            found[variant], values, rtol=tolerance, atol=least, err_msg=f"scores of {variant!r}, {when}"
        )
