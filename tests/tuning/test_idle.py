"""Settings that have no effect on the clips of a study are not drawn, because they would repeat a trial."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.trial import FixedTrial

from asd_ray.clips.bank import ClipSet
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.detectors import Context, family
from asd_ray.detectors.parts.pseudo_labels import training_classes
from asd_ray.detectors.parts.supplemental import COUNTS
from asd_ray.errors import AsdRayError
from asd_ray.families.drawing import draw, first_draw
from asd_ray.ledger import Settings
from asd_ray.tuning.idle import effect_of_labels, idle_names, notes_of_microphones
from asd_ray.tuning.suiting import StudyClips

FAST, SLOW, NONE = '{"v": "1"}', '{"v": "2"}', "{}"


def clips(*rows: tuple[str, str, str]) -> StudyClips:
    """Training clips, each an id, a domain and attributes; a machine with supplemental clips of both kinds."""
    train = pd.DataFrame(rows, columns=["id", "domain", "attributes"]).assign(machine="fan")
    train.attrs[COUNTS] = {"machine": 1, "noise": 1}
    return StudyClips(train, 16_000, None)


USUAL = (("00", "source", NONE), ("00", "target", NONE), ("01", "source", NONE))


def test_nothing_is_idle_on_usual_clips() -> None:
    assert idle_names(clips(*USUAL), 2, "labels") == []


@pytest.mark.parametrize(
    ("rows", "channels", "objective", "expected"),
    [
        (USUAL, 1, "labels", {"microphone"}),
        (USUAL, 2, "normal-only", {"microphone"}),
        ([(id, "source", attributes) for id, _, attributes in USUAL], 2, "labels", {"balance"}),
        ([(id, "target", attributes) for id, _, attributes in USUAL], 2, "labels", {"balance"}),
        ([("00", "source", FAST), ("00", "target", SLOW)], 2, "labels", {"labels", "clusters", "cluster_by"}),
        ([("00", "source", FAST), ("00", "target", FAST)], 2, "labels", set()),  # the id is clustered
        ([("00", "source", FAST), ("00", "target", SLOW), ("00", "target", NONE)], 2, "labels", set()),
        # with several ids "real" is the ids, and any method gives the attributes
        (
            [(id, "source", a) for id in ("00", "01") for a in (FAST, SLOW)],
            2,
            "labels",
            {"balance", "clusters", "cluster_by"},
        ),
    ],
)
def test_each_reason(rows: list[tuple[str, str, str]], channels: int, objective: str, expected: set[str]) -> None:
    assert set(idle_names(clips(*rows), channels, objective)) == expected


def test_supplemental_uses_are_idle_without_such_clips() -> None:
    own = clips(*USUAL)
    own.train.attrs[COUNTS] = {}
    names = {"noise_mix", "subtract_noise", "supplemental_class", "supplemental_bank"}
    assert set(idle_names(own, 2, "labels")) == names


@pytest.mark.parametrize("name", ["embedding_knn", "finetuned"])
def test_idle_parameters_are_not_drawn_whether_or_not_the_paper_names_them(name: str) -> None:
    space = family(name).search_space()
    values = {**space.known, "labels": "ward", "clusters": 32, "cluster_by": "embedding"}
    drawn = draw(space.without(["labels", "clusters", "cluster_by"], of_paper=True), FixedTrial(values))
    assert drawn == draw(space, FixedTrial(dict(space.known)))
    assert draw(space, FixedTrial(values))["labels"] == "ward"
    kept = space.without(["labels"]).idle
    assert ("labels" in kept) == ("labels" not in space.paper)  # a user's own parameter of that name stays drawn


ONE = tuple(("00", "source", NONE) for _ in range(10))
BY_ATTRIBUTES = tuple((id, "source", a) for id in ("00", "01") for a in (FAST, SLOW))


@pytest.mark.parametrize(
    ("rows", "first", "second", "is_equal"),
    [
        (ONE, {"labels": "real"}, {"labels": "kmeans", "clusters": 8}, True),  # of one class
        (ONE, {"labels": "real"}, {"labels": "kmeans", "clusters": 4}, False),
        (ONE, {"labels": "real"}, {"labels": "ward", "clusters": 8}, False),
        (ONE, {"labels": "real", "warps": 2}, {"labels": "kmeans", "clusters": 8, "warps": 2}, False),
        (ONE, {"labels": "real", "warps": 0}, {"labels": "kmeans", "clusters": 8, "warps": 0}, True),
        (ONE, {"labels": "ward", "clusters": 16}, {"labels": "ward", "clusters": 32}, True),  # of ten clips
        (ONE, {"labels": "ward", "clusters": 8}, {"labels": "ward", "clusters": 16}, False),
        (USUAL, {"labels": "real"}, {"labels": "kmeans", "clusters": 8}, False),
        (USUAL, {"labels": "kmeans", "clusters": 4}, {"labels": "kmeans", "clusters": 8}, True),  # of two clips an id
        (BY_ATTRIBUTES, {"labels": "ward", "clusters": 4}, {"labels": "vq", "clusters": 8}, True),
        (BY_ATTRIBUTES, {"labels": "real"}, {"labels": "ward"}, False),  # "real" is the ids
        (ONE, {"labels": "ward", "cluster_by": "spectrum"}, {"labels": "ward", "cluster_by": "embedding"}, False),
        (ONE, {"labels": "real", "cluster_by": "spectrum"}, {"labels": "real", "cluster_by": "embedding"}, False),
        (
            ONE,
            {"labels": "real", "cluster_by": "embedding"},
            {"labels": "kmeans", "cluster_by": "embedding", "clusters": 8},
            True,
        ),
        (USUAL, {"labels": "real", "cluster_by": "spectrum"}, {"labels": "real", "cluster_by": "embedding"}, True),
        (BY_ATTRIBUTES, {"labels": "vq", "cluster_by": "spectrum"}, {"labels": "vq", "cluster_by": "embedding"}, True),
        (ONE, {"labels": "real", "lr": 0.1}, {"labels": "kmeans", "lr": 0.2}, False),
    ],
)
def test_labels_that_give_equal_classes_have_one_effect(
    rows: tuple[tuple[str, str, str], ...], first: dict[str, Any], second: dict[str, Any], is_equal: bool
) -> None:
    effect = effect_of_labels(clips(*rows))
    assert (effect({"clusters": 8, **first}) == effect({"clusters": 8, **second})) == is_equal


def test_clips_that_are_copies_are_no_clusters_of_their_own() -> None:
    own = clips(*ONE)
    own.train["digest"] = ["a", "b"] * 5
    effect = effect_of_labels(own)
    assert effect({"labels": "vq", "clusters": 4}) == effect({"labels": "vq", "clusters": 32})
    assert effect({"x": 1}) == {"x": 1}


@pytest.mark.parametrize("labels", [("real", "kmeans", 8), ("kmeans", "kmeans", 16)])
def test_settings_of_one_effect_give_equal_classes(labels: tuple[str, str, int], bank_of_noise: ClipSet) -> None:
    """Ten clips of one id."""
    first, second, clusters = labels
    context = Context()
    found = [
        training_classes(bank_of_noise, context, name, number)
        for name, number in ((first, 8 if first == "real" else 32), (second, clusters))
    ]
    assert found[0][0].names == found[1][0].names
    assert found[0][1].tolist() == found[1][1].tolist()


@pytest.fixture
def bank_of_noise() -> ClipSet:
    sounds = [np.random.default_rng(n).normal(0, 1000, 8_000).astype(np.int16) for n in range(10)]
    return ClipSet(WaveBank(sounds, machine="fan", rate=16_000, ids=["00"] * 10), np.arange(10))


def test_the_plan_says_that_microphones_are_not_searched() -> None:
    space = family("twfr_gmm").search_space()
    settings = {objective: Settings(objective=objective) for objective in ("labels", "normal-only")}

    def notes(objective: str, **fixed: str) -> list[str]:
        own = replace(space, fixed=fixed).without(["microphone"])
        return list(notes_of_microphones({(("fan",), "twfr_gmm"): own}, {("fan",): settings[objective]}))

    (note,) = notes("normal-only")
    assert note.startswith("the microphone is not searched for fan: trials are compared by injected faults")
    assert notes("labels") == notes("normal-only", microphone="far") == []


def test_masks_of_spectrograms_need_one() -> None:
    space = family("embedding_knn").search_space()
    for branches in ("fft", "stft", "multi"):
        params = draw(space, FixedTrial({**space.known, "branches": branches, "spec_masks": 2}))
        assert params.get("spec_masks", 0) == (0 if branches == "fft" else 2)


def test_a_space_of_encoders_that_are_not_brought_is_told() -> None:
    space = family("pretrained").search_space()
    brought = replace(space, needs_weights=True, weights={"encoder": {"dasheng": "dasheng:1a2b3c4d5e6f"}})
    other = replace(brought, space=lambda trial: {"encoder": trial.suggest_categorical("encoder", ["beats"])})
    with pytest.raises(AsdRayError, match="suggests 'beats' for 'encoder', and the values that can be tried are 'dash"):
        first_draw(other)


def test_weights_of_a_parameter_that_the_paper_does_not_name() -> None:
    space = family("pretrained").search_space()
    paper = {name: value for name, value in space.paper.items() if name != "encoder"}
    own = replace(space, paper=paper, needs_weights=True, weights={"encoder": {"beats": "beats:1a2b3c4d5e6f"}})
    assert "encoder" not in own.first
    silent = replace(own, space=lambda trial: {})
    assert first_draw(silent).params == paper
    with pytest.raises(AsdRayError, match="suggests 'encoder', which PAPER does not have"):
        first_draw(replace(own, space=lambda trial: {"encoder": trial.suggest_categorical("encoder", ["beats"])}))
