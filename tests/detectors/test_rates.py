"""Every family can be trained on sound of other rates than the 16 kHz of its paper, and at 16 kHz nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from asd_ray.conformance.workspace import Workspace, fit_on
from asd_ray.detectors import FAMILIES, Context, family
from asd_ray.detectors.families.complex_net import ComplexNet
from asd_ray.detectors.families.stgram import StgramMfn

RATES = (8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000)
HASHES = {  # of the front end of each paper's setting; part of the identity of its trials
    "aegan_ad": "86bb9ce80e67",
    "anogan": "86bb9ce80e67",
    "autoencoder": "6175cd84f6f7",
    "complex_net": "b029c6c4b80a",
    "embedding_knn": "d693e9790b4c",
    "finetuned": "bfa2fd9f5902",
    "flow_aff": "729a781f1876",
    "ganomaly": "86bb9ce80e67",
    "group_made": "d6c155d7754f",
    "id_classifier": "6175cd84f6f7",
    "idnn": "6175cd84f6f7",
    "pretrained": "2f9a92e29f84",
    "stgram": "b3f4182cdf18",
    "twfr_gmm": "f6ad89c5ef7a",
}
TINY: dict[str, dict[str, Any]] = {  # settings with short epochs
    "aegan_ad": {"channels": 2, "latent": 8, "batch_size": 8},
    "anogan": {"channels": 2, "latent": 8, "steps": 2},
    "autoencoder": {"hidden": 16},
    "complex_net": {"width_factor": 0.05, "frames": 17, "test_hop": 17},
    "embedding_knn": {"seconds": 0.5},
    "finetuned": {"encoder": "ast", "seconds": 0.5, "rank": 2, "backends": "knn"},
    "flow_aff": {"hidden": 16, "blocks": 2},
    "ganomaly": {"channels": 2, "latent": 8},
    "group_made": {"hidden": 16, "bottleneck": 8, "components": 2},
    "id_classifier": {"frames": 32, "backends": "knn"},
    "idnn": {"hidden": 16},
    "pretrained": {"encoder": "ast", "backends": "knn"},
    "stgram": {"seconds": 0.5, "net": "mobilefacenet_2023"},
}


@pytest.fixture(scope="module")
def workspace_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Workspace]:
    folder = tmp_path_factory.mktemp("rates")

    @cache
    def positions(rate: int) -> Workspace:
        return Workspace(folder, seconds=0.5, rate=rate)

    return positions


@pytest.mark.parametrize("name", FAMILIES)
def test_the_front_end_of_the_paper_is_unchanged(name: str) -> None:
    for context in (Context(), Context(rate=16_000)):
        tested = family(name)
        assert tested.detector(context, **tested.search_space().paper).front_end.hash == HASHES[name]


@pytest.mark.parametrize("rate", [8_000, 44_100])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_can_be_trained_at_another_rate(
    name: str, rate: int, workspace_at: Callable[[int], Workspace]
) -> None:
    workspace, tested = workspace_at(rate), family(name)
    bank, how = workspace.bank("plain"), {"epochs": 1, **TINY.get(name, {})}
    some = bank.select(split="train").take([0, 1, 6, 7])  # from both ids
    params = {key: value for key, value in how.items() if key in tested.parameters}
    detector, other = (tested.detector(workspace.context(), **params) for _ in range(2))
    assert detector.front_end.rate == rate
    for progress in detector.fit(some):
        assert np.isfinite([*progress.losses.values()]).all()
    test = bank.select(split="test")
    scores = detector.score(test)
    assert all(np.isfinite(values).all() and values.shape == (len(test),) for values in scores.values())
    other.load(detector.state())
    again = other.score(test)
    for variant, values in scores.items():
        np.testing.assert_allclose(again[variant], values, rtol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_the_tgram_has_as_many_frames_as_the_sgram(rate: int) -> None:
    detector = StgramMfn(Context(rate=rate), seconds=2.0, net="mobilefacenet_2023")
    net = detector._modules(2)[0]
    result = net.tgram
    waves = torch.zeros(1, detector.front_end.used_samples(1))
    assert result.filters.kernel_size[0] == 2 * result.filters.stride[0] == 2 * detector.front_end.hop
    assert result(waves).shape == net.spectrograms(waves).shape == (1, 128, 63)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("encoder", ["complex", "magnitude", "log_mel"])
def test_the_complex_net_accepts_any_number_of_bins(encoder: str, rate: int) -> None:
    detector = ComplexNet(Context(rate=rate), encoder=encoder, width_factor=0.05)
    parts = 2 if encoder == "complex" else 1
    images = torch.zeros(2, parts, detector.front_end.shape[0], 17)
    assert detector._modules(2)[0](images).shape == (2, 4 * (3 if encoder == "complex" else 1))


def test_a_planted_anomaly_is_found_at_another_rate(workspace_at: Callable[[int], Workspace]) -> None:
    workspace = workspace_at(48_000)
    bank = workspace.bank("planted")
    scores = fit_on(workspace.new(family("twfr_gmm")), bank).score(bank.select(split="test", id="00"))["gmm"]
    anomalous = (bank.select(split="test", id="00").frame["label"] == "anomaly").to_numpy()
    assert (scores[anomalous][:, None] > scores[~anomalous]).mean() > 0.8


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_the_same_clips_at_another_rate_are_different_data(rate: int, workspace_at: Callable[[int], Workspace]) -> None:
    own, other = (workspace_at(each).bank("plain") for each in (16_000, rate))
    assert own.fingerprints["fan"] != other.fingerprints["fan"]
