"""Parameters that later versions added to a family, with the value that earlier trials had.

A trial with this value does not name the parameter, so it keeps its hash. Read where stored parameters are compared
with values that somebody wrote, such as those of a recipe's slot. It is LATER of the search spaces, as data beside the
ledger, so that no floor has to run a search space for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LATER: dict[str, dict[str, Any]] = {"id_classifier": {"warp": "image"}}


def all_params(family: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters, also those that it does not name."""
    return {**LATER.get(family, {}), **params}
