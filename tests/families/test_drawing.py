from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from asd_ray.families import FAMILIES, Space, family
from asd_ray.families.drawing import redraw

PAPER = {"lr": 0.001, "pooling": "mean", "epochs": 100}


def draw_some(trial: Any) -> dict[str, Any]:
    pooling = trial.suggest_categorical("pooling", ["mean", "max"])
    return {
        "pooling": pooling,
        **({"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)} if pooling == "mean" else {}),
    }


SPACE = Space("mine.py", PAPER, draw_some)


def test_a_draw_has_the_distributions_of_what_was_suggested() -> None:
    draw = redraw(SPACE, {"lr": 0.002, "pooling": "mean", "epochs": 100})
    assert draw is not None
    assert draw.params == {"lr": 0.002, "pooling": "mean", "epochs": 100}
    assert draw.distributions == {
        "pooling": CategoricalDistribution(("mean", "max")),
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
    }
    draw = redraw(SPACE, {"lr": 0.001, "pooling": "max", "epochs": 100})
    assert draw is not None
    assert list(draw.distributions) == ["pooling"]


@pytest.mark.parametrize(
    "params",
    [
        {"lr": 0.1, "pooling": "mean", "epochs": 100},  # out of the range
        {"lr": 0.002, "pooling": "min", "epochs": 100},  # none of the choices
        {"lr": 0.002, "pooling": "mean", "epochs": 50},  # the space does not change it
        {"lr": 0.002, "pooling": "max", "epochs": 100},  # the space does not change it for this pooling
        {"pooling": "mean", "epochs": 100},
        {"lr": 0.002, "pooling": "mean", "epochs": 100, "layers": 3},
        {},
    ],
)
def test_parameters_that_the_space_cannot_give_have_no_draw(params: dict[str, Any]) -> None:
    assert redraw(SPACE, params) is None


def test_a_space_that_raises_has_no_draw() -> None:
    def broken(trial: Any) -> dict[str, Any]:
        raise SystemExit(3)

    assert redraw(Space("mine.py", PAPER, broken), PAPER) is None


def test_a_space_that_suggests_nothing_has_a_draw_without_distributions() -> None:
    draw = redraw(Space("mine.py", PAPER, lambda trial: {}), PAPER)
    assert draw is not None
    assert draw.distributions == {}


def test_the_paper_s_setting_of_every_family_is_a_draw_of_its_space() -> None:
    assert len(FAMILIES) == 14
    for name in FAMILIES:
        space = family(name).search_space()
        draw = redraw(space, space.paper)
        assert draw is not None, name
        assert set(draw.distributions) <= set(space.known)
