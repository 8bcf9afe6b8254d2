"""Frozen encoders: pooling, layers, the cache of embeddings, and what happens without the user's file."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.conformance.workspace import Workspace, fit_on
from asd_ray.detectors import Context
from asd_ray.detectors.encoders import embedded
from asd_ray.detectors.encoders.embedded import Embedded
from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.encoders.loading import encoder_name, load_encoder
from asd_ray.detectors.families.pretrained import POOLINGS, Pretrained, pooled
from asd_ray.errors import AsdRayError
from asd_ray.features import FeatureCache
from asd_ray.features.direct import DirectFeatures

from ...tiny_encoders import save_tiny

SEGMENTS = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def weights(encoder_weights: Path) -> dict[str, str]:
    return {"ast": str(encoder_weights / "ast")}


@pytest.fixture
def brought(context: Context, weights: dict[str, str]) -> Context:
    return replace(context, weights=weights)


@pytest.fixture
def bank(bank_of: Callable[[dict[str, npt.NDArray[np.floating]]], Bank]) -> Bank:
    """Twelve clips of 1 to 2 seconds, of which every fourth is of the target domain."""
    draw = np.random.default_rng(0)
    return bank_of(
        {
            f"fan/{split}/section_00_{'target' if i == 3 else 'source'}_{split}_normal_{i:04d}_vel_1": draw.normal(
                0, 0.05, 16_000 + 4_000 * (i % 2) * (i + 1)
            )
            for split in ("train", "test")
            for i in range(6)
        }
    )


def test_gem_is_the_mean_at_one_and_the_largest_without_bound() -> None:
    for power in (1.0, 1.0 + 1e-6):  # as a case of its own, and by the formula
        torch.testing.assert_close(pooled(SEGMENTS, "gem", power), SEGMENTS.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled(SEGMENTS.abs(), "gem", 200.0), SEGMENTS.abs().amax(1), rtol=0.02, atol=0)
    torch.testing.assert_close(pooled(-SEGMENTS, "gem", 3.0), -pooled(SEGMENTS, "gem", 3.0))
    cubes = SEGMENTS.abs().pow(3).mean(1).pow(1 / 3)
    torch.testing.assert_close(pooled(SEGMENTS.abs(), "gem", 3.0), cubes)


def test_statistics_are_mean_and_deviation() -> None:
    expected = torch.cat([SEGMENTS.mean(1), SEGMENTS.var(1, correction=0).sqrt()], 1)
    torch.testing.assert_close(pooled(SEGMENTS, "statistics", 1.0), expected)
    torch.testing.assert_close(pooled(SEGMENTS, "max", 1.0), SEGMENTS.amax(1))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_gives_finite_scores_of_all_backends(pooling: str, bank: Bank, brought: Context) -> None:
    detector = Pretrained(brought, encoder="ast", pooling=pooling, bands=2, smote_ratio=0.5)
    assert [step.epoch for step in detector.fit(bank.select(split="train"))] == [1]
    scores = detector.score(bank.select(split="test"))
    assert {"knn", "knn_dn", "pca", "bands"} <= set(scores)
    for name, values in scores.items():
        assert values.shape == (6,)
        assert np.isfinite(values).all(), name
        assert np.ptp(values) > 0, name
    (embeddings,) = detector.embeddings(bank.select(split="test")).values()
    assert embeddings.shape == (6, 2 * 16 * (2 if pooling == "statistics" else 1))
    known = detector.score(bank.select(split="train"))["knn"]
    np.testing.assert_allclose(known, 0, atol=1e-6)


class Heard(Encoder):
    """Two layers of two bands: the mean of each 0.1 s, and 2, 3 and 4 times as much in the others."""

    rate, layers, width, longest, bands = 16_000, 2, 1, 32_000, 2

    def piece_frames(self, samples: int) -> int:
        return samples // 1600 * 2

    def encode(self, waves: Tensor) -> Tensor:
        means = waves[:, : waves.shape[1] // 1600 * 1600].reshape(len(waves), -1, 1600).mean(2)
        scaled = means[:, None, :, None] * torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
        return scaled.reshape(len(waves), 2, -1, 1)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_segments_are_means_over_time_and_bands(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_encoder", lambda *_: Heard())
    levels = torch.tensor([1.0, 2.0, 3.0, 4.0])  # of seconds; a clip of 4 s is two pieces
    waves = levels.repeat_interleave(rate)[None]
    front_end = Embedded(rate=rate, pretrained="ast", most_bands=2)
    assert front_end.frames(4 * rate) == 4
    assert front_end.shape == (2, 2, 1)
    out = front_end(waves)
    factors = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    torch.testing.assert_close(out[0, ..., 0], levels[:, None, None] * factors, rtol=0.03, atol=0.03)
    joined = replace(front_end, most_bands=1)(waves)
    torch.testing.assert_close(joined[..., 0, :], out.mean(3))
    longer = replace(front_end, segment=2.0)(waves)
    torch.testing.assert_close(longer[0, :, 0, 0, 0], torch.tensor([1.5, 3.5]), rtol=0.03, atol=0.03)


def test_the_net_runs_once_per_clip_for_all_layers(
    bank: Bank, brought: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    original = Encoder.forward

    def counted(self: Encoder, waves: Tensor) -> Tensor:
        encoded.append(len(waves))
        return original(self, waves)

    monkeypatch.setattr(Encoder, "forward", counted)
    found = []
    for layer in (0.0, 0.5, 1.0, 1.0):
        own = replace(brought, features=FeatureCache(brought.features.folder.parent))  # type: ignore[attr-defined]
        detector = Pretrained(own, encoder="ast", layer=layer, backends="cos")
        for _ in detector.fit(bank.select(split="train")):
            pass
        found.append(detector.score(bank.select(split="test"))["cos"])
    assert sum(encoded) == 12
    assert len({values.tobytes() for values in found}) == 3


def test_the_hash_has_the_content_and_not_the_path(tmp_path: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        save_tiny("ast", tmp_path / folder, seed, config={"max_length": 128}, max_length=128)
    one, same, other = (
        Pretrained(Context(weights={"ast": str(tmp_path / folder)}), encoder="ast").front_end for folder in "abc"
    )
    assert one.hash == same.hash != other.hash
    assert one == same
    assert "path" not in one.to_dict()
    again = pickle.loads(pickle.dumps(same))
    assert (again, again.path) == (same, str(tmp_path / "b"))
    config = tmp_path / "b" / "config.json"
    config.write_text(config.read_text() + "\n")
    name = encoder_name("ast", str(tmp_path / "b"))
    assert name != one.to_dict()["pretrained"]
    with pytest.raises(AsdRayError, match=f"it holds {name}, but ast:.* is needed; bring the folder") as raised:
        load_encoder(one.to_dict()["pretrained"], {"ast": str(tmp_path / "b")})
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_without_a_file_the_family_says_what_to_bring(bank: Bank, brought: Context, context: Context) -> None:
    train = bank.select(split="train")
    detector = Pretrained(brought, encoder="ast")
    assert detector.suits(train.frame) == ""
    for _ in detector.fit(train):
        pass
    without = Pretrained(context, encoder="ast")
    assert "it needs pretrained weights, and none of an encoder are brought; give them with --weights" in without.suits(
        train.frame
    )
    for call in (lambda: list(without.fit(train)), lambda: without.load(detector.state())):
        with pytest.raises(AsdRayError, match=r"no file of the encoder ast\S* is named; bring .* \$ASD_RAY_WEIGHTS"):
            call()


def test_a_state_of_some_weights_never_scores_with_others(bank: Bank, brought: Context, tmp_path: Path) -> None:
    save_tiny("ast", tmp_path, 1, config={"max_length": 128}, max_length=128)
    brought = replace(brought, features=DirectFeatures())  # a cache has the embeddings of all clips after a fit
    detector = Pretrained(brought, encoder="ast", backends="cos")
    for _ in detector.fit(bank.select(split="train")):
        pass
    state, own = detector.state(), encoder_name("ast", str(tmp_path))
    other = replace(brought, weights={"ast": str(tmp_path)})
    with pytest.raises(AsdRayError, match=f"it holds {own}, but {state['encoder']} is needed"):
        Pretrained(other, encoder="ast").load(state)
    with pytest.raises(
        AsdRayError, match=f"the state is of the encoder {state['encoder']}, but the detector has {own}"
    ):
        Pretrained(other, encoder="ast", pretrained=own).load(state)
    detector.context.weights["ast"] = str(tmp_path)  # the file changes after the fit
    with pytest.raises(AsdRayError, match=f"but {state['encoder']} is needed"):
        detector.score(bank.select(split="test"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"encoder": "best"}, "encoder of Pretrained must be one of ast"),
        ({"layer": 1.5}, r"layer of Pretrained must be in \[0, 1\]"),
        ({"pooling": "sum"}, "pooling of Pretrained must be one of mean"),
        ({"gem_p": 0.5}, "gem_p of Pretrained must be 1 or more"),
        ({"pretrained": "clap:0123456789ab"}, "pretrained of Pretrained must be weights of ast"),
        ({"backends": "knn,near"}, "unknown backend 'near'"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        Pretrained(Context(), **{"encoder": "ast", **wrong})


def test_the_far_microphone_is_subtracted_in_the_embedding(tmp_path: Path, weights: dict[str, str]) -> None:
    workspace = Workspace(tmp_path, channels=2)
    bank, context = workspace.bank("plain"), replace(workspace.context(), weights=weights)
    one = open_bank(workspace.folder / "plain", channel=1, cache=workspace.folder / "cache", workers=1)
    of: dict[str, npt.NDArray[np.floating]] = {}
    for microphone in ("near", "far", "near-far"):
        detector = fit_on(Pretrained(context, encoder="ast", backends="knn", microphone=microphone), bank)
        (of[microphone],) = detector.embeddings(bank.select(split="test")).values()  # type: ignore[attr-defined]
    (far,) = (
        fit_on(Pretrained(context, encoder="ast", backends="knn"), one)
        .embeddings(  # type: ignore[attr-defined]
            one.select(split="test")
        )
        .values()
    )
    np.testing.assert_array_equal(of["far"], far)
    unit = {name: rows / np.linalg.norm(rows, axis=1, keepdims=True) for name, rows in of.items()}
    np.testing.assert_allclose(of["near-far"], unit["near"] - 0.5 * unit["far"], atol=1e-6)


def test_a_bank_of_one_channel_has_no_far_microphone(brought: Context, bank: Bank) -> None:
    frame = bank.select(split="train").frame.assign(kept_channels=1, channels=2)
    assert "keep all: --channel all" in Pretrained(brought, encoder="ast", microphone="far").suits(frame)
    assert Pretrained(brought, encoder="ast").suits(frame) == ""
