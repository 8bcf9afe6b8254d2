"""The families that have embeddings: their names and shapes, and that scores do not change by asking for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from asd_ray.clips.bank import Bank
from asd_ray.detectors import FAMILIES, Context, family
from asd_ray.detectors.parts.layer_statistics import layer_statistics
from asd_ray.errors import AsdRayError

QUICK: dict[str, dict[str, Any]] = {
    "aegan_ad": {"epochs": 1, "channels": 2, "latent": 4, "hop": 40, "batch_size": 4},
    "complex_net": {"epochs": 1, "width_factor": 0.05, "frames": 20, "batch_size": 4},
    "embedding_knn": {"epochs": 1, "seconds": 1.0, "batch_size": 4, "sub_clusters": 2, "branches": "fft"},
    "finetuned": {"encoder": "ast", "epochs": 1, "seconds": 1.0, "batch_size": 4, "rank": 2},
    "ganomaly": {"epochs": 1, "channels": 2, "latent": 4, "hop": 40, "batch_size": 4},
    "id_classifier": {"epochs": 1, "batch_size": 4},
    "pretrained": {"encoder": "ast"},
    "stgram": {"epochs": 1, "seconds": 0.5, "net": "mobilefacenet_2023", "batch_size": 4},
}
RATE = 16_000


@pytest.fixture
def bank(bank_of: Callable[[dict[str, npt.NDArray[np.floating]]], Bank]) -> Bank:
    draw = np.random.default_rng(0)
    return bank_of(
        {
            f"fan/{split}/section_{unit:02d}_source_{split}_normal_{i:04d}_vel_1": draw.normal(0, 0.05, 2 * RATE)
            for split in ("train", "test")
            for unit in (0, 1)
            for i in range(3)
        }
    )


def test_eight_families_have_embeddings() -> None:
    assert sorted(name for name in FAMILIES if hasattr(family(name).detector, "embeddings")) == sorted(QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_embeddings_are_finite_and_the_same_after_load(name: str, bank: Bank, context: Context) -> None:
    make = family(name).detector
    detector, test = make(context, **QUICK[name]), bank.select(split="test")
    with pytest.raises(AsdRayError, match="before fit"):
        detector.embeddings(test)
    for _ in detector.fit(bank.select(split="train")):
        pass
    before = detector.score(test)
    found = detector.embeddings(test)
    loaded = make(context, **QUICK[name])
    loaded.load(detector.state())
    again = loaded.embeddings(test)
    assert list(found) == {
        "aegan_ad": ["features", "layer_statistics"],
        "complex_net": ["total", "magnitude", "complex"],
        "ganomaly": ["code"],
    }.get(name, ["embedding"])
    for key, values in found.items():
        assert values.ndim == 2
        assert len(values) == len(test)
        assert np.isfinite(values).all()
        np.testing.assert_allclose(again[key], values, rtol=1e-6)
    for variant, scores in detector.score(test).items():
        np.testing.assert_array_equal(scores, before[variant])


def test_what_aegan_rebuilds_is_in_decibels_and_its_map_is_the_distance_to_the_mean(
    bank: Bank, context: Context
) -> None:
    detector: Any = family("aegan_ad").detector(context, **QUICK["aegan_ad"])
    for _ in detector.fit(bank.select(split="train")):
        pass
    test, scale = bank.select(split="test"), detector.state()["scale"]
    for rebuilt, error in zip(detector.rebuilt(test), detector.error_map(test), strict=True):
        assert scale["low"] <= rebuilt.min() <= rebuilt.max() <= scale["high"]  # tanh is between -1 and 1
        middle, half = (scale["high"] + scale["low"]) / 2, (scale["high"] - scale["low"]) / 2
        mean = detector.state()["mean_frame"].double().numpy()
        np.testing.assert_allclose(error, np.abs((rebuilt - middle) / half - mean) / 2, atol=1e-9)


def test_layer_statistics_are_those_that_layer_norm_takes() -> None:
    net = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 4), nn.LayerNorm(4))
    samples = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    with torch.inference_mode():
        statistics = layer_statistics(net, net, samples)
        inner = net[1](net[0](samples))
    assert statistics.shape == (5, 4)
    expected = [samples.mean(1), inner.mean(1), samples.std(1, correction=0), inner.std(1, correction=0)]
    torch.testing.assert_close(statistics, torch.stack(expected, 1))
    assert not any(module._forward_pre_hooks for module in net.modules())
