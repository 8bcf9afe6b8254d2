"""STgram-MFN: Liu et al., ICASSP 2022, and later work based on it.

PAPER is the main row of the paper. To match it, train all machines together with `--jointly`. The settings of the later
papers are in the family's docstring; none of these papers searched scale, margin, learning rate or alpha.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "inputs": "sgram+tgram",
    "picture": "stgram",
    "net": "mobilefacenet_2022",
    "head": "arcface",
    "scale": 30.0,
    "margin": 0.7,
    "mix": "none",
    "alpha": 0.5,
    "seconds": 10.0,
    "backends": "knn,lof,maha,gmm",
    "lr": 1e-4,
    "weight_decay": 0.0,
    "anneal_after": 20,
    "batch_size": 128,
    "epochs": 200,
}

EVERY_BACKEND = "knn,knn_ldn,lof,maha,cos,gmm,kmeans,pca,knn_mix,knn_dn,bands,knn_exit"


def space(trial: Any) -> dict[str, Any]:
    inputs = ["sgram+tgram", "sgram+tgram+attention", "sgram", "tgram", "spectrum"]
    params = {
        "inputs": trial.suggest_categorical("inputs", inputs),
        "net": trial.suggest_categorical("net", ["mobilefacenet_2022", "mobilefacenet_2023", "mobilenet_v3"]),
        "head": trial.suggest_categorical("head", ["arcface", "softmax"]),
        "mix": trial.suggest_categorical("mix", ["none", "mixup", "noisy_arcmix"]),
        "lr": trial.suggest_float("lr", 5e-5, 2e-3, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 0.01]),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "backends": trial.suggest_categorical("backends", [PAPER["backends"], EVERY_BACKEND]),
        "epochs": trial.suggest_int("epochs", 20, 300),
        "noise_mix": trial.suggest_categorical("noise_mix", [0.0, 0.25, 0.5, 1.0]),
        "supplemental_class": trial.suggest_categorical("supplemental_class", [False, True]),
        "supplemental_bank": trial.suggest_categorical("supplemental_bank", [False, True]),
    }
    if params["inputs"] != "tgram":
        params["picture"] = trial.suggest_categorical("picture", ["stgram", "noisy_arcmix"])
    if params["head"] == "arcface":
        params["scale"] = trial.suggest_float("scale", 10.0, 60.0)
        params["margin"] = trial.suggest_float("margin", 0.1, 1.0)
    if params["mix"] != "none":
        params["alpha"] = trial.suggest_float("alpha", 0.1, 1.0)
    params["labels"] = trial.suggest_categorical("labels", ["real", "kmeans", "ward", "vq"])
    if params["labels"] != "real":
        params["clusters"] = trial.suggest_categorical("clusters", [4, 8, 16, 32])
    return params
