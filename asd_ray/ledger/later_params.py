"""Parameters that later versions added to a family, with the value that earlier trials had.

A trial with this value does not name the parameter, so it keeps its hash. Neither does PAPER of the family. Search
spaces read it, and the choice by stored parameters, such as that of a recipe's slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SUPPLEMENTAL: dict[str, Any] = {"supplemental_class": False, "supplemental_bank": False}
LATER: dict[str, dict[str, Any]] = {
    "autoencoder": {"subtract_noise": 0.0},
    "complex_net": SUPPLEMENTAL,
    "embedding_knn": {"noise_mix": 0.0, **SUPPLEMENTAL},
    "id_classifier": {"warp": "image", **SUPPLEMENTAL},
    "idnn": {"subtract_noise": 0.0},
    "stgram": {"noise_mix": 0.0, **SUPPLEMENTAL},
    "twfr_gmm": {"subtract_noise": 0.0},
}


def all_params(family: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters, also those that it does not name."""
    return {**LATER.get(family, {}), **params}
