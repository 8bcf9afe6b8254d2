from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from asd_ray.clips.bank import Bank
from asd_ray.detectors import Context
from asd_ray.detectors.families.stgram import Stgram, StgramMfn, _learning_rate_factor
from asd_ray.detectors.nets.tgram import temporal_attention
from asd_ray.detectors.parts.classifier import VARIANTS, WITH_MARGIN
from asd_ray.detectors.parts.weights import read
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS

from ...published_mobilenet_v3 import timm_state

MakeBank = Callable[[dict[str, npt.NDArray[np.floating]]], Bank]
SMALL: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 4,
    "seconds": 0.5,
    "net": "mobilefacenet_2023",
    "lr": 1e-3,
    "backends": "",
}
SAMPLES = 8000  # half a second: 16 frames


@pytest.fixture
def bank(bank_of: MakeBank) -> Bank:
    """Two machines with two ids and two training clips each; two test clips, one short and one long."""
    rng = np.random.default_rng(0)
    names = [f"{machine}/train/section_0{id}_source_train_normal_{i:04d}_vel_{i}"
             for machine in ("fan", "pump") for id in (0, 1) for i in range(2)]  # fmt: skip
    tests = {f"fan/test/section_00_source_test_normal_{i:04d}_vel_1": n for i, n in enumerate((5000, 12_000))}
    waves = {**{name: SAMPLES for name in names}, **tests}
    return bank_of({name: rng.normal(0, 0.1, samples) for name, samples in waves.items()})


def fitted(context: Context, bank: Bank, machine: str | None = "fan", **params: Any) -> StgramMfn:
    detector = StgramMfn(context, **{**SMALL, **params})
    train = bank.select(split="train")
    if machine:
        train = train.take((train.frame["machine"] == machine).to_numpy())
    list(detector.fit(train))
    return detector


def net_of(detector: StgramMfn) -> Stgram:
    assert detector._fitted.classifier is not None
    assert isinstance(detector._fitted.classifier.net, Stgram)
    return detector._fitted.classifier.net


def test_the_paper_has_two_channels_of_313_frames_and_classes_of_unit_embeddings() -> None:
    """Tgram: filters 1024·128, then three times a norm of 2·313 and 128·128·3 weights."""
    net = Stgram(StgramMfn(Context()).front_end, "sgram+tgram", "mobilefacenet_2022", 160_000, unit=True)
    assert net.tgram is not None
    assert sum(each.numel() for each in net.tgram.parameters()) == 131_072 + 3 * (626 + 49_152)
    with torch.inference_mode():
        result = net.eval()(torch.randn(1, 160_000) / 10)
        images = net.spectrograms(torch.zeros(1, 160_000))
    assert result.shape == (1, 128)
    assert float(result.norm()) == pytest.approx(1, abs=1e-5)
    assert images.shape == (1, 128, 313)


@pytest.mark.parametrize(
    ("inputs", "channels", "bins"),
    [
        ("sgram+tgram", 2, 128),
        ("sgram+tgram+attention", 3, 128),
        ("sgram", 1, 128),
        ("tgram", 1, 128),
        ("spectrum", 1, 513),
    ],
)
def test_each_row_of_the_ablations_uses_the_inputs_in_its_name(
    context: Context, bank: Bank, inputs: str, channels: int, bins: int
) -> None:
    detector, seen = fitted(context, bank, inputs=inputs), []
    net = net_of(detector)
    net.net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    test = bank.select(split="test")
    detector.score(test)
    assert seen[0].shape == (2, channels, bins, 16)
    features = context.features.get(detector.front_end, test).tensor().view(2, 16, bins).transpose(1, 2)
    positions = {name: seen[0][:, place] for place, name in enumerate(inputs.split("+"))}
    if "sgram" in positions:
        torch.testing.assert_close(positions["sgram"], features, rtol=0, atol=1e-3)
    if "attention" in positions:
        torch.testing.assert_close(positions["attention"], temporal_attention(positions["sgram"]))
    if "spectrum" in positions:
        torch.testing.assert_close(positions["spectrum"], 10 * features.clamp_min(1e-10).log10(), rtol=0, atol=1e-3)


def test_every_setting_changes_the_scores(context: Context, bank: Bank) -> None:
    test = bank.select(split="test")
    changes: list[dict[str, Any]] = [
        {},
        {"inputs": "sgram"},
        {"inputs": "tgram"},
        {"inputs": "spectrum"},
        {"inputs": "sgram+tgram+attention"},
        {"picture": "noisy_arcmix"},
        {"net": "mobilefacenet_2022"},
        {"net": "mobilenet_v3"},
        {"head": "softmax"},
        {"mix": "mixup"},
        {"mix": "noisy_arcmix"},
        {"weight_decay": 5.0},
        {"anneal_after": 0, "lr": 2e-3},
        {"anneal_after": 1, "lr": 2e-3},
        {"margin": 0.2},
    ]
    scores = [tuple(fitted(context, bank, **change).score(test)["log_odds"].round(6)) for change in changes]
    assert len(set(scores)) == len(changes)


def test_a_net_starts_from_the_weights_that_a_trial_names_and_a_state_needs_none(
    context: Context, bank: Bank, tmp_path: Path
) -> None:
    path = tmp_path / "file.pt"
    torch.save(timm_state(), path)
    own = read("mobilenet_v3", str(path))
    setting = {"net": "mobilenet_v3", "inputs": "sgram+tgram", "lr": 1e-12, "epochs": 1, "pretrained": own.name}
    detector = fitted(replace(context, weights={"mobilenet_v3": str(path)}), bank, **setting)
    weights = net_of(detector).net.state_dict()
    first, later = "layers.0.0.weight", "layers.1.layers.0.0.weight"
    torch.testing.assert_close(weights[later], own.weights[later])
    torch.testing.assert_close(weights[first], own.weights[first].sum(1, keepdim=True).expand(-1, 2, -1, -1) / 2)
    path.unlink()
    again = StgramMfn(context, **{**SMALL, **setting})
    again.load(detector.state())
    test = bank.select(split="test")
    np.testing.assert_array_equal(again.score(test)["nll"], detector.score(test)["nll"])
    with pytest.raises(AsdRayError, match="no file of the weights mobilenet_v3:"):
        fitted(context, bank, **setting)


