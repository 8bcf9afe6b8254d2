from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.detectors import Context
from asd_ray.detectors.families.idnn import IDNN, inputs_and_targets_of
from asd_ray.errors import AsdRayError
from asd_ray.features import vectors

SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 64, "hidden": 16}


@pytest.fixture
def bank(dataset: Callable[..., Path]) -> Bank:
    return open_bank(dataset(clips=6))


def fitted(bank: Bank) -> IDNN:
    detector = IDNN(Context(), **SMALL)
    for _ in detector.fit(bank.select(split="train")):
        pass
    return detector


def test_the_net_is_that_of_the_paper() -> None:
    net = IDNN(Context())._new_net()
    shapes = [tuple(each.weight.shape) for each in net if isinstance(each, nn.Linear)]
    widths = [512, 128, 64, 32, 16, 32, 64, 128, 128]
    assert shapes == [(out, into) for into, out in zip(widths, widths[1:], strict=False)]
    assert [type(each).__name__ for each in net] == ["Linear", "BatchNorm1d", "ReLU"] * 7 + ["Linear"]
    # 65,664 + 8,256 + 2,080 + 528 + 544 + 2,112 + 8,320 + 16,512 of the linear layers, 2 × 464 of the normalisation
    assert sum(each.numel() for each in net.parameters()) == 104_016 + 928


@pytest.mark.parametrize("size", [3, 5, 7])
def test_the_middle_frame_is_the_target_and_not_an_input(size: int) -> None:
    frames = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    positions, middle = torch.tensor([6]), 6 + size // 2
    inputs, expected = inputs_and_targets_of(frames, size)(positions)
    around = [frames[6 + k] for k in range(size) if k != size // 2]
    assert torch.equal(inputs[0], torch.cat(around))
    assert torch.equal(expected[0], frames[middle])
    changed = frames.clone()
    changed[middle] += 1
    other_given, other_wanted = inputs_and_targets_of(changed, size)(positions)
    assert torch.equal(other_given, inputs)
    assert torch.equal(other_wanted, expected + 1)


def test_scores_are_the_mean_and_the_largest_error_of_a_clip(bank: Bank) -> None:
    detector, test = fitted(bank), bank.select(split="test")
    scores = detector.score(test)
    features = detector.context.features.get(detector.front_end, test)
    for i in range(len(test)):
        rows = vectors(torch.from_numpy(np.array(features.clip(i))), 5)
        with torch.no_grad():
            result = detector._net(torch.cat([rows[:, :256], rows[:, 384:]], 1))
        errors = (result - rows[:, 256:384]).square().mean(1)
        assert scores["mean"][i] == pytest.approx(float(errors.mean()), rel=1e-5)
        assert scores["max"][i] == pytest.approx(float(errors.max()), rel=1e-5)


def test_the_same_seed_gives_the_same_scores_also_if_scored_between_epochs(bank: Bank, seed_alone_decides: Any) -> None:
    losses = seed_alone_decides(lambda seed: IDNN(Context(seed=seed), **SMALL), bank)
    assert [set(each) for each in losses] == [{"train"}] * 2


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"frames": 4}, "frames of IDNN must be odd but got 4"),
        ({"frames": 1}, "frames of IDNN must be a whole number of at least 3"),
        ({"hidden": 12}, "hidden of IDNN must be a multiple of 8 but got 12"),
        ({"lr": 0.0}, "lr of IDNN must be above 0"),
        ({"batch_size": 1}, "batch_size of IDNN must be a whole number of at least 2"),
    ],
)
def test_an_invalid_parameter_is_named(parameter: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        IDNN(Context(), **parameter)
