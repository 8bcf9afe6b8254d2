"""Group MADE: Giri et al., "Unsupervised Anomalous Sound Detection Using Self-Supervised Classification and Group
Masked Autoencoder for Density Estimation", DCASE 2020 challenge, technical report.

The report gives neither batch size nor number of epochs; those of PAPER are our choice.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "frames": 5,
    "hidden": 128,
    "bottleneck": 32,
    "components": 10,
    "order": "middle",
    "lr": 1e-3,
    "batch_size": 512,
    "epochs": 100,
}


def space(trial: Any) -> dict[str, Any]:
    return {
        "frames": trial.suggest_int("frames", 3, 7, step=2),  # odd, so that there is a middle frame
        "hidden": trial.suggest_categorical("hidden", [64, 128, 256]),
        "bottleneck": trial.suggest_categorical("bottleneck", [16, 32, 64]),
        "components": trial.suggest_categorical("components", [1, 3, 5, 10, 20]),
        "order": trial.suggest_categorical("order", ["middle", "causal"]),
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [256, 512, 1024]),
        "epochs": trial.suggest_int("epochs", 20, 100),
    }
