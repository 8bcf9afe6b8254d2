from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.detectors import Context, Scores
from asd_ray.detectors.encoders.loading import encoder_name, load_encoder
from asd_ray.detectors.families.finetuned import Finetuned
from asd_ray.detectors.nets.tuned_encoder import TunedEncoder
from asd_ray.detectors.parts.classifier import VARIANTS, WITH_MARGIN
from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.errors import AsdRayError

from ...tiny_encoders import transformers

MakeBank = Callable[[dict[str, npt.NDArray[np.floating]]], Bank]
SMALL: dict[str, Any] = {
    "encoder": "ast",
    "rank": 2,
    "epochs": 1,
    "batch_size": 6,
    "seconds": 0.6,
    "backends": "knn",
    "lr": 1e-2,
}
WIDTH = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny transformer of spectrograms with random weights."""
    folder = tmp_path_factory.mktemp("ast")
    save(folder, seed=0)
    return folder


def save(folder: Path, seed: int, **shape: int) -> None:
    """As `save_tiny`, with less time to pad short clips to."""
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 2 * WIDTH}
    config = transformers.ASTConfig(**sizes, max_length=64, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformers.ASTModel(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor().save_pretrained(folder)


@pytest.fixture
def tuning(context: Context, folder: Path) -> Callable[..., Finetuned]:
    """A new detector with small settings that has the user's file."""

    def new(seed: int = 0, **params: Any) -> Finetuned:
        own = replace(context, weights={"ast": str(folder)}, seed=seed)
        return Finetuned(own, **{**SMALL, "pretrained": encoder_name("ast", str(folder)), **params})

    return new


@pytest.fixture
def bank(bank_of: MakeBank) -> Bank:
    """Two ids with six training clips and two test clips."""
    rng, waves = np.random.default_rng(0), {}
    for id, hum in (("00", 200), ("01", 300)):
        for number in range(8):
            split = "train" if number < 6 else "test"
            name = f"fan/{split}/section_{id}_source_{split}_normal_{number:04d}_vel_1"
            waves[name] = 0.1 * np.sin(2 * np.pi * hum * np.arange(9600) / 16_000) + rng.normal(0, 0.05, 9600)
    return bank_of(waves)


@pytest.fixture
def train(bank: Bank) -> ClipSet:
    return bank.select(split="train")


@pytest.fixture
def test(bank: Bank) -> ClipSet:
    return bank.select(split="test")


def fitted(detector: Finetuned, train: ClipSet) -> Finetuned:
    assert len(list(detector.fit(train))) == detector.epochs
    return detector


def net_of(detector: Finetuned) -> TunedEncoder:
    assert detector._fitted.classifier is not None
    net = detector._fitted.classifier.net
    assert isinstance(net, TunedEncoder)
    return net


def frozen_means(detector: Finetuned, clips: ClipSet) -> torch.Tensor:
    """The mean frame of the last layer of the encoder in the user's file."""
    encoder = load_encoder(detector.pretrained, detector.context.weights)
    with torch.inference_mode():
        means: torch.Tensor = encoder(detector._waves(clips)(torch.arange(len(clips))))[:, -1].mean(1)
    return means


def same(one: Scores, other: Scores, variant: str = "nll") -> bool:
    return bool(np.allclose(one[variant], other[variant], rtol=1e-6))


@pytest.mark.parametrize("params", [{"rank": 0}, {"tune": "head"}])
def test_rank_0_is_the_frozen_net(
    tuning: Callable[..., Finetuned], train: ClipSet, test: ClipSet, params: dict[str, Any]
) -> None:
    detector = fitted(tuning(**params), train)
    np.testing.assert_array_equal(detector.embeddings(test)["embedding"], frozen_means(detector, test).numpy())


def test_a_rank_moves_the_embeddings_and_no_frozen_weight(
    tuning: Callable[..., Finetuned], train: ClipSet, test: ClipSet, folder: Path
) -> None:
    detector = fitted(tuning(), train)
    assert np.abs(detector.embeddings(test)["embedding"] - frozen_means(detector, test).numpy()).max() > 1e-3
    before = load_encoder(detector.pretrained, {"ast": str(folder)}).state_dict()
    after = net_of(detector).encoder_alone[0].state_dict()
    kept = {name.replace(".frozen.", "."): value for name, value in after.items() if "low_rank" not in name}
    assert before.keys() == kept.keys()
    assert all(torch.equal(before[name], kept[name]) for name in before)


