"""Parameters that later versions added to a family, with the value that earlier trials had.

A trial with this value does not name the parameter, so it keeps its hash. Neither does PAPER of the family. Search
spaces read it, and the choice by stored parameters, such as that of a recipe's slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MICROPHONE: dict[str, Any] = {"microphone": "near", "far_share": 0.5}
LATER: dict[str, dict[str, Any]] = {
    "autoencoder": {**_MICROPHONE},
    "embedding_knn": {**_MICROPHONE, "subtract": "embedding"},
    "id_classifier": {"warp": "image"},
    "twfr_gmm": {**_MICROPHONE},
}


def all_params(family: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters, also those that it does not name."""
    return {**LATER.get(family, {}), **params}
