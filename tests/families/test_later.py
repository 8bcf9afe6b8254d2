"""LATER: parameters that were added to a family whose trials are already stored."""

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
from asd_ray.families.space import Space, load_space
from asd_ray.ledger.later_params import LATER, all_params


@pytest.fixture
def space() -> Space:
    return family("id_classifier").search_space()


def test_the_default_is_not_named_and_another_value_is(space: Space) -> None:
    values = {**space.paper, "warp": "image"}
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


def test_it_can_be_fixed(space: Space) -> None:
    def first(settings: dict[str, Any]) -> dict[str, Any]:
        fixed = fixed_by_family(settings, {"id_classifier": space})["id_classifier"]
        return first_draw(replace(space, fixed=fixed)).params

    assert first({"warp": "time"}) == {**space.paper, "warp": "time"}
    assert first({"id_classifier.warp": "image"}) == space.paper


@pytest.mark.parametrize("later", ["[]", '{"lr": 1.0}'])
def test_a_wrong_one_is_refused(tmp_path: Path, later: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(f"PAPER = {{'lr': 0.1}}\nLATER = {later}\ndef space(trial):\n    return {{}}\n")
    with pytest.raises(AsdRayError, match="own.py: LATER must be a dictionary of parameters that PAPER does not have"):
        load_space(file)


def test_a_name_that_the_family_does_not_take_is_refused(space: Space) -> None:
    with pytest.raises(AsdRayError, match="LATER has 'strength', which id_classifier does not take"):
        paper_draw(replace(space, later={**space.later, "strength": 1}), family("id_classifier"))


def test_the_table_beside_the_ledger_has_that_of_the_search_spaces(space: Space) -> None:
    assert {name: own for name in FAMILIES if (own := family(name).search_space().later)} == LATER
    assert all_params("id_classifier", space.paper)["warp"] == "image"
    assert all_params("id_classifier", {"warp": "time"}) == {"warp": "time"}


def test_paper_of_cannot_have_it(space: Space) -> None:
    own = replace(space, paper_of={2020: {"fan": {"warp": "time"}}})
    with pytest.raises(AsdRayError, match="has 'warp', a parameter of LATER, which PAPER_OF cannot have"):
        paper_draw(own, family("id_classifier"))
