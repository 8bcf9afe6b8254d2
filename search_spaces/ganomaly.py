"""GANomaly: Akcay et al., "GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training", ACCV 2018.

PAPER is the setting of the authors' code. The paper is about images, so hop is our choice. The parameter `backends`,
scores of the codes of clips, is "" where it is not named.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "hop": 8,
    "channels": 64,
    "latent": 100,
    "w_adv": 1.0,
    "w_con": 50.0,
    "w_enc": 1.0,
    "lr": 2e-4,
    "beta1": 0.5,
    "batch_size": 64,
    "epochs": 15,
}

EVERY_BACKEND = "knn,knn_ldn,lof,maha,cos,gmm,kmeans,pca,knn_mix,knn_dn,bands,knn_exit"


def space(trial: Any) -> dict[str, Any]:
    return {
        "hop": trial.suggest_categorical("hop", [4, 8, 16]),  # training time is inversely proportional
        "channels": trial.suggest_categorical("channels", [16, 32, 64]),
        "latent": trial.suggest_int("latent", 20, 300, log=True),
        "w_adv": trial.suggest_float("w_adv", 0.1, 10.0, log=True),
        "w_con": trial.suggest_float("w_con", 1.0, 100.0, log=True),
        "w_enc": trial.suggest_float("w_enc", 0.1, 10.0, log=True),
        "lr": trial.suggest_float("lr", 5e-5, 1e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "backends": trial.suggest_categorical("backends", ["", EVERY_BACKEND]),
        "epochs": trial.suggest_int("epochs", 5, 30),
    }
