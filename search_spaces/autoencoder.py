"""Autoencoder of the DCASE task 2 baselines: Koizumi et al., DCASE 2020; Harada et al., EUSIPCO 2023.

PAPER is the program of 2023 and later. The program of 2020 is edition "2020" with batches of 512. Edition "2021", the
program of 2021 and 2022, is not searched: it differs from that of 2020 only in the floor of its decibels.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "edition": "2023",
    "frames": 5,
    "hidden": 128,
    "layers": 4,
    "bottleneck": 8,
    "lr": 1e-3,
    "batch_size": 256,
    "epochs": 100,
    "validation": 0.1,
}


def space(trial: Any) -> dict[str, Any]:
    params = {
        "edition": trial.suggest_categorical("edition", ["2020", "2023"]),
        "frames": trial.suggest_int("frames", 1, 11),
        "hidden": trial.suggest_categorical("hidden", [64, 128, 256, 512]),
        "layers": trial.suggest_int("layers", 1, 5),
        "bottleneck": trial.suggest_int("bottleneck", 2, 64, log=True),
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [256, 512, 1024, 2048]),
        "epochs": trial.suggest_int("epochs", 20, 100),
        "subtract_noise": trial.suggest_categorical("subtract_noise", [0.0, 0.5, 1.0, 2.0]),
    }
    microphone = trial.suggest_categorical("microphone", ["near", "far", "near-far"])
    if microphone == "near-far":
        params["far_share"] = trial.suggest_float("far_share", 0.1, 1.0)
    return {**params, "microphone": microphone}
