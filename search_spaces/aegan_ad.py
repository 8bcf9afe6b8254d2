"""AEGAN-AD: Jiang et al., "Unsupervised Anomaly Detection and Localization of Machine Audio", ICASSP 2023.

PAPER is the authors' setting for slider in DCASE 2022, which has the defaults of their code. PAPER_OF has what differs
on their other machines of 2022 and on those of 2020, by their configurations. They chose it with test labels.

They chose the training clips in the same way: in 2022 the development clips for gearbox, slider and ToyCar, and the
development and additional clips for bearing and fan; in 2020 the development clips for fan, and both for the other
machines. The parameter `train_ids` sets this, such as "00,01,02"; `asd-ray paper` does so, and a search does not.

Where they are not named, `train_ids` is "" (all training clips of the dataset) and so is `backends` (no further scores
of the critic's features).
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
OF_2020: dict[str, Any] = {"eta": 1.0, "epochs": 50}  # all machines; the first norm was on
PAPER_OF: dict[int, dict[str, dict[str, Any]]] = {
    2020: {
        "fan": OF_2020,
        "pump": {**OF_2020, "matching": "mean_std"},
        "slider": {**OF_2020, "norm": "batch"},
        "valve": {**OF_2020, "norm": "batch", "eta": 0.05},
        "ToyCar": {**OF_2020, "matching": "mean_std"},
        "ToyConveyor": {**OF_2020, "eta": 0.05},
    },
    2022: {
        "bearing": {"first_norm": False},
        "fan": {"first_norm": False},
        "gearbox": {"norm": "batch", "matching": "mean_std"},
        "ToyCar": {"first_norm": False, "beta1": 0.0},
    },
}

MORE_BACKENDS = "knn_ldn,gmm,kmeans,pca,knn_mix,knn_dn,bands,knn_exit"  # beside the paper's D_maha, D_knn, D_lof, D_cos


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
        "backends": trial.suggest_categorical("backends", ["", MORE_BACKENDS]),
        "epochs": trial.suggest_int("epochs", 10, 60),
    }
