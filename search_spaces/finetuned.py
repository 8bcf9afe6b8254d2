"""Fine-tuned pretrained encoders: low-rank layers after Zheng et al. 2024 (arXiv 2409.07016).

PAPER is BEATs with low-rank layers in its attention, ArcFace and masks; all numbers are chosen here. The values of
`tune` are "lora", "all" and "head". Only encoders whose weights are brought are drawn.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "encoder": "beats",
    "tune": "lora",
    "rank": 16,
    "lora_alpha": 16.0,
    "places": "attention",
    "layer": 1.0,
    "pooling": "mean",
    "projection": 0,
    "head": "arcface",
    "scale": 30.0,
    "margin": 0.5,
    "sub_clusters": 16,
    "learned": True,
    "labels": "real",
    "clusters": 8,
    "seconds": 10.0,
    "mix": 0.5,
    "alpha": 1.0,
    "time_mask": 0.1,
    "band_mask": 0.1,
    "smote_ratio": 0.0,
    "backends": "knn,knn_ldn,knn_mix,knn_dn,knn_exit,bands,pca,kmeans,lof,maha,cos",
    "lr": 1e-4,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "batch_size": 32,
    "epochs": 10,
}
ENCODERS = ["beats", "dasheng", "passt", "ast", "clap", "wav2vec2", "hubert", "wavlm", "whisper"]


def space(trial: Any) -> dict[str, Any]:
    params = {
        "encoder": trial.suggest_categorical("encoder", ENCODERS),
        "tune": trial.suggest_categorical("tune", ["lora", "all", "head"]),
        "layer": trial.suggest_float("layer", 0.5, 1.0),  # 1 is the last layer
        "pooling": trial.suggest_categorical("pooling", ["mean", "attentive"]),
        "projection": trial.suggest_categorical("projection", [0, 128, 256]),
        "head": trial.suggest_categorical("head", ["arcface", "scac", "adaproj"]),
        "labels": trial.suggest_categorical("labels", ["real", "kmeans", "ward", "vq"]),
        "mix": trial.suggest_float("mix", 0.0, 1.0),
        "time_mask": trial.suggest_float("time_mask", 0.0, 0.4),
        "band_mask": trial.suggest_float("band_mask", 0.0, 0.4),
        "smote_ratio": trial.suggest_categorical("smote_ratio", [0.0, 0.1, 0.2, 0.5]),
        "lr": trial.suggest_float("lr", 1e-5, 1e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 0.1, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "epochs": trial.suggest_int("epochs", 5, 30),
        "noise_mix": trial.suggest_categorical("noise_mix", [0.0, 0.25, 0.5, 1.0]),
        "supplemental_class": trial.suggest_categorical("supplemental_class", [False, True]),
        "supplemental_bank": trial.suggest_categorical("supplemental_bank", [False, True]),
    }
    if params["tune"] == "lora":
        params["rank"] = trial.suggest_categorical("rank", [4, 8, 16, 32, 64])
        params["lora_alpha"] = trial.suggest_float("lora_alpha", 4.0, 64.0, log=True)
        params["places"] = trial.suggest_categorical("places", ["attention", "blocks"])
    if params["head"] == "arcface":
        params["scale"] = trial.suggest_float("scale", 10.0, 60.0)
        params["margin"] = trial.suggest_float("margin", 0.1, 1.0)
    else:
        params["sub_clusters"] = trial.suggest_categorical("sub_clusters", [4, 8, 16, 32])
    if params["labels"] != "real":
        params["clusters"] = trial.suggest_categorical("clusters", [4, 8, 16, 32])
        params["cluster_by"] = trial.suggest_categorical("cluster_by", ["spectrum", "embedding"])
    return params