def test_gradients_reach_adapters_pooling_and_head_alone(tuning: Callable[..., Finetuned], train: ClipSet) -> None:
    detector = fitted(tuning(pooling="attentive", projection=8), train)
    net = net_of(detector)
    names = [name for name, weight in net.encoder_alone[0].named_parameters() if weight.grad is not None]
    assert names
    assert all(".low_rank." in name for name in names)
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in net.parameters())


@pytest.mark.parametrize("tune", ["lora", "head", "all"])
def test_what_the_state_has(tuning: Callable[..., Finetuned], train: ClipSet, tune: str) -> None:
    """Adapters of both blocks, or nothing of the encoder, or all of it."""
    detector = fitted(tuning(tune=tune, backends=""), train)
    stored = detector.state()["net"]
    of_encoder = load_encoder(detector.pretrained, detector.context.weights).state_dict()
    if tune == "all":
        assert {name.removeprefix("changed.") for name in stored} == of_encoder.keys()
        assert any(not torch.equal(value, of_encoder[name.removeprefix("changed.")]) for name, value in stored.items())
        return
    assert sum(value.numel() for value in stored.values()) == (0 if tune == "head" else 2 * 4 * 2 * 2 * WIDTH)
    assert (
        len(to_bytes(detector.state(), {}))
        < 0.2 * (Path(detector.context.weights["ast"]) / "model.safetensors").stat().st_size
    )


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"tune": "head"},
        {"tune": "all"},
        {"pooling": "attentive", "head": "scac"},
        {"head": "adaproj", "projection": 20},
    ],
)
def test_a_loaded_state_gives_the_same_scores(
    tuning: Callable[..., Finetuned], train: ClipSet, test: ClipSet, params: dict[str, Any]
) -> None:
    detector, again = fitted(tuning(**params), train), tuning(**params)
    again.load(from_bytes(to_bytes(detector.state(), {}), "state")[0])
    expected = detector.score(test)
    assert list(expected) == [*VARIANTS, *([WITH_MARGIN] if detector.head == "arcface" else []), "knn"]
    for variant, values in again.score(test).items():
        np.testing.assert_array_equal(values, expected[variant])


def test_a_state_needs_the_same_file_again(
    tuning: Callable[..., Finetuned], train: ClipSet, folder: Path, tmp_path: Path
) -> None:
    detector = fitted(tuning(), train)
    for named in (detector.pretrained, ""):
        without = Finetuned(replace(detector.context, weights={}), **{**SMALL, "pretrained": named})
        with pytest.raises(AsdRayError, match=f"no file of the encoder {detector.pretrained} is named"):
            without.load(detector.state())
    save(tmp_path, seed=1)
    for named in (detector.pretrained, ""):
        other = Finetuned(replace(detector.context, weights={"ast": str(tmp_path)}), **{**SMALL, "pretrained": named})
        with pytest.raises(AsdRayError, match=f"but {detector.pretrained} is needed"):
            other.load(detector.state())


def test_without_a_name_the_brought_file_is_used(
    tuning: Callable[..., Finetuned], train: ClipSet, test: ClipSet, context: Context, tmp_path: Path
) -> None:
    named, nameless = fitted(tuning(), train), fitted(tuning(pretrained=""), train)
    assert named.state()["encoder"] == nameless.state()["encoder"] == named.pretrained
    assert same(named.score(test), nameless.score(test))
    nameless.context.weights["ast"] = str(tmp_path)  # the file changes after the training
    save(tmp_path, seed=1)
    assert nameless.state()["encoder"] == named.pretrained
    assert nameless.suits(train.frame) == ""
    assert "none of an encoder are brought; give them with --weights" in Finetuned(context, **SMALL).suits(train.frame)


