from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from asd_ray.clips.bank import Bank
from asd_ray.detectors import Context, Scores
from asd_ray.detectors.families.complex_net import ComplexNet, _mixed
from asd_ray.detectors.nets.complex import ComplexEncoder, RealEncoder
from asd_ray.detectors.parts.classifier import VARIANTS, Standardised
from asd_ray.errors import AsdRayError

MakeBank = Callable[[dict[str, npt.NDArray[np.floating]]], Bank]
SMALL: dict[str, Any] = {"epochs": 1, "batch_size": 4, "frames": 32, "test_hop": 16, "width_factor": 0.1, "lr": 1e-2}


@pytest.fixture
def bank(bank_of: MakeBank) -> Bank:
    """Two ids with three training clips and one test clip of 50 frames each."""
    rng = np.random.default_rng(0)
    names = [f"fan/{split}/section_0{id}_source_{split}_normal_{i:04d}_vel_1"
             for id in (0, 1) for split, count in (("train", 3), ("test", 1)) for i in range(count)]  # fmt: skip
    return bank_of({name: rng.normal(0, 0.1, 512 * 49) for name in names})


def fitted(context: Context, bank: Bank, **params: Any) -> ComplexNet:
    detector = ComplexNet(context, **{**SMALL, **params})
    assert len(list(detector.fit(bank.select(split="train")))) == {**SMALL, **params}["epochs"]
    return detector


def modules(detector: ComplexNet) -> tuple[Standardised, Any]:
    assert detector._fitted.classifier is not None
    assert isinstance(detector._fitted.classifier.net, Standardised)
    return detector._fitted.classifier.net, detector._fitted.classifier.head


def same(one: Scores, other: Scores, variant: str = "nll") -> bool:
    return bool(np.allclose(one[variant], other[variant], rtol=1e-6))


def test_variants_come_from_logits_and_from_embeddings(context: Context, bank: Bank) -> None:
    test = bank.select(split="test")
    assert list(fitted(context, bank).score(test)) == [*VARIANTS, "knn", "lof", "maha", "gmm"]
    assert list(fitted(context, bank, backends="").score(test)) == list(VARIANTS)


def test_every_setting_changes_the_scores(context: Context, bank: Bank) -> None:
    test = bank.select(split="test")
    settings: list[dict[str, Any]] = [
        {},
        {"attention": False},
        {"mix": True},
        {"width_factor": 0.15},
        {"head_channels": 8},
        {"frames": 40},
        {"encoder": "magnitude"},
        {"encoder": "magnitude", "mix": True},
        {"encoder": "log_mel"},
        {"encoder": "log_mel", "mix": True},
    ]
    actual = [fitted(context, bank, backends="", **each).score(test) for each in settings]
    assert not any(same(actual[i], actual[j]) for i in range(len(actual)) for j in range(i))


def test_attention_has_an_effect_on_complex_encoders_only(context: Context, bank: Bank) -> None:
    test = bank.select(split="test")
    with_it, without = (fitted(context, bank, encoder="magnitude", attention=each) for each in (True, False))
    assert same(with_it.score(test), without.score(test))


@pytest.mark.parametrize(
    ("encoder", "shape"), [("complex", (2, 513, 32)), ("magnitude", (1, 513, 32)), ("log_mel", (1, 128, 32))]
)
def test_images_are_frequency_by_time(context: Context, bank: Bank, encoder: str, shape: tuple[int, int, int]) -> None:
    detector, test = ComplexNet(context, **SMALL, encoder=encoder), bank.select(split="test")
    gather, windows = detector._inputs(test)
    assert windows.counts.tolist() == [2, 2]
    frames = torch.from_numpy(np.array(context.features.get(detector.front_end, test).clip(1)))
    image = gather(torch.tensor([0, 50 + 16]))[1]
    assert tuple(image.shape) == shape
    parts = frames[16:48].permute(2, 1, 0) if encoder == "complex" else frames[None, 16:48].transpose(1, 2)
    assert torch.equal(image, parts)


def test_width_factor_gives_the_channels_of_the_paper_or_of_the_public_u_net(context: Context) -> None:
    for factor, widths in ((1.0, (45, 90)), (0.7072, (31, 62)), (1 / 45, (1, 2))):
        net = ComplexNet(context, width_factor=factor)._modules(4)[0].net
        assert isinstance(net, ComplexEncoder)
        assert (net.layers[0].real.out_channels, net.layers[3].real.out_channels) == widths
    real = ComplexNet(context, encoder="log_mel")._modules(4)[0].net
    assert isinstance(real, RealEncoder)
    assert (real.layers[0].out_channels, real.layers[3].out_channels) == (45, 90)


