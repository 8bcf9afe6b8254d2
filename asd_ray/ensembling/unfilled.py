"""The slots of a recipe that no candidate fits: what each asks for, and the command that would search it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asd_ray._shipped import shipped
from asd_ray.ensembling.candidates import CONSTANT, TEST_OTHERS, Candidates, LeftOut
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ensembling.slots import fits
from asd_ray.errors import unknown
from asd_ray.ledger.later_params import all_params

if TYPE_CHECKING:
    import pandas as pd

WORD = re.compile(r"[^\W\d][\w.,+-]*")  # text that --set reads as it stands, unless it is one of `VALUES`
VALUES = ("true", "True", "false", "False", "null", "None")


def slots_lacking(recipe: Recipe, candidates: Candidates) -> str:
    """A message on the slots that no candidate fits, if the recipe needs them; "" otherwise."""
    lacking = [slot for slot in recipe.slots if not fits(slot, candidates.table).any() or _strange(slot, candidates)]
    if not lacking or (recipe.select != "slots" and len(lacking) < len(recipe.slots)):
        return ""
    reasons = [(slot, _slot_lacking(slot, candidates)) for slot in lacking]
    not_run = [slot for slot, reason in reasons if not reason]
    parts = [reason for _, reason in reasons if reason]
    if not_run:
        commands = " and ".join(_searches(not_run, candidates))
        parts.append(f"needs {'; '.join(map(str, not_run))}, which no complete trial has; run: {commands}")
    return "; and ".join(parts)


def _searches(slots: Sequence[Slot], candidates: Candidates) -> list[str]:
    """The commands that search these slots: several families in one, but each of its settings of a family in its own.

    A parameter that all stored trials of the family have with this value needs no --set.
    """
    commands: list[dict[str, Mapping[str, Any]]] = []  # family -> parameters to fix
    for slot in slots:
        known = _own_params(slot, candidates)
        fixed = {
            name: value
            for name, value in slot.params.items()
            if not known or any(params.get(name) != value for params in known)
        }
        for families in commands:
            if families.setdefault(slot.family, fixed) == fixed:
                break
        else:
            commands.append({slot.family: fixed})
    return [_search(families, candidates) for families in commands]


def _search(families: Mapping[str, Mapping[str, Any]], candidates: Candidates) -> str:
    options = [
        word
        for family, fixed in families.items()
        for name, value in fixed.items()
        for word in ("--set", f"{family + '.' if len(families) > 1 else ''}{name}={_as_setting(value)}")
    ]
    return candidates.search(list(families), *options)


def _as_setting(value: Any) -> str:
    """A value as --set reads it. Text that could be a number or another value is in double quotes."""
    if isinstance(value, str) and WORD.fullmatch(value) and value not in VALUES:
        return value
    return json.dumps(value)


def _strange(slot: Slot, candidates: Candidates) -> list[str]:
    """The parameters that a slot names and no trial of its family has."""
    return sorted({*slot.params, *slot.distinct} - _parameters(slot, candidates))


def _parameters(slot: Slot, candidates: Candidates) -> set[str]:
    return {name for params in _own_params(slot, candidates) for name in params}


def _own_params(slot: Slot, candidates: Candidates) -> list[dict[str, Any]]:
    return [all_params(slot.family, params) for params in _own(slot, candidates)["params"]]


def _own(slot: Slot, candidates: Candidates) -> pd.DataFrame:
    return candidates.table[candidates.table["family"] == slot.family]


def _slot_lacking(slot: Slot, candidates: Candidates) -> str:
    """The reason why no candidate fits a slot, with its cure; "" if no such trial was run."""
    own = _own(slot, candidates)
    left_out = [candidate for candidate in candidates.left_out if candidate.family == slot.family]
    if left_out and (own.empty or any(candidate.variant in slot.variants for candidate in left_out)):
        return f"needs {slot}, whose candidates cannot be used{reasons_of(left_out)}; {_cure(left_out[0], candidates)}"
    if own.empty:
        known = {path.stem for path in shipped("search_spaces").glob("*.py")} | set(candidates.table["family"])
        if slot.family not in known:
            return (
                f"has an {unknown('family', slot.family[:60], known)}; a family of your own has the name that asd-ray "
                "ledger ls shows, once it was searched"
            )
        return ""
    if slot.variants and not own["variant"].isin(slot.variants).any():
        variants = ", ".join(sorted(set(own["variant"])))
        return f"needs {slot}, but the variants of {slot.family} are {variants}; name one of these"
    parameters = _parameters(slot, candidates)
    if strange := _strange(slot, candidates):
        known_parameters = ", ".join(sorted(parameters)) or "none"
        return f"needs {slot}, but no trial of {slot.family} has a parameter {strange[0]}; known: {known_parameters}"
    return ""


def _cure(left_out: LeftOut, candidates: Candidates) -> str:
    search = candidates.search([left_out.family])
    if left_out.reason == CONSTANT:
        return f"constant scores cannot be standardised: the detector learned nothing; search other settings: {search}"
    if left_out.reason == TEST_OTHERS:
        search = replace(candidates, run="").search([left_out.family], "--run")
        return f"their clips are those of another dataset; search in a separate run: {search} OTHER_RUN"
    return f"standardise by other clips: --by {'held_out' if candidates.by == 'train' else 'train'}"


def reasons_of(left_out: Sequence[LeftOut]) -> str:
    """`` (constant scores: fan-idnn-0000 mse and 3 more)``"""
    names_of: dict[str, list[str]] = {}
    for candidate in left_out:
        names_of.setdefault(candidate.reason, []).append(f"{candidate.name} {candidate.variant}".strip())
    parts = [
        f"{reason}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for reason, names in names_of.items()
    ]
    return f" ({'; '.join(parts)})" if parts else ""
