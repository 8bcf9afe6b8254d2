"""The nets that are exported, before the export: their scores are those of the detector in every setting."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.deploy.onnx.errors import CannotExport
from asd_ray.deploy.onnx.families import EXPORTERS, score_net
from asd_ray.detectors import Context, Detector
from asd_ray.detectors.families.embedding_knn import EmbeddingKnn
from asd_ray.detectors.families.twfr_gmm import TwfrGmm
from tests.deploy.onnx.conftest import New, assert_same, id_numbers, waves_of

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("aegan_ad", {}),
    ("aegan_ad", {"backends": "pca,knn_dn,bands"}),
    ("aegan_ad", {"norm": "batch", "first_norm": False, "hop": 1, "lr": 0.01}),
    ("autoencoder", {}),
    ("autoencoder", {"edition": "2020", "frames": 3}),
    ("complex_net", {}),
    ("complex_net", {"attention": False, "encoder": "complex"}),
    ("complex_net", {"encoder": "magnitude"}),
    ("complex_net", {"encoder": "log_mel", "backends": ""}),
    ("embedding_knn", {}),
    ("embedding_knn", {"head": "adaproj", "branches": "stft", "backends": "knn"}),
    ("embedding_knn", {"branches": "fft", "seconds": 1.0}),
    ("embedding_knn", {"branches": "multi", "seconds": 0.5, "featex": 0.5, "branch_losses": 1.0}),
    ("flow_aff", {}),
    ("flow_aff", {"flow": "glow", "glow_width": 8, "glow_steps": 2, "lr": 0.01}),
    ("ganomaly", {}),
    (
        "ganomaly",
        {"backends": "knn_mix,maha,pca", "epochs": 20, "lr": 0.01},
    ),  # else codes are equal
    ("group_made", {}),
    ("group_made", {"order": "causal", "frames": 7}),
    ("id_classifier", {"backends": "knn,lof,cos"}),
    ("id_classifier", {"channels": 3, "head": "arcface", "warps": 0, "backends": ""}),
    ("idnn", {}),
    ("idnn", {"frames": 3}),
    ("stgram", {}),
    ("stgram", {"inputs": "sgram+tgram+attention", "picture": "noisy_arcmix"}),
    ("stgram", {"inputs": "tgram"}),
    ("stgram", {"inputs": "spectrum", "head": "softmax"}),
    ("twfr_gmm", {}),
    ("twfr_gmm", {"r": 0.9}),
    ("twfr_gmm", {"r": 0.0}),
    ("autoencoder", {"subtract_noise": 1.0}),
    ("embedding_knn", {"supplemental_class": True, "supplemental_bank": True, "branches": "stft", "backends": "knn"}),
    ("twfr_gmm", {"subtract_noise": 2.0}),
]


def scores_of(detector: Detector, clips: ClipSet) -> dict[str, torch.Tensor]:
    net = score_net(detector)
    inputs = [torch.from_numpy(waves_of(clips, net.samples))]
    if net.ids:
        inputs.append(torch.from_numpy(id_numbers(clips, net.ids)))
    with torch.inference_mode():
        scores: dict[str, torch.Tensor] = net(*inputs)
    return scores


@pytest.mark.parametrize(("name", "params"), SETTINGS)
def test_scores_are_those_of_the_detector(
    name: str, params: dict[str, Any], fitted: New, demo: tuple[ClipSet, ClipSet]
) -> None:
    detector = fitted(name, **params)
    expected = detector.score(demo[1])
    scores = scores_of(detector, demo[1])
    assert scores.keys() == expected.keys()
    for variant, values in scores.items():
        assert_same(variant, values, expected[variant])


def test_every_exporter_is_checked() -> None:
    assert {name for name, _ in SETTINGS} == set(EXPORTERS)


@pytest.mark.parametrize("name", ["embedding_knn", "flow_aff", "id_classifier", "twfr_gmm"])
def test_minus_one_is_an_id_that_was_not_in_training(name: str, fitted: New, strangers: ClipSet) -> None:
    detector = fitted(name)
    expected = detector.score(strangers)
    for variant, values in scores_of(detector, strangers).items():
        assert_same(variant, values, expected[variant])


@pytest.mark.parametrize("name", ["complex_net", "flow_aff", "twfr_gmm"])
def test_a_machine_with_one_id(name: str, fitted: New, demo: tuple[ClipSet, ClipSet]) -> None:
    """The classes of a classifier are then the attributes of the clips, and a flow has no other id to compare with."""
    detector, clips = fitted(name, only_id="00"), demo[1]
    assert score_net(detector).ids == ("fan/00",)
    expected = detector.score(clips)  # also of clips of another id
    for variant, values in scores_of(detector, clips).items():
        assert_same(variant, values, expected[variant])


def test_noise_of_several_machines_is_not_subtracted_by_a_graph(demo: tuple[ClipSet, ClipSet]) -> None:
    detector = TwfrGmm(Context(), subtract_noise=1.0)
    list(detector.fit(demo[0]))
    (noise,) = detector.noise.noise.values()
    detector.noise.noise["pump"] = noise
    with pytest.raises(CannotExport, match="subtracts the noise of several machines"):
        score_net(detector)


def test_a_length_that_has_no_short_transform_is_named(demo: tuple[ClipSet, ClipSet]) -> None:
    detector = EmbeddingKnn(Context(), seconds=16_411 / 16_000, branches="fft", backends="knn", epochs=1)
    next(detector.fit(demo[0]))
    with pytest.raises(CannotExport, match="16411 samples has the factor 16411"):
        score_net(detector)
