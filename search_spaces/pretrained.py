"""Embeddings of a pretrained encoder and distances between them: GenRep, arXiv 2409.05035.

PAPER is BEATs with the mean over time and the nearest neighbour, the backend "knn"; "knn_mix" and "knn_dn" are its
MemMixup and domain normalisation. The layer is chosen here. Only encoders whose weights are brought are drawn.
"""

from typing import Any

PAPER: dict[str, Any] = {
    "encoder": "beats",
    "layer": 1.0,
    "pooling": "mean",
    "gem_p": 3.0,
    "bands": 1,
    "smote_ratio": 0.0,
    "backends": "knn,knn_ldn,knn_mix,knn_dn,knn_exit,bands,pca,kmeans,lof,maha,cos",
}
ENCODERS = ["beats", "dasheng", "passt", "ast", "clap", "wav2vec2", "hubert", "wavlm", "whisper", "onnx", "exported"]


def space(trial: Any) -> dict[str, Any]:
    params = {
        "encoder": trial.suggest_categorical("encoder", ENCODERS),
        "layer": trial.suggest_float("layer", 0.0, 1.0),  # 0 is the first layer, 1 the last
        "pooling": trial.suggest_categorical("pooling", ["mean", "max", "gem", "statistics", "time"]),
        "bands": trial.suggest_categorical("bands", [1, 2, 4]),  # of nets of patches; others have one
        "backends": trial.suggest_categorical("backends", [PAPER["backends"], PAPER["backends"] + ",gmm"]),
        "smote_ratio": trial.suggest_categorical("smote_ratio", [0.0, 0.1, 0.2, 0.5]),
    }
    params["supplemental_bank"] = trial.suggest_categorical("supplemental_bank", [False, True])
    if params["pooling"] == "gem":
        params["gem_p"] = trial.suggest_float("gem_p", 1.0, 8.0)
    params["microphone"] = trial.suggest_categorical("microphone", ["near", "far", "near-far"])
    if params["microphone"] == "near-far":
        params["far_share"] = trial.suggest_float("far_share", 0.1, 1.0)
    return params