@pytest.mark.parametrize(
    ("net", "pretrained"),
    [("mobilefacenet_2023", "mobilenet_v3:0123456789ab"), ("mobilenet_v3", "mobilenet_v3"), ("mobilenet_v3", "/x.pt")],
)
def test_weights_are_named_by_their_content_and_belong_to_the_net(net: str, pretrained: str) -> None:
    with pytest.raises(AsdRayError, match=f"pretrained of StgramMfn must be the name of weights of the net {net}"):
        StgramMfn(Context(), net=net, pretrained=pretrained)


def test_waves_are_mixed_before_the_spectrogram_and_noisy_arcmix_mixes_spectrograms_too(
    context: Context, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all weights 0 each clip is replaced by its partner, so that every clip changes."""
    seen: dict[str, list[tuple[torch.Tensor, torch.Tensor | None]]] = {}
    forward = Stgram.forward
    for mix in ("mixup", "noisy_arcmix"):
        seen[mix] = []

        def spy(self: Stgram, waves: Any, images: Any = None, into: Any = seen[mix]) -> torch.Tensor:
            into.append((waves, images))
            return forward(self, waves, images)

        monkeypatch.setattr(Stgram, "forward", spy)
        monkeypatch.setattr(
            "asd_ray.detectors.families.stgram.mixing_weights",
            lambda count, *_: torch.full((count,), 0.25, dtype=torch.float32),
        )
        fitted(context, bank, mix=mix, epochs=1)
    waves, none = seen["mixup"][0]
    assert none is None
    same, images = seen["noisy_arcmix"][0]
    torch.testing.assert_close(waves, same)
    assert images is not None
    of_mixed = PRESETS["stgram"].__class__(**{**vars(PRESETS["stgram"]), "seconds": 0.5})(waves).transpose(1, 2)
    assert images.shape == of_mixed.shape
    assert not torch.allclose(images, of_mixed, atol=1)


def test_only_arcface_has_a_score_with_the_margin(context: Context, bank: Bank) -> None:
    test = bank.select(split="test")
    scores = fitted(context, bank, backends="knn,gmm").score(test)
    assert list(scores) == [*VARIANTS, WITH_MARGIN, "knn", "gmm"]
    assert (scores[WITH_MARGIN] > scores["nll"]).all()
    assert list(fitted(context, bank, head="softmax").score(test)) == list(VARIANTS)


def test_joint_training_has_the_ids_of_all_machines_as_classes_and_scores_each(context: Context, bank: Bank) -> None:
    detector = fitted(context, bank, machine=None)
    assert detector._fitted.classifier is not None
    assert detector._fitted.classifier.classes.names == ["fan/00", "fan/01", "pump/00", "pump/01"]
    alone = fitted(context, bank).score(bank.select(split="test"))
    assert not np.allclose(alone["nll"], detector.score(bank.select(split="test"))["nll"])


def test_a_long_clip_is_cut_and_a_short_one_repeated(context: Context, bank_of: MakeBank, bank: Bank) -> None:
    wave = np.random.default_rng(1).normal(0, 0.1, SAMPLES)
    names = [f"fan/test/section_00_source_test_normal_000{i}_vel_1" for i in (2, 3, 4, 5)]
    waves = (wave, np.append(wave, np.ones(900) / 2), wave[:5000], np.append(wave[:5000], wave[:3000]))
    more = bank_of(dict(zip(names, waves, strict=True))).select(split="test")
    actual = dict(zip(more.frame["clip"], fitted(context, bank).score(more)["nll"], strict=True))
    whole, longer, short, repeated = (actual[f"{name.rsplit('/', 1)[1]}.wav"] for name in names)
    assert whole == pytest.approx(longer, rel=1e-7)
    assert short == pytest.approx(repeated, rel=1e-7)
    assert short != pytest.approx(whole, rel=1e-6)


def test_the_rate_falls_after_twenty_epochs_by_a_cosine_of_all_epochs_down_to_a_tenth() -> None:
    assert [_learning_rate_factor(epoch, after=20, epochs=100) for epoch in (0, 19, 20)] == [1, 1, 1]
    assert _learning_rate_factor(70, after=20, epochs=100) == pytest.approx(0.55)
    assert _learning_rate_factor(99, after=20, epochs=100) == pytest.approx(0.55 + 0.45 * math.cos(math.pi * 0.79))
    assert (
        _learning_rate_factor(60, after=0, epochs=60)
        == _learning_rate_factor(90, after=0, epochs=60)
        == pytest.approx(0.1)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": "wave"}, "inputs of StgramMfn must be one of sgram"),
        ({"net": "resnet"}, "net of StgramMfn must be one of mobilefacenet_2022"),
        ({"mix": "waves"}, "mix of StgramMfn must be one of none, mixup"),
        ({"seconds": 0.1}, "seconds of StgramMfn must be 0.25 or more"),
        ({"alpha": 0}, "alpha of StgramMfn must be above 0"),
        ({"weight_decay": -1}, "weight_decay of StgramMfn must be 0 or more"),
        ({"anneal_after": 1.5}, "anneal_after of StgramMfn must be a whole number"),
    ],
)
def test_errors_name_parameter_and_rule(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        StgramMfn(Context(), **changes)
