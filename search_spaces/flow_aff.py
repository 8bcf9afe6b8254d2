"""Flows conditioned on a machine's ids: Dohi et al., ICASSP 2021, known from its abstract.

MAF follows CP-JKU's submission to DCASE 2021, but with a quarter of their `hidden`. The sizes of Glow are our choice.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "flow": "maf",
    "loss": "affinity",
    "aff_weight": 1.0,
    "aff_margin": 0.5,  # nats per dimension
    "frames": 5,
    "hidden": 512,
    "blocks": 4,
    "glow_frames": 32,
    "glow_width": 32,
    "glow_steps": 4,
    "glow_levels": 3,
    "lr": 1e-4,
    "batch_size": 512,
    "epochs": 100,
}


def space(trial: Any) -> dict[str, Any]:
    params = {
        "flow": trial.suggest_categorical("flow", ["maf", "glow"]),
        "loss": trial.suggest_categorical("loss", ["affinity", "plain"]),
        "lr": trial.suggest_float("lr", 3e-5, 1e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [64, 128, 256, 512]),
        "epochs": trial.suggest_int("epochs", 20, 100),
    }
    if params["loss"] == "affinity":
        params["aff_weight"] = trial.suggest_float("aff_weight", 0.1, 2.0, log=True)
        params["aff_margin"] = trial.suggest_float("aff_margin", 0.1, 2.0, log=True)
    if params["flow"] == "maf":
        params["hidden"] = trial.suggest_categorical("hidden", [256, 512, 1024, 2048])
        params["blocks"] = trial.suggest_int("blocks", 2, 6)
    else:
        params["glow_frames"] = trial.suggest_categorical("glow_frames", [16, 32, 64])  # multiples of 2^levels
        params["glow_width"] = trial.suggest_categorical("glow_width", [32, 64, 128])
        params["glow_steps"] = trial.suggest_int("glow_steps", 2, 8)
        params["glow_levels"] = trial.suggest_int("glow_levels", 2, 4)
    return params
