"""Values that a user fixes for a whole search, by --set or as `fixed_params`: read, and checked against PAPER."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution

from asd_ray.errors import AsdRayError, unknown
from asd_ray.families.drawing import first_draw, plain_value, value_fault
from asd_ray.families.space import Space
from asd_ray.families.table import FAMILIES
from asd_ray.families.user_code import shown

WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
WHOLE = re.compile(r"[+-]?[0-9]{1,300}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
FORM = "give [FAMILY.]NAME=VALUE, such as head=softmax or stgram.head=softmax"


def read_settings(texts: list[str]) -> dict[str, Any]:
    """Texts such as ``stgram.head=softmax`` as a dictionary: {"stgram.head": "softmax"}."""
    settings: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise AsdRayError(f"--set {text}: {FORM}")
        if key in settings:
            raise AsdRayError(f"--set {text}: {key} has a value already, {shown(settings[key])}; give one")
        settings[key] = read_value(value)
    return settings


def read_value(text: str) -> Any:
    """A number, true, false or null as in JSON; text in double quotes as JSON; any other word as text."""
    if text in WORDS:
        return WORDS[text]
    if WHOLE.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    if text.startswith('"'):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def fixed_by_family(settings: Mapping[str, Any], spaces: Mapping[str, Space]) -> dict[str, dict[str, Any]]:
    """The fixed values of each family; `spaces` are those of the searched families.

    A setting without a family applies to every family that has the parameter. One with a family comes before it.
    """
    if not isinstance(settings, Mapping):
        raise AsdRayError(f'--set takes names and values, such as {{"stgram.head": "softmax"}}, not {shown(settings)}')
    general: dict[str, dict[str, Any]] = {name: {} for name in spaces}
    own: dict[str, dict[str, Any]] = {name: {} for name in spaces}
    for key, value in settings.items():
        if not isinstance(key, str) or not key:
            raise AsdRayError(f"--set {shown(key)}: {FORM}")
        family, _, name = key.rpartition(".")
        if family:
            _must_be_searched(key, family, spaces)
            own[family][name] = _checked(key, family, name, value, spaces[family])
            continue
        having = [each for each, space in spaces.items() if name in space.known]
        if not having:
            known = {each for space in spaces.values() for each in space.known}
            raise AsdRayError(f"--set {key}: {unknown('parameter', name, known)}")
        for each in having:
            general[each][name] = _checked(key, each, name, value, spaces[each])
    return {name: {**general[name], **own[name]} for name in spaces}


def _must_be_searched(key: str, family: str, spaces: Mapping[str, Space]) -> None:
    if family in spaces:
        return
    if family in FAMILIES:
        names = ", ".join(spaces)
        raise AsdRayError(f"--set {key}: this command searches {names}, not {family}; name it with --families")
    raise AsdRayError(f"--set {key}: {unknown('family', family, spaces)}")


def _checked(key: str, family: str, name: str, value: Any, space: Space) -> Any:
    """The value in the type of the paper's value: hashes of trials tell 30 from 30.0."""
    if name not in space.known:
        raise AsdRayError(f"--set {key}: {unknown(f'parameter of {family}', name, space.known)}")
    value, paper = plain_value(value), plain_value(space.known[name])
    if cure := value_fault(name, value):
        raise AsdRayError(f"--set {key}={shown(value)}: {cure}")
    drawn = first_draw(replace(space, fixed={})).distributions.get(name)
    if isinstance(drawn, CategoricalDistribution):
        for choice in drawn.choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice
    kind = float if isinstance(drawn, FloatDistribution) else type(paper)
    if paper is None or type(value) is kind:
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (kind is float or (kind is int and value == int(value))):
        return kind(value)
    raise AsdRayError(f"--set {key}={shown(value)}: {name} of {family} is {KINDS[kind]}; PAPER has {shown(paper)}")
