"""Which families can be exported, by what, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asd_ray.deploy.onnx.classifiers import ComplexNetScores, EmbeddingKnnScores, IdClassifierScores, StgramScores
from asd_ray.deploy.onnx.dense import AutoencoderScores, GroupMadeScores, IdnnScores
from asd_ray.deploy.onnx.densities import FlowAffScores, TwfrGmmScores
from asd_ray.deploy.onnx.errors import CannotExport
from asd_ray.deploy.onnx.pictures import AeganAdScores, GanomalyScores
from asd_ray.deploy.onnx.score_net import ScoreNet
from asd_ray.detectors import FAMILIES, Detector
from asd_ray.detectors.parts.microphones import NEAR

EXPORTERS: dict[str, Callable[[Any], ScoreNet]] = {
    "aegan_ad": AeganAdScores,
    "autoencoder": AutoencoderScores,
    "complex_net": ComplexNetScores,
    "embedding_knn": EmbeddingKnnScores,
    "flow_aff": FlowAffScores,
    "ganomaly": GanomalyScores,
    "group_made": GroupMadeScores,
    "id_classifier": IdClassifierScores,
    "idnn": IdnnScores,
    "stgram": StgramScores,
    "twfr_gmm": TwfrGmmScores,
}
WHY_NOT: dict[str, str] = {
    "anogan": "its score is a search by gradient descent, and a graph of ONNX has no gradients",
    "finetuned": "the file would hold the encoder's weights, which are the user's",
    "pretrained": "its file would hold the encoder's weights, which are the user's, and packages trace differently",
}
OWN_CLASS = "its class has no exporter"


def why_not(detector: Detector) -> str:
    """Why a detector of this class cannot be exported, or "" if it can."""
    name = _family(detector)
    return "" if name in EXPORTERS else WHY_NOT.get(name, OWN_CLASS)


def score_net(detector: Detector) -> ScoreNet:
    """The net of a fitted detector's scores. CannotExport with the reason if there is none."""
    if why := why_not(detector):
        raise CannotExport(why, type(detector).__name__)
    if getattr(detector, "microphone", NEAR) != NEAR:
        why = "its file would take one channel, and it listens to the far microphone"
        raise CannotExport(why, type(detector).__name__)
    return EXPORTERS[_family(detector)](detector)


def _family(detector: Detector) -> str:
    """The name of a shipped family; "" for a user's class, and for one that is derived from a shipped class."""
    target = f"{type(detector).__module__}:{type(detector).__qualname__}"
    return next((name for name, path in FAMILIES.items() if path == target), "")
