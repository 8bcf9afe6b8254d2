"""Embeddings of spectrum and spectrogram, and distances between them: Wilkinghoff, ICASSP 2023 and DCASE 2024.

PAPER is the setting of the first paper. The author's code for the second has head "adaproj" and 18 seconds per clip.
ASDKit's nets have `learned`, and "multi" for several spectrograms; `featex` is 0.5 and `branch_losses` 1 there.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "head": "scac",
    "sub_clusters": 16,
    "learned": False,
    "branches": "both",
    "seconds": 10.0,
    "mix": 1.0,
    "alpha": 1.0,
    "smote_ratio": 0.0,
    "backends": "knn,knn_ldn,kmeans,lof,maha,gmm",
    "lr": 1e-3,
    "batch_size": 64,
    "epochs": 10,
}

EVERY_BACKEND = "knn,knn_ldn,lof,maha,cos,gmm,kmeans,pca,knn_mix,knn_dn,bands,knn_exit"


def space(trial: Any) -> dict[str, Any]:
    params = {
        "head": trial.suggest_categorical("head", ["scac", "adaproj"]),
        "sub_clusters": trial.suggest_categorical("sub_clusters", [4, 8, 16, 32]),
        "learned": trial.suggest_categorical("learned", [False, True]),
        "branches": trial.suggest_categorical("branches", ["both", "fft", "stft", "stft3", "multi"]),
        "mix": trial.suggest_float("mix", 0.5, 1.0),
        "alpha": trial.suggest_float("alpha", 0.2, 1.0),
        "smote_ratio": trial.suggest_categorical("smote_ratio", [0.0, 0.1, 0.2, 0.5]),
        "lr": trial.suggest_float("lr", 1e-4, 3e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "backends": trial.suggest_categorical("backends", [PAPER["backends"], EVERY_BACKEND]),
        "epochs": trial.suggest_int("epochs", 5, 30),
        "balance": trial.suggest_categorical("balance", [0.0, 0.2, 0.5]),
        "noise_mix": trial.suggest_categorical("noise_mix", [0.0, 0.25, 0.5, 1.0]),
        "supplemental_class": trial.suggest_categorical("supplemental_class", [False, True]),
        "supplemental_bank": trial.suggest_categorical("supplemental_bank", [False, True]),
    }
    if params["branches"] != "fft":
        params["spec_masks"] = trial.suggest_int("spec_masks", 0, 2)  # of spectrograms
    if params["branches"] not in ("fft", "stft"):  # these need several branches
        params["featex"] = trial.suggest_categorical("featex", [0.0, 0.25, 0.5])
        params["branch_losses"] = trial.suggest_categorical("branch_losses", [0.0, 0.3, 1.0])
    params["labels"] = trial.suggest_categorical("labels", ["real", "kmeans", "ward", "vq"])
    if params["labels"] != "real":
        params["clusters"] = trial.suggest_categorical("clusters", [4, 8, 16, 32])
    params["microphone"] = trial.suggest_categorical("microphone", ["near", "far", "near-far"])
    if params["microphone"] == "near-far":
        params["far_share"] = trial.suggest_float("far_share", 0.1, 1.0)
        params["subtract"] = trial.suggest_categorical("subtract", ["embedding", "spectrum"])
    return params
