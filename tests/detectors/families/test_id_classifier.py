from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from asd_ray.clips.bank import Bank
from asd_ray.detectors import Context, Scores
from asd_ray.detectors.families.id_classifier import IdClassifier, _Augmentation, _FasterImages, _WarpedImages
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.classifier import VARIANTS, Classifier
from asd_ray.detectors.parts.heads import ArcFace, Softmax
from asd_ray.errors import AsdRayError
from asd_ray.features import FasterLogMel, windows_of

MakeBank = Callable[[dict[str, npt.NDArray[np.floating]]], Bank]
SMALL: dict[str, Any] = {"epochs": 1, "batch_size": 8, "frames": 32}


@pytest.fixture
def bank(bank_of: MakeBank) -> Bank:
    """Two ids with three training clips and one test clip of 40 frames each."""
    rng = np.random.default_rng(0)
    names = [f"fan/{split}/section_0{id}_source_{split}_normal_{i:04d}_vel_{i}"
             for id in (0, 1) for split, count in (("train", 3), ("test", 1)) for i in range(count)]  # fmt: skip
    return bank_of({name: rng.normal(0, 0.1, 512 * 39) for name in names})


def fitted(context: Context, bank: Bank, **params: Any) -> IdClassifier:
    detector = IdClassifier(context, **{**SMALL, **params})
    assert len(list(detector.fit(bank.select(split="train")))) == 1
    return detector


def classifier(detector: IdClassifier) -> Classifier:
    assert detector._fitted.classifier is not None
    return detector._fitted.classifier


def differ(one: Scores, other: Scores, variant: str = "nll") -> bool:
    return not np.allclose(one[variant], other[variant])


def test_variants_come_from_logits_and_from_embeddings(context: Context, bank: Bank) -> None:
    scores = fitted(context, bank).score(bank.select(split="test"))
    assert list(scores) == [*VARIANTS, "knn", "lof", "maha", "gmm"]
    assert list(fitted(context, bank, backends="").score(bank.select(split="test"))) == list(VARIANTS)


def test_every_setting_changes_the_scores(context: Context, bank: Bank) -> None:
    test = bank.select(split="test")
    settings: list[dict[str, Any]] = [
        {"mix": "none", "warps": 0},
        {"mix": "before", "warps": 0},
        {"mix": "after", "warps": 0},
        {"mix": "none", "warps": 1},
        {"mix": "none", "warps": 1, "warp": "time"},
        {"mix": "none", "warps": 0, "channels": 3},
        {"mix": "none", "warps": 0, "net": "resnet50"},
        {"mix": "none", "warps": 0, "head": "arcface"},
    ]
    actual = [fitted(context, bank, **each, backends="").score(test) for each in settings]
    assert all(differ(actual[i], actual[j]) for i in range(len(actual)) for j in range(i))


def test_the_head_has_a_class_for_each_id_and_each_of_its_warps(context: Context, bank: Bank) -> None:
    plain = classifier(fitted(context, bank, warps=0, backends=""))
    assert isinstance(plain.head, Softmax)
    assert plain.head.linear.weight.shape == (2, 1280)
    warped = classifier(fitted(context, bank, warps=2, head="arcface", backends=""))
    assert isinstance(warped.head, ArcFace)
    assert warped.head.weight.shape == (6, 1280)
    assert warped.classes.names == ["fan/00", "fan/01"]


def test_test_hop_sets_the_hop_of_scoring(context: Context, bank: Bank) -> None:
    result = fitted(context, bank, hop=8, test_hop=1, backends="")
    assert classifier(result).inputs(bank.select(split="test"))[1].counts.tolist() == [9, 9]
    assert fitted(context, bank, test_hop=8)._inputs(bank.select(split="test"))[1].counts.tolist() == [2, 2]


def test_a_batch_is_mixed_and_its_proportions_are_returned(context: Context) -> None:
    owner, positions = IdClassifier(context, mix="after", warps=2, frames=32), torch.arange(200)
    perturbed = _WarpedImages(owner, torch.randn(200 * 32, 16), windows_of([32] * 200, 32))
    images, labels = perturbed(positions, None), positions % 3
    mixed, first, second, weights = _Augmentation(owner, 3, perturbed)(positions, labels)
    assert set(first.tolist()) == set(range(9))
    assert torch.equal(first % 3, labels)
    whole = weights == 1
    assert 60 < int(whole.sum()) < 140
    untouched = whole & (first < 3)
    assert torch.equal(mixed[untouched], images[untouched])
    assert not any(torch.equal(a, b) for a, b in zip(mixed[~whole], images[~whole], strict=True))
    assert bool(((weights >= 0) & (weights <= 1)).all())
    assert not torch.equal(first, second)