@pytest.mark.parametrize("encoder", ["complex", "magnitude"])
def test_the_losses_of_all_heads_add_up(context: Context, bank: Bank, encoder: str) -> None:
    detector = ComplexNet(context, **SMALL, encoder=encoder)
    (progress,) = detector.fit(bank.select(split="train"))
    heads = ["total", "magnitude", "complex"] if encoder == "complex" else ["total"]
    assert list(progress.losses) == ["train", *heads]
    assert progress.losses["train"] == pytest.approx(sum(progress.losses[name] for name in heads))


def test_all_heads_are_trained_and_the_first_gives_the_scores(context: Context, bank: Bank) -> None:
    detector = fitted(context, bank, epochs=2, backends="")
    _, head = modules(detector)
    untaught = detector._modules(2)[1]
    assert [tuple(each.linear.weight.shape) for each in head.parts] == [(2, 4)] * 3
    assert not any(torch.equal(a, b) for a, b in zip(head.parameters(), untaught.parameters(), strict=True))
    test = bank.select(split="test")
    before = detector.score(test)
    with torch.no_grad():
        for each in head.parts[1:]:
            each.linear.weight.zero_()
        assert same(before, detector.score(test))
        head.parts[0].linear.weight.zero_()
        assert not same(before, detector.score(test))


def test_the_loss_falls(context: Context, bank: Bank) -> None:
    steps = list(ComplexNet(context, **{**SMALL, "epochs": 30}).fit(bank.select(split="train")))
    for name in ("total", "magnitude", "complex"):
        assert steps[-1].losses[name] < steps[0].losses[name]


def test_complex_spectra_are_only_divided(context: Context, bank: Bank) -> None:
    train = bank.select(split="train")
    for encoder, has_mean in (("complex", False), ("magnitude", True)):
        detector = fitted(context, bank, encoder=encoder)
        net, _ = modules(detector)
        features = context.features.get(detector.front_end, train)
        frames = np.concatenate([features.clip(i) for i in range(len(train))])
        assert float(net.deviation) == pytest.approx(float(frames.std()), rel=1e-3)
        assert float(net.mean) == (pytest.approx(float(frames.mean()), rel=1e-3) if has_mean else 0)


def test_about_half_of_the_images_are_mixed_with_matching_labels() -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(300, 1, 3, 2), torch.arange(300) % 4
    mixed, soft = _mixed(images, labels, 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(soft.sum(1), torch.ones(300))
    changed = (mixed != images).flatten(1).any(1)
    assert 100 < int(changed.sum()) < 200
    assert torch.equal(soft[~changed], torch.nn.functional.one_hot(labels[~changed], 4).float())
    assert int((soft[changed].amax(1) < 1).sum()) > 80


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"encoder": "mel"}, "encoder of ComplexNet must be one of complex, magnitude, log_mel but got 'mel'"),
        ({"attention": 1}, "attention of ComplexNet must be true or false but got 1"),
        ({"mix": "both"}, "mix of ComplexNet must be true or false"),
        ({"width_factor": 0.01}, "width_factor of ComplexNet must be from 1/45 to 4 but got 0.01"),
        ({"head_channels": 0}, "head_channels of ComplexNet must be a whole number of at least 1"),
        ({"frames": 16}, "frames of ComplexNet must be a whole number of at least 17"),
        ({"test_hop": 0}, "test_hop of ComplexNet must be a whole number of at least 1"),
        ({"backends": "knnn"}, "unknown backend 'knnn'; did you mean 'knn'"),
        ({"lr": 0.0}, "lr of ComplexNet must be above 0"),
    ],
)
def test_parameters_out_of_bounds_are_rejected(context: Context, params: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        ComplexNet(context, **params)


def test_a_single_clip_is_rejected(context: Context, bank: Bank) -> None:
    with pytest.raises(AsdRayError, match="fan/00: it learns to tell classes .* there is a single training clip"):
        next(iter(ComplexNet(context, **SMALL).fit(bank.select(split="train", id="00").take([0]))))
