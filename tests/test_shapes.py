"""What is said of a value that does not have the shape that it must have."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from asd_ray._shapes import (
    DictOf,
    Fields,
    Flag,
    Items,
    ListOf,
    Maybe,
    Number,
    OneOf,
    Scalar,
    Shape,
    Text,
    Whole,
    fault,
    object_of,
)

POINT = object_of({"note": Text()}, x=Number(), y=Number())
NESTED = object_of(members=ListOf(object_of(weight=Number(0, 1, above=True), cells=DictOf(Items((Flag(), Whole()))))))


@pytest.mark.parametrize(
    ("shape", "value", "told"),
    [
        (Number(0, 1), 1, ""),
        (Number(0, 1), 0, ""),
        (Number(0, 1, above=True), 5e-324, ""),
        (Number(0, 1, above=True), 0.0, "it must be a number above 0 to 1 but is 0.0"),
        (Number(0, 1), math.nan, "it must be a number from 0 to 1 but is nan"),
        (Number(0, 1), True, "it must be a number from 0 to 1 but is True"),
        (Number(0, 1), 10**400, "it must be a number from 0 to 1 but is a number of more than 60 digits"),
        (Whole(1, 9), 9, ""),
        (Whole(1, 9), 9.0, "it must be a whole number from 1 to 9 but is 9.0"),
        (Whole(1, 9), False, "it must be a whole number from 1 to 9 but is False"),
        (Text(3), "abc", ""),
        (Text(3), "abcd", "it must be text of at most 3 characters but has 4: 'abcd'"),
        (Text(math.inf), "x" * 100_000, ""),
        (Text(), ["x"], "it must be text but is a list of 1"),
        (OneOf(("a", "b")), "b", ""),
        (OneOf(("a", "b")), "c", "it must be a or b but is 'c'"),
        (OneOf({"a": 1}), ["a"], "it must be a but is a list of 1"),
        (Flag(), 1, "it must be true or false but is 1"),
        (Maybe(Flag()), None, ""),
        (Maybe(Flag()), 0, "it must be true or false but is 0"),
        (Scalar(), True, ""),
        (Scalar(), math.inf, "it must be a finite number, short text, true, false or null but is inf"),
        (ListOf(Text(), least=1), [], "it must be a list of at least 1 but has 0"),
        (ListOf(Text()), {}, "it must be a list but is an object of 0"),
        (ListOf(Text()), ["a", "b", 3], "2 must be text but is 3"),
        (Items((Flag(), Whole())), [True, 1], ""),
        (Items((Flag(), Whole())), [True], "it must be a list of 2 but is a list of 1"),
        (DictOf(Whole(), re.compile("[a-z]")), {"A": 1}, "it has the key 'A', which must match [a-z]"),
        (DictOf(Whole()), {"x" * 4001: 1}, f"it has the key '{'x' * 59}…, which must be short text"),
        (DictOf(Whole()), {"x" * 100: ""}, f"{'x' * 60} must be a whole number from 0 to 1e+09 but is ''"),
        (POINT, {"x": 1, "y": 2, "z": "of a newer version"}, ""),
        (POINT, {"x": 1, "note": ""}, "it lacks y"),
        (POINT, {}, "it lacks x, y"),
        (POINT, {"x": 1, "y": 2, "note": None}, "note must be text but is None"),
        (POINT, [], "it must be an object but is a list of 0"),
        (Fields({"x": Number()}), {}, ""),
        (NESTED, {"members": [{"weight": 0, "cells": {}}]}, "members/0/weight must be a number above 0 to 1 but is 0"),
        (NESTED, {"members": [{"weight": 1}]}, "members/0 lacks cells"),
        (
            NESTED,
            {"members": [{"weight": 1, "cells": {"a": [True, 1], "b": [False, None]}}]},
            "members/0/cells/b/1 must be a whole number from 0 to 1e+09 but is None",
        ),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_the_first_fault_is_said_with_its_path(shape: Shape, value: Any, told: str) -> None:
    assert fault(shape, value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"x": 1, "y": 2}, ""),
        ({"x": 1, "y": []}, "a.json/y must be a number from -1e+30 to 1e+30 but is a list of 0"),
        ({"x": 1}, "a.json lacks y"),
    ],
)
def test_where_the_value_stands_comes_first(value: Any, told: str) -> None:
    assert fault(POINT, value, "a.json") == told


def test_a_long_list_in_many_objects_is_looked_at_once() -> None:
    class Counts:
        seen = 0

        def misfit(self, value: Any) -> str:
            self.seen += 1
            return "" if value == 0 else " must be 0"

    counts = Counts()
    shape: Shape = ListOf(counts)
    value: Any = [0] * 99 + [1]
    for _ in range(20):
        shape, value = object_of(a=shape), {"a": value}
    assert fault(shape, value) == "a/" * 20 + "99 must be 0"
    assert counts.seen == 100
