"""Parameters that later versions added to a family, with the value that earlier trials had.

A trial with this value does not name the parameter, so it keeps its hash. Neither does PAPER of the family. Search
spaces read it, and the choice by stored parameters, such as that of a recipe's slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LATER: dict[str, dict[str, Any]] = {
    "aegan_ad": {"backends": ""},
    "complex_net": {"labels": "real", "clusters": 8},
    "embedding_knn": {
        "featex": 0.0,
        "branch_losses": 0.0,
        "spec_masks": 0,
        "balance": 0.0,
        "labels": "real",
        "clusters": 8,
    },
    "ganomaly": {"backends": ""},
    "id_classifier": {"warp": "image", "labels": "real", "clusters": 8},
    "stgram": {"labels": "real", "clusters": 8},
}


def all_params(family: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters, also those that it does not name."""
    return {**LATER.get(family, {}), **params}