def test_without_augmentation_a_batch_is_unchanged(context: Context) -> None:
    owner, positions = IdClassifier(context, mix="none", warps=0, frames=32), torch.arange(20)
    perturbed = _WarpedImages(owner, torch.randn(20 * 32, 16), windows_of([32] * 20, 32))
    mixed, first, second, weights = _Augmentation(owner, 3, perturbed)(positions, positions % 3)
    assert torch.equal(mixed, perturbed(positions, None))
    assert torch.equal(first, second)
    assert weights.tolist() == [1] * 20


def test_faster_sound_is_taken_at_the_same_share_of_its_clip(context: Context, bank_of: MakeBank) -> None:
    """Clips whose noise becomes 10 dB louder in their middle: so do the images of every speed."""
    noise = np.random.default_rng(0).normal(0, 0.01, (4, 64_000))
    noise[:, 32_000:] *= 10**0.5
    bank = bank_of({f"fan/train/section_00_source_train_normal_{i:04d}": wave for i, wave in enumerate(noise)})
    owner = IdClassifier(context, warp="time", warps=4, frames=32, hop=1)
    train = bank.select(split="train")
    frames, windows = training.frames_of(owner.front_end, train, 32, context)
    faster, positions = _FasterImages(owner, train, frames, windows), torch.arange(len(windows))
    _, first_wave = next(iter(train.take([0]).batches(1)))
    loudness = [faster(positions, torch.full_like(positions, number)).mean((1, 2, 3)) for number in range(5)]
    assert torch.equal(loudness[0], faster(positions, None).mean((1, 2, 3)))
    for number, speed in enumerate((1.1, 0.9, 1.2, 0.8), 1):
        alone = FasterLogMel.of(owner.front_end, speed)(torch.from_numpy(first_wave))[0]
        image = faster(positions[:1], torch.tensor([number]))[0, 0].T
        assert torch.allclose(image[:, :64], alone[:32, :64], atol=0.01)  # above, slow sound is but rounding errors
        correlation = torch.corrcoef(torch.stack([loudness[0], loudness[number]]))[0, 1]
        assert correlation > 0.95


def test_attributes_are_the_classes_if_there_is_one_id(context: Context, bank: Bank) -> None:
    one = bank.select(split="train", id="00")
    detector = IdClassifier(context, **SMALL)
    list(detector.fit(one))
    assert classifier(detector).classes.names == [f'fan/00/{{"vel": "{i}"}}' for i in range(3)]
    assert all(np.isfinite(values).all() for values in detector.score(bank.select(split="test")).values())


def test_one_clip_needs_warps(context: Context, bank: Bank) -> None:
    one = bank.select(split="train", id="00").take([0])
    with pytest.raises(AsdRayError, match="fan/00: it learns to tell classes .* single training clip; record more"):
        next(iter(IdClassifier(context, **SMALL, warps=0).fit(one)))
    assert next(iter(IdClassifier(context, **SMALL, warps=1).fit(one))).epoch == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"net": "vgg"}, "net of IdClassifier must be one of mobilenet_v2, resnet50 but got 'vgg'"),
        ({"mix": "never"}, "mix of IdClassifier must be one of none, before, after, both"),
        ({"warp": "mel"}, "warp of IdClassifier must be one of image, time but got 'mel'"),
        ({"warp": "time", "warps": 11}, 'warps of IdClassifier must be at most 10 for warp="time"'),
        ({"warps": -1}, "warps of IdClassifier must be a whole number of at least 0"),
        ({"backends": "knnn"}, "unknown backend 'knnn'; did you mean 'knn'"),
        ({"channels": 2}, "channels of IdClassifier must be 1 or 3"),
        ({"margin": 2.0}, "margin of IdClassifier must be in"),
    ],
)
def test_parameters_out_of_bounds_are_rejected(context: Context, params: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        IdClassifier(context, **params)
