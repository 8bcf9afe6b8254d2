"""TWFR-GMM: Guan et al., "Time-weighted frequency domain audio representation with GMM estimator for anomalous sound
detection", ICASSP 2023.

The ranges are those of the authors. Their shipped r and SMOTE differ by machine; PAPER is one of these settings.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "r": 1.0,
    "components": 2,
    "reg": 1e-6,
    "tol": 1e-6,
    "smote": False,
    "smote_ratio": 0.2,
    "smote_neighbours": 3,
}


def space(trial: Any) -> dict[str, Any]:
    params = {
        "r": trial.suggest_float("r", 0.0, 1.0, step=0.02),  # 0 is the loudest frame of each bin, 1 the mean
        "components": trial.suggest_categorical("components", [1, 2, 4, 8]),
        "smote": trial.suggest_categorical("smote", [False, True]),
        "subtract_noise": trial.suggest_categorical("subtract_noise", [0.0, 0.5, 1.0, 2.0]),
    }
    if params["smote"]:
        params["smote_ratio"] = trial.suggest_float("smote_ratio", 0.1, 0.5, step=0.1)
    params["microphone"] = trial.suggest_categorical("microphone", ["near", "far", "near-far"])
    if params["microphone"] == "near-far":
        params["far_share"] = trial.suggest_float("far_share", 0.1, 1.0)
    return params
