"""IDNN: Suefusa et al., "Anomalous Sound Detection Based on Interpolation Deep Neural Network", ICASSP 2020.

The batch size of PAPER is that of the DCASE 2020 baseline.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "frames": 5,
    "hidden": 128,
    "lr": 1e-3,
    "batch_size": 512,
    "epochs": 100,
}


def space(trial: Any) -> dict[str, Any]:
    return {
        "frames": trial.suggest_int("frames", 3, 11, step=2),  # odd, so that there is a middle frame
        "hidden": trial.suggest_categorical("hidden", [64, 128, 256, 512]),
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [256, 512, 1024, 2048]),
        "epochs": trial.suggest_int("epochs", 20, 100),
        "subtract_noise": trial.suggest_categorical("subtract_noise", [0.0, 0.5, 1.0, 2.0]),
    }
