"""Which candidates the slots of a recipe allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.recipe import Recipe, Slot

if TYPE_CHECKING:
    import pandas as pd

Rows = npt.NDArray[np.intp]


def slot_rows(recipe: Recipe, table: pd.DataFrame) -> list[Rows]:
    """The candidates that each slot of a recipe allows."""
    return [np.flatnonzero(fits(slot, table)) for slot in recipe.slots]


def fits(slot: Slot, table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """A mask of the candidates that a slot allows."""
    allowed = (table["family"] == slot.family).to_numpy(copy=True)
    if slot.variants:
        allowed &= table["variant"].isin(slot.variants).to_numpy()
    for name, value in slot.params.items():
        allowed &= np.array([params.get(name) == value for params in table["params"]], bool)
    return allowed
