from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import Bank
from asd_ray.detectors import Context
from asd_ray.detectors.parts import classifier as classify
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.heads import ArcFace
from asd_ray.detectors.parts.training import images_of
from asd_ray.features import windows_of


def test_scores_of_a_window_are_those_of_its_own_class() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    p = math.e / (1 + math.e + math.e**2)
    actual = classify.window_scores(logits, torch.tensor([[False, True, False]]))
    expected = {
        "probability": -p,
        "log_odds": math.log((1 - p) / p),
        "nll": -math.log(p),
        "log_odds_2021": math.log((1 - p) - math.log(p)),
    }
    assert {name: float(value) for name, value in actual.items()} == pytest.approx(expected, rel=1e-9)


def test_the_likeliest_of_several_allowed_classes_counts() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0]])
    several = classify.window_scores(logits, torch.tensor([[False, True, True]]))
    assert float(several["nll"]) == pytest.approx(-float(logits.log_softmax(1)[0, 2]), rel=1e-6)


def test_scores_keep_their_order_where_the_probability_is_1() -> None:
    """In single precision both probabilities are 1 and both scores the same."""
    logits = torch.tensor([[40.0, 0.0], [60.0, 0.0], [-2000.0, 0.0]])
    actual = classify.window_scores(logits, torch.tensor([[True, False]] * 3))
    assert actual["log_odds"].tolist() == [-40, -60, 2000]
    assert actual["nll"][0] > actual["nll"][1] > 0
    assert all(bool(values.isfinite().all()) for values in actual.values())


class First(nn.Module):
    """An embedding of one number, the first pixel of an image; it is the logit of the first of two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 1))

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0, 0, :1]

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.cat([embedding, torch.zeros_like(embedding)], 1)


def test_a_clip_gets_the_mean_of_its_windows(bank_of: Callable[..., Bank]) -> None:
    names = [f"fan/train/section_0{id}_source_train_normal_0000_vel_1" for id in (0, 1)]
    clips = bank_of({name: np.zeros(2000) for name in names}).select()
    windows, image = windows_of([10, 14], 4, 3), images_of(torch.arange(24.0).view(24, 1), 4)
    result = classify.Classifier(
        Context(), lambda clips: (image, windows), First(), First(), Classes(["fan/00", "fan/01"]), "", clips
    )
    scores, embeddings = result._scores(clips)
    assert windows.start.tolist() == [0, 3, 6, 10, 13, 16, 19]
    assert embeddings.tolist() == [[3.0], [14.5]]
    np.testing.assert_allclose(scores["log_odds"], [-3, 14.5])
    assert list(scores) == list(classify.VARIANTS)


def test_the_margin_lowers_the_own_class_and_nll_margin_is_the_training_loss() -> None:
    head, embedding = (
        ArcFace(4, 3, scale=5.0, margin=0.3),
        torch.randn(6, 4, generator=torch.Generator().manual_seed(0)),
    )
    own = torch.tensor([0, 1, 2, 0, 1, 2])
    actual = classify.head_scores(head, embedding, nn.functional.one_hot(own, 3).bool())
    assert bool((actual["nll_margin"] > actual["nll"]).all())
    loss = nn.functional.cross_entropy(head.logits(embedding, own), own)
    assert actual["nll_margin"].mean().item() == pytest.approx(loss.item(), rel=1e-5)
    assert classify.variants_of(head) == list(actual)
