"""Values that are fixed by --set or `fixed_params`: how they are read and checked, and what a space then draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.families import FAMILIES, Space, family
from asd_ray.families.drawing import draw, first_draw, redraw
from asd_ray.families.fixed import fixed_by_family, read_settings, read_value

PAPER: dict[str, Any] = {
    "kind": "flat",
    "depth": 8,
    "lr": 1e-3,
    "mix": False,
    "order": None,
    "share": 1,
    "norm": "all",
}


def draw_some(trial: Any) -> dict[str, Any]:
    params = {
        "kind": trial.suggest_categorical("kind", ["flat", "deep"]),
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "share": trial.suggest_float("share", 0.0, 1.0),
        "norm": trial.suggest_categorical("norm", ["all", None]),
    }
    if params["kind"] == "deep":
        params["depth"] = trial.suggest_int(name="depth", low=4, high=64)
    return params


SPACE = Space("mine.py", PAPER, draw_some)
SPACES = {"mine": SPACE, "other": Space("other.py", {"lr": 0.5, "epochs": 5}, lambda trial: {})}


def fixed(**values: Any) -> Space:
    return Space("mine.py", PAPER, draw_some, values)


def draws(space: Space, count: int) -> list[tuple[dict[str, Any], set[str]]]:
    """The parameters of some random draws, with the names that Optuna drew."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(count)]
    return [(draw(space, trial), set(trial.params)) for trial in trials]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("softmax", "softmax"),
        ("", ""),
        ("20", 20),
        ("-3", -3),
        ("20.0", 20.0),
        ("1e-4", 1e-4),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("none", "none"),
        ("nan", "nan"),
        ("1e999", "1e999"),
        ('"20"', "20"),
        ('"open', '"open'),
        ("a=b", "a=b"),
        ("sgram+tgram", "sgram+tgram"),
        ("1" * 5000, "1" * 5000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_is_a_number_true_false_null_or_text(text: str, value: object) -> None:
    assert read_settings([f"mine.lr={text}"]) == {"mine.lr": value}
    assert type(read_value(text)) is type(value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["softmax"], "--set softmax: give [FAMILY.]NAME=VALUE, such as head=softmax"),
        (["=3"], "--set =3: give [FAMILY.]NAME=VALUE"),
        (["lr=1", "lr=2"], "--set lr=2: lr has a value already, 1; give one"),
    ],
)
def test_a_setting_without_a_name_or_with_two_values_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(AsdRayError) as raised:
        read_settings(texts)
    assert str(raised.value).startswith(message)


def test_a_setting_applies_to_each_family_that_has_it_unless_it_names_one() -> None:
    assert fixed_by_family({"lr": 0.1, "mine.depth": 9}, SPACES) == {
        "mine": {"lr": 0.1, "depth": 9},
        "other": {"lr": 0.1},
    }
    for settings in ({"lr": 0.1, "mine.lr": 0.2}, {"mine.lr": 0.2, "lr": 0.1}):
        assert fixed_by_family(settings, SPACES) == {"mine": {"lr": 0.2}, "other": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("lr", 1, 1.0),
        ("lr", np.float32(0.5), 0.5),
        ("depth", 4.0, 4),
        ("depth", 1000, 1000),  # out of the range of the space: it is not drawn
        ("kind", "wide", "wide"),
        ("mix", True, True),
        ("order", 3, 3),  # PAPER has None, which is of no type
        ("share", 0.25, 0.25),  # PAPER has 1, and the space draws numbers
        ("norm", None, None),  # a choice of the space
    ],
)
def test_a_value_gets_the_type_of_the_papers(name: str, given: object, value: object) -> None:
    checked = fixed_by_family({f"mine.{name}": given}, SPACES)["mine"][name]
    assert checked == value
    assert type(checked) is type(value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"deep": 3},
            "--set deep: unknown parameter 'deep'; did you mean 'depth'? known: depth, epochs, kind, lr, mix, ",
        ),
        ({"other.depth": 3}, "--set other.depth: unknown parameter of other 'depth'; known: epochs, lr"),
        ({"idnn.lr": 0.1}, "--set idnn.lr: this command searches mine, other, not idnn; name it with --families"),
        ({"othr.lr": 0.1}, "--set othr.lr: unknown family 'othr'; did you mean 'other'? known: mine, other"),
        ({"lr": "fast"}, "--set lr='fast': lr of mine is a number; PAPER has 0.001"),
        ({"lr": True}, "--set lr=True: lr of mine is a number"),
        ({"depth": 2.5}, "--set depth=2.5: depth of mine is a whole number; PAPER has 8"),
        ({"depth": None}, "--set depth=None: depth of mine is a whole number"),
        ({"kind": 3}, "--set kind=3: kind of mine is text; PAPER has 'flat'"),
        ({"mix": 1}, "--set mix=1: mix of mine is true or false; PAPER has False"),
        ({"epochs": 0}, "--set epochs=0: give a whole number from 1"),
        ({"lr": float("inf")}, "--set lr=inf: a parameter is a finite number below 1e300"),
        ({"lr": [0.1]}, "--set lr=[0.1]: a parameter is a finite number below 1e300, short text, True, False or None"),
        ({"mine": {"lr": 0.1}}, "--set mine: unknown parameter 'mine'"),
        ({3: 0.1}, "--set 3: give [FAMILY.]NAME=VALUE"),
        (["lr=0.1"], "--set takes names and values, such as {"),
    ],
    ids=repr,
)
def test_what_cannot_be_fixed_is_refused_with_what_can(settings: Any, message: str) -> None:
    with pytest.raises(AsdRayError) as raised:
        fixed_by_family(settings, SPACES)
    assert str(raised.value).startswith(message)


