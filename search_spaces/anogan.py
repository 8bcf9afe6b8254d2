"""AnoGAN: Schlegl et al., "Unsupervised Anomaly Detection with Generative Adversarial Networks …", IPMI 2017.

PAPER has its steps, weight and epochs, written from memory, with the nets of DCGAN. The hops and search_lr are our
choice.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "hop": 8,
    "score_hop": 128,
    "channels": 64,
    "latent": 100,
    "steps": 500,
    "search_lr": 0.01,
    "weight": 0.1,
    "lr": 2e-4,
    "beta1": 0.5,
    "batch_size": 64,
    "epochs": 20,
}


def space(trial: Any) -> dict[str, Any]:
    return {
        "hop": trial.suggest_categorical("hop", [4, 8, 16]),  # training time is inversely proportional
        "channels": trial.suggest_categorical("channels", [16, 32, 64]),
        "latent": trial.suggest_int("latent", 20, 200, log=True),
        "steps": trial.suggest_int("steps", 50, 500, step=50),  # scoring time is proportional
        "search_lr": trial.suggest_float("search_lr", 1e-3, 0.1, log=True),
        "weight": trial.suggest_float("weight", 0.0, 0.5, step=0.05),
        "lr": trial.suggest_float("lr", 5e-5, 1e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "epochs": trial.suggest_int("epochs", 5, 40),
    }
