"""Settings that have no effect on the clips of a study are not drawn, because they would repeat a trial."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from optuna.trial import FixedTrial

from asd_ray.detectors import family
from asd_ray.detectors.parts.supplemental import COUNTS
from asd_ray.errors import AsdRayError
from asd_ray.families.drawing import draw, first_draw
from asd_ray.ledger import Settings
from asd_ray.tuning.idle import idle_names, notes_of_microphones
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
        ([("00", "source", FAST), ("00", "target", SLOW)], 2, "labels", {"labels", "clusters"}),
        ([("00", "source", FAST), ("00", "target", FAST)], 2, "labels", set()),  # the id is clustered
        ([("00", "source", FAST), ("00", "target", SLOW), ("00", "target", NONE)], 2, "labels", set()),
        # with several ids "real" is the ids, and any method gives the attributes
        ([(id, "source", a) for id in ("00", "01") for a in (FAST, SLOW)], 2, "labels", {"balance", "clusters"}),
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
    values = {**space.known, "labels": "ward", "clusters": 32}
    drawn = draw(space.without(["labels", "clusters"], of_paper=True), FixedTrial(values))
    assert drawn == draw(space, FixedTrial(dict(space.known)))
    assert draw(space, FixedTrial(values))["labels"] == "ward"
    kept = space.without(["labels"]).idle
    assert ("labels" in kept) == ("labels" not in space.paper)  # a user's own parameter of that name stays drawn


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
