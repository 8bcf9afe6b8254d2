"""From a classifier's logits to scores of clips: the part that every family of classifiers shares."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from asd_ray.detectors import _training as training
from asd_ray.features import Windows, per_clip

EPS = sys.float_info.epsilon
MOST = 256  # windows at once where nothing is learned
VARIANTS = ("probability", "log_odds", "nll", "log_odds_2021")

Gather = Callable[[Tensor], Tensor]  # first frames of windows -> what the net hears of them


def window_scores(logits: Tensor, allowed: Tensor) -> dict[str, Tensor]:
    """Scores of windows whose clip may be of any of the `allowed` classes; its own is the likeliest of these.

    `probability` is minus the softmax p of the own class (Giri et al.), `nll` is −log p (Liu et al.), `log_odds` is
    log((1 − p) / p), the score of the official MobileNetV2, here without rounding p to 1; `log_odds_2021` is what the
    official programs of 2021 compute instead, log(max(1 − p, eps) − log(max(p, eps))).
    """
    logits = logits.double()  # near 1, p says nothing in single precision
    own, place = logits.masked_fill(~allowed, -torch.inf).max(1, keepdim=True)
    others = logits.scatter(1, place, -torch.inf).logsumexp(1, keepdim=True)
    log_odds = (others - own).squeeze(1)
    nll = torch.nn.functional.softplus(log_odds)  # −log p, with p = 1 / (1 + exp(log odds))
    p = (-nll).exp()
    return {
        "probability": -p,
        "log_odds": log_odds,
        "nll": nll,
        "log_odds_2021": ((1 - p).clamp(min=EPS) - p.clamp(min=EPS).log()).log(),
    }


@torch.inference_mode()
def clip_scores(
    hear: Callable[[Tensor], tuple[Tensor, Tensor]], gather: Gather, windows: Windows, allowed: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Mean scores of each clip's windows, and its mean embedding. `hear` gives embeddings and logits of a batch.

    `allowed` is [clips, classes] on the device.
    """
    parts: list[dict[str, Tensor]] = []
    embeddings: list[Tensor] = []
    for part, inside in training.by_clips(windows, MOST):
        embedding, logits = hear(gather(training.starts_of(inside, allowed.device)))
        of_window = torch.from_numpy(inside.clip).to(allowed.device)
        found = window_scores(logits, allowed[part][of_window])
        parts.append({name: per_clip(values, inside, "mean") for name, values in found.items()})
        embeddings.append(per_clip(embedding.float(), inside, "mean"))
    scores = {name: torch.cat([each[name] for each in parts]) for name in VARIANTS if parts}
    return scores, torch.cat(embeddings) if embeddings else torch.empty(0, 0)