def test_every_setting_changes_the_scores(tuning: Callable[..., Finetuned], train: ClipSet, test: ClipSet) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"tune": "all"},
        {"tune": "head"},
        {"rank": 4},
        {"lora_alpha": 4.0},
        {"places": "blocks"},
        {"layer": 0.0},
        {"pooling": "attentive"},
        {"projection": 8},
        {"head": "scac"},
        {"head": "scac", "learned": False},
        {"head": "adaproj", "sub_clusters": 4},
        {"labels": "ward", "clusters": 3},
        {"labels": "ward", "clusters": 3, "cluster_by": "embedding"},
        {"scale": 20.0},
        {"margin": 0.2},
        {"seconds": 0.5},
        {"mix": 0.0},
        {"mix": 1.0, "alpha": 0.2},
        {"time_mask": 0.0},
        {"band_mask": 0.0},
        {"lr": 1e-3},
        {"warmup": 0.9},
        {"weight_decay": 10.0},
        {"batch_size": 4},
    ]
    found = [fitted(tuning(**{"backends": "", **each}), train).score(test) for each in settings]
    alike = [(settings[i], settings[j]) for i in range(len(found)) for j in range(i) if same(found[i], found[j])]
    assert not alike


def test_the_seed_alone_decides(
    tuning: Callable[..., Finetuned],
    bank: Bank,
    seed_alone_decides: Callable[[Callable[[int], Finetuned], Bank], list[dict[str, float]]],
) -> None:
    seed_alone_decides(lambda seed: tuning(seed, epochs=2), bank)


def test_the_loss_falls(tuning: Callable[..., Finetuned], train: ClipSet) -> None:
    detector = tuning(epochs=8, mix=0.0, margin=0.0, tune="lora", warmup=0.0)
    losses = [step.losses["train"] for step in detector.fit(train)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"encoder": "eta"}, "encoder of Finetuned must be one of "),
        ({"tune": "some"}, "tune of Finetuned must be one of lora, all, head but got 'some'"),
        ({"places": "mlp"}, "places of Finetuned must be one of attention, blocks"),
        ({"pretrained": "beats:1a2b3c4d5e6f"}, "pretrained of Finetuned must be weights of ast, such as ast:1a2b"),
        ({"layer": 1.1}, r"layer of Finetuned must be in \[0, 1\]"),
        ({"pooling": "max"}, "pooling of Finetuned must be one of mean, attentive"),
        ({"cluster_by": "sound"}, "cluster_by of Finetuned must be one of spectrum, embedding but got 'sound'"),
        ({"head": "softmax"}, "head of Finetuned must be one of arcface, scac, adaproj"),
        ({"rank": -1}, "rank of Finetuned must be a whole number of at least 0"),
        ({"lora_alpha": 0.0}, "lora_alpha of Finetuned must be above 0"),
        ({"margin": 1.5}, r"margin of Finetuned must be in \[0, 1.5\)"),
        (
            {"rank": 0, "head": "scac", "learned": False},
            "learned of Finetuned must be true where nothing else is trained",
        ),
        ({"seconds": 0.1}, "seconds of Finetuned must be 0.25 or more"),
        ({"mix": 1.1}, r"mix of Finetuned must be in \[0, 1\]"),
        ({"band_mask": 1.0}, r"band_mask of Finetuned must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, "weight_decay of Finetuned must be 0 or more"),
        ({"lr": 0.0}, "lr of Finetuned must be above 0"),
        ({"backends": "knnn"}, "unknown backend 'knnn'"),
    ],
)
def test_parameters_out_of_bounds_are_rejected(
    tuning: Callable[..., Finetuned], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(AsdRayError, match=message):
        tuning(**params)


def test_what_fits_no_encoder_is_an_error(
    tuning: Callable[..., Finetuned], train: ClipSet, context: Context, tmp_path: Path
) -> None:
    save(tmp_path / "wide", seed=0, patch_size=32)
    wide = Finetuned(replace(context, weights={"ast": str(tmp_path / "wide")}), **{**SMALL, "seconds": 0.3})
    with pytest.raises(AsdRayError, match="seconds of Finetuned must be enough for one frame of the encoder ast"):
        next(iter(wide.fit(train)))
    with pytest.raises(AsdRayError, match="has no attention layers that are larger than matrices of rank 8"):
        next(iter(tuning(rank=8).fit(train)))
