"""Parameters that later versions added to a family, with the value that earlier trials had.

A trial with this value does not name the parameter, so it keeps its hash. Neither does PAPER of the family. Search
spaces read it, and the choice by stored parameters, such as that of a recipe's slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLASSES: dict[str, Any] = {"labels": "real", "clusters": 8}
SUPPLEMENTAL: dict[str, Any] = {"supplemental_class": False, "supplemental_bank": False}
CLASSIFIER: dict[str, Any] = {**CLASSES, **SUPPLEMENTAL}
MICROPHONE: dict[str, Any] = {"microphone": "near", "far_share": 0.5}
LATER: dict[str, dict[str, Any]] = {
    "aegan_ad": {"backends": "", "train_ids": ""},
    "autoencoder": {"subtract_noise": 0.0, **MICROPHONE},
    "complex_net": CLASSIFIER,
    "embedding_knn": {
        **{"featex": 0.0, "branch_losses": 0.0, "spec_masks": 0, "balance": 0.0, "noise_mix": 0.0},
        **CLASSIFIER,
        **MICROPHONE,
        "subtract": "embedding",
    },
    "finetuned": {"noise_mix": 0.0, **SUPPLEMENTAL, "cluster_by": "spectrum"},
    "ganomaly": {"backends": ""},
    "id_classifier": {"warp": "image", **CLASSIFIER},
    "idnn": {"subtract_noise": 0.0},
    "pretrained": {"supplemental_bank": False, **MICROPHONE},
    "stgram": {"noise_mix": 0.0, **CLASSIFIER},
    "twfr_gmm": {"subtract_noise": 0.0, **MICROPHONE},
}


def all_params(family: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters, also those that it does not name."""
    return {**LATER.get(family, {}), **params}
