"""Parameters that were added to a family whose trials are already stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FixedTrial

from asd_ray.detectors import FAMILIES, family
from asd_ray.errors import AsdRayError
from asd_ray.families.drawing import draw, first_draw, paper_draw, redraw
from asd_ray.families.fixed import fixed_by_family
from asd_ray.families.space import Space
from asd_ray.families.supplemental import USES, without_effect
from asd_ray.ledger.later_params import LATER, all_params


@pytest.fixture
def space() -> Space:
    return family("id_classifier").search_space()


def test_the_default_is_not_named_and_another_value_is(space: Space) -> None:
    values = {**space.paper, **LATER["id_classifier"]}
    assert draw(space, FixedTrial(values)) == space.paper
    assert draw(space, FixedTrial({**values, "warp": "time"})) == {**space.paper, "warp": "time"}
    assert first_draw(space).params == space.paper
    assert first_draw(space).suggested["warp"] == paper_draw(space, family("id_classifier"))["warp"] == "image"


@pytest.mark.parametrize("warp", ["image", "time"])
def test_stored_trials_have_their_draw_again(space: Space, warp: str) -> None:
    params = space.paper | ({} if warp == "image" else {"warp": warp})
    found = redraw(space, params)
    assert found is not None
    assert (found.params, found.suggested["warp"]) == (params, warp)


@pytest.mark.parametrize("name", ["complex_net", "embedding_knn", "id_classifier", "stgram"])
def test_the_labels_of_a_classifier_are_searched(name: str) -> None:
    own = family(name).search_space()
    for values in ({"labels": "real"}, {"labels": "ward", "clusters": 32}):
        params = draw(own, FixedTrial({**own.known, **values}))
        assert params == own.paper | ({} if values["labels"] == "real" else values)
        found = redraw(own, params)
        assert found is not None
        assert ("clusters" in found.distributions) == (values["labels"] != "real")
    assert draw(own, FixedTrial({**own.known, "labels": "vq", "clusters": 8})) == own.paper | {"labels": "vq"}


def test_it_can_be_fixed(space: Space) -> None:
    def first(settings: dict[str, Any]) -> dict[str, Any]:
        fixed = fixed_by_family(settings, {"id_classifier": space})["id_classifier"]
        return first_draw(replace(space, fixed=fixed)).params

    assert first({"warp": "time"}) == {**space.paper, "warp": "time"}
    assert first({"id_classifier.warp": "image"}) == space.paper


def test_a_space_of_a_user_has_it_too_unless_it_names_it(tmp_path: Path) -> None:
    """A copy of the file that an earlier version shipped, and one whose PAPER names it."""
    file, own = tmp_path / "own.py", family("id_classifier")
    file.write_text(f"PAPER = {own.search_space().paper!r}\ndef space(trial):\n    return {{}}\n")
    assert own.search_space(file).later == LATER["id_classifier"]
    file.write_text(f"PAPER = {own.search_space().paper | {'warp': 'time'}!r}\ndef space(trial):\n    return {{}}\n")
    named = own.search_space(file)
    others = {name: value for name, value in LATER["id_classifier"].items() if name != "warp"}
    assert (named.later, first_draw(named).params) == (others, own.search_space().paper | {"warp": "time"})
    paper_draw(named, own)


def test_stored_parameters_are_completed(space: Space) -> None:
    assert set(LATER) <= set(FAMILIES)
    assert all_params("id_classifier", space.paper)["warp"] == "image"
    assert all_params("id_classifier", {"warp": "time"}) == {**LATER["id_classifier"], "warp": "time"}


def test_paper_of_cannot_have_it(space: Space) -> None:
    own = replace(space, paper_of={2020: {"fan": {"warp": "time"}}})
    with pytest.raises(AsdRayError, match="has 'warp', which PAPER_OF cannot have: PAPER does not name it"):
        paper_draw(own, family("id_classifier"))


@pytest.mark.parametrize(
    "own",
    [{}, {"branches": "fft"}, {"branches": "multi", "featex": 0.5, "branch_losses": 1.0}, {"balance": 0.2}],
    ids=str,
)
def test_parameters_that_only_some_draws_have(own: dict[str, Any]) -> None:
    """A net of one branch has none to exchange, so its draws do not have `featex` and `branch_losses`."""
    space = family("embedding_knn").search_space()
    params = {**space.paper, **own}
    found = redraw(space, params)
    assert found is not None
    assert found.params == params
    assert ("featex" in found.suggested) == (params["branches"] != "fft")


@pytest.mark.parametrize("name", [name for name in LATER if set(LATER[name]) & set(USES)])
def test_what_has_no_effect_on_the_clips_is_not_drawn(name: str) -> None:
    space, idle = family(name).search_space(), without_effect({"machine": 3})
    names = set(idle) & set(space.later)
    assert names == set(space.later) & {"noise_mix", "subtract_noise"}
    used = {one: True if default is False else 1.0 for one, default in space.later.items() if one in USES}
    values = {**space.known, **used}
    drawn, idle_drawn = draw(space, FixedTrial(values)), draw(space.without(idle), FixedTrial(values))
    assert {one for one in values if drawn.get(one) != idle_drawn.get(one)} == names
    assert not names & set(idle_drawn)
    assert not names & set(first_draw(space.without(idle)).distributions)
    if names:
        assert redraw(space, drawn) is not None
        assert redraw(space.without(idle), drawn) is None
        named = replace(space.without(idle), fixed={one: values[one] for one in names})
        assert draw(named, FixedTrial(values)) == drawn  # the user's own choice; the family's `suits` has a word on it
