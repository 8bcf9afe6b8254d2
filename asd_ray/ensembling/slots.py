"""Which candidates the slots of a recipe allow."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ledger.later_params import all_params

if TYPE_CHECKING:
    import pandas as pd

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


def slot_rows(recipe: Recipe, table: pd.DataFrame) -> list[Rows]:
    """The candidates that each slot of a recipe allows."""
    return [np.flatnonzero(fits(slot, table)) for slot in recipe.slots]


def fits(slot: Slot, table: pd.DataFrame) -> Mask:
    """A mask of the candidates that a slot allows."""
    allowed = (table["family"] == slot.family).to_numpy(copy=True)
    if slot.variants:
        allowed &= table["variant"].isin(slot.variants).to_numpy()
    for name, value in slot.params.items():
        allowed &= np.array([all_params(slot.family, params).get(name) == value for params in table["params"]], bool)
    return allowed & _of_one_paper_trial(allowed, table) if slot.paper else allowed


def _of_one_paper_trial(allowed: Mask, table: pd.DataFrame) -> Mask:
    """A mask of one trial with the paper's setting, among the `allowed` ones.

    Such a setting may have been trained with several seeds, or shortened by --epochs-cap. The longest training counts,
    and of equal ones the lowest number. No label decides.
    """
    rows = np.flatnonzero(allowed & table["paper"].to_numpy(bool))
    if not len(rows):
        return np.zeros(len(table), bool)
    epochs, numbers, trials = (table[name].to_numpy() for name in ("epochs", "number", "trial"))
    first = min(rows, key=lambda row: (-epochs[row], numbers[row]))
    return np.asarray(trials == trials[first])


def kept_apart(slot: Slot, table: pd.DataFrame) -> list[Hashable]:
    """A key for each candidate. No two members of a slot have the same one."""
    if not slot.distinct:
        return list(range(len(table)))
    every = [all_params(slot.family, params) for params in table["params"]]
    return [tuple(params.get(name) for name in slot.distinct) for params in every]


def best_of_each(slot: Slot, table: pd.DataFrame, order: Sequence[int]) -> list[int]:
    """Of candidates in an order, the first of each key of `kept_apart`."""
    keys, first = kept_apart(slot, table), dict[Hashable, int]()
    for row in order:
        first.setdefault(keys[row], int(row))
    return list(first.values())
