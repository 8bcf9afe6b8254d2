from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from asd_ray.detectors import _classify as classify
from asd_ray.features import windows_of


def test_scores_of_a_window_are_those_of_its_own_class() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    p = math.e / (1 + math.e + math.e**2)
    found = classify.window_scores(logits, torch.tensor([[False, True, False]]))
    expected = {
        "probability": -p,
        "log_odds": math.log((1 - p) / p),
        "nll": -math.log(p),
        "log_odds_2021": math.log((1 - p) - math.log(p)),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-9)


def test_of_several_allowed_classes_the_likeliest_is_its_own() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0]])
    several = classify.window_scores(logits, torch.tensor([[False, True, True]]))
    assert float(several["nll"]) == pytest.approx(-float(logits.log_softmax(1)[0, 2]), rel=1e-6)


def test_a_certain_window_still_has_an_order() -> None:
    """In single precision both probabilities are 1 and both scores the same."""
    logits = torch.tensor([[40.0, 0.0], [60.0, 0.0], [-2000.0, 0.0]])
    found = classify.window_scores(logits, torch.tensor([[True, False]] * 3))
    assert found["log_odds"].tolist() == [-40, -60, 2000]
    assert found["nll"][0] > found["nll"][1] > 0
    assert all(bool(values.isfinite().all()) for values in found.values())


def test_a_clip_has_the_mean_of_its_windows() -> None:
    frames = torch.arange(24.0).view(24, 1)
    windows = windows_of([10, 14], 4, 3)

    def hear(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = pictures[:, 0, 0, :1]
        return first, torch.cat([first, torch.zeros_like(first)], 1)

    from asd_ray.detectors._training import pictures_of

    allowed = torch.tensor([[True, False], [False, True]])
    scores, embeddings = classify.clip_scores(hear, pictures_of(frames, 4), windows, allowed)
    assert windows.start.tolist() == [0, 3, 6, 10, 13, 16, 19]
    assert embeddings.tolist() == [[3.0], [14.5]]
    np.testing.assert_allclose(scores["log_odds"], [-3, 14.5])
    assert list(scores) == list(classify.VARIANTS)
