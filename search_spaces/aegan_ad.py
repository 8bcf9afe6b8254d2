"""AEGAN-AD: Jiang et al., "Unsupervised Anomaly Detection and Localization of Machine Audio", ICASSP 2023.

PAPER is the authors' setting for slider in DCASE 2022, which has the defaults of their code. Their other machines
differ: bearing, fan and ToyCar have first_norm off, ToyCar beta1 0, and gearbox norm "batch" and matching "mean_std".
`asd-ray paper jiang2023` shows the setting of each machine. In DCASE 2020 all machines had first_norm.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "hop": 1,
    "channels": 32,
    "latent": 256,
    "norm": "layer",
    "first_norm": True,
    "matching": "mean",
    "eta": 0.1,
    "penalty": 10.0,
    "lr": 2e-4,
    "beta1": 0.5,
    "batch_size": 512,
    "epochs": 60,
}


def space(trial: Any) -> dict[str, Any]:
    return {
        "hop": trial.suggest_categorical("hop", [1, 2, 4, 8]),  # training time is inversely proportional
        "norm": trial.suggest_categorical("norm", ["layer", "batch"]),
        "first_norm": trial.suggest_categorical("first_norm", [True, False]),
        "matching": trial.suggest_categorical("matching", ["mean", "mean_std"]),
        "eta": trial.suggest_float("eta", 0.01, 10.0, log=True),
        "lr": trial.suggest_float("lr", 5e-5, 1e-3, log=True),
        "beta1": trial.suggest_categorical("beta1", [0.0, 0.5]),
        "batch_size": trial.suggest_categorical("batch_size", [128, 256, 512]),
        "epochs": trial.suggest_int("epochs", 10, 60),
    }
