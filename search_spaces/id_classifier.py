"""Classifiers of machine ids with augmented labels: Giri et al., DCASE 2020; and the official MobileNetV2 of 2021/22.

PAPER is MobileNetV2 with both augmentations. The official baseline is channels 3, mix "none", warps 0, lr 1e-5,
test_hop 1, with batch size and epochs as in PAPER. The parameter `warp` is "image" where it is not named; "time"
resamples the time signal.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "net": "mobilenet_v2",
    "channels": 1,
    "head": "softmax",
    "scale": 30.0,
    "margin": 0.5,
    "mix": "both",
    "warps": 2,
    "frames": 64,
    "hop": 8,
    "test_hop": 8,
    "backends": "knn,lof,maha,gmm",
    "lr": 1e-3,
    "batch_size": 32,
    "epochs": 20,
}

EVERY_BACKEND = "knn,knn_ldn,lof,maha,cos,gmm,kmeans,pca,knn_mix,knn_dn,bands,knn_exit"


def space(trial: Any) -> dict[str, Any]:
    head = trial.suggest_categorical("head", ["softmax", "arcface"])
    params = {
        "net": trial.suggest_categorical("net", ["mobilenet_v2", "resnet50"]),
        "head": head,
        "mix": trial.suggest_categorical("mix", ["none", "before", "after", "both"]),
        "warps": trial.suggest_int("warps", 0, 4),
        "lr": trial.suggest_float("lr", 1e-5, 3e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "backends": trial.suggest_categorical("backends", [PAPER["backends"], EVERY_BACKEND]),
        "epochs": trial.suggest_int("epochs", 5, 40),
        "supplemental_class": trial.suggest_categorical("supplemental_class", [False, True]),
        "supplemental_bank": trial.suggest_categorical("supplemental_bank", [False, True]),
    }
    if params["warps"]:
        params["warp"] = trial.suggest_categorical("warp", ["image", "time"])
    if head == "arcface":
        params["scale"] = trial.suggest_float("scale", 10.0, 60.0)
        params["margin"] = trial.suggest_float("margin", 0.1, 1.0)
    params["labels"] = trial.suggest_categorical("labels", ["real", "kmeans", "ward", "vq"])
    if params["labels"] != "real":
        params["clusters"] = trial.suggest_categorical("clusters", [4, 8, 16, 32])
    return params
