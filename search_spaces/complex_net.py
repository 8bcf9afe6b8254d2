"""Classifiers of machine ids on the complex spectrum: Kim et al., EUSIPCO 2021.

PAPER is the last row of their Table II; batch size, epochs, test_hop and backends are our choice. With `width_factor`
0.7072 the channels are 31 and 62, as in a public Deep Complex U-Net.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "encoder": "complex",
    "attention": True,
    "mix": False,
    "width_factor": 1.0,
    "head_channels": 4,
    "frames": 64,
    "test_hop": 32,
    "backends": "knn,lof,maha,gmm",
    "lr": 1e-4,
    "batch_size": 32,
    "epochs": 50,
}

EVERY_BACKEND = "knn,knn_ldn,lof,maha,cos,gmm,kmeans,pca,knn_mix,knn_dn,bands,knn_exit"


def space(trial: Any) -> dict[str, Any]:
    params = {
        "encoder": trial.suggest_categorical("encoder", ["complex", "magnitude", "log_mel"]),
        "mix": trial.suggest_categorical("mix", [False, True]),
        "width_factor": trial.suggest_categorical("width_factor", [0.5, 0.7072, 1.0]),
        "head_channels": trial.suggest_categorical("head_channels", [4, 8, 16, 32]),
        "frames": trial.suggest_categorical("frames", [32, 64, 128]),
        "lr": trial.suggest_float("lr", 3e-5, 1e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "backends": trial.suggest_categorical("backends", [PAPER["backends"], EVERY_BACKEND]),
        "epochs": trial.suggest_int("epochs", 20, 100),
        "supplemental_class": trial.suggest_categorical("supplemental_class", [False, True]),
        "supplemental_bank": trial.suggest_categorical("supplemental_bank", [False, True]),
    }
    if params["encoder"] == "complex":
        params["attention"] = trial.suggest_categorical("attention", [True, False])
    params["labels"] = trial.suggest_categorical("labels", ["real", "kmeans", "ward", "vq"])
    if params["labels"] != "real":
        params["clusters"] = trial.suggest_categorical("clusters", [4, 8, 16, 32])
    return params