def test_a_fixed_parameter_is_the_same_in_every_draw_and_optuna_does_not_draw_it() -> None:
    for params, drawn in draws(fixed(lr=0.5, mix=True), 30):
        assert params["lr"] == 0.5
        assert params["mix"] is True
        assert drawn in ({"kind", "share", "norm"}, {"kind", "share", "norm", "depth"})


def test_the_space_sees_the_fixed_value() -> None:
    assert all("depth" in drawn for _, drawn in draws(fixed(kind="deep"), 5))
    assert all("depth" not in drawn for _, drawn in draws(fixed(kind="flat"), 20))
    assert {params["depth"] for params, _ in draws(fixed(kind="deep", depth=5), 5)} == {5}


def test_the_first_draw_is_the_papers_with_the_fixed_values() -> None:
    first = first_draw(fixed(kind="deep", lr=0.5))
    assert first.params == {**PAPER, "kind": "deep", "lr": 0.5}
    assert first.suggested == {"share": 1, "norm": "all", "depth": 8}
    assert first_draw(SPACE).params == PAPER


def test_only_parameters_with_the_fixed_values_are_draws() -> None:
    params = {**PAPER, "kind": "deep", "depth": 16}
    assert redraw(fixed(kind="deep"), params) == redraw(fixed(kind="deep"), dict(params))
    found = redraw(fixed(kind="deep"), params)
    assert found is not None
    assert "kind" not in found.distributions
    assert redraw(fixed(kind="flat"), params) is None
    assert redraw(fixed(depth=8), params) is None


def test_a_fixed_value_that_papers_values_do_not_suit_has_a_cure() -> None:
    space = Space("mine.py", {**PAPER, "depth": 2}, draw_some, {"kind": "deep"})
    with pytest.raises(AsdRayError) as raised:
        first_draw(space)
    assert str(raised.value) == (
        "with --set kind='deep': mine.py: PAPER['depth'] = 2 is out of the range 4 … 64 of space(); widen it; or give "
        "this parameter a value by --set, too"
    )
    assert first_draw(Space("mine.py", space.paper, draw_some, {"kind": "deep", "depth": 2})).params["depth"] == 2


def test_every_value_that_a_shipped_space_can_draw_can_be_fixed() -> None:
    for name in FAMILIES:
        space = family(name).search_space()
        drawn = [params for params, _ in draws(space, 20)]
        for parameter in space.paper:
            for value in {params[parameter] for params in drawn}:
                fixed = fixed_by_family({f"{name}.{parameter}": value}, {name: space})[name]
                assert fixed == {parameter: value}
                assert first_draw(replace(space, fixed=fixed)).params[parameter] == value
