from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from asd_ray.detectors.parts.gentle import LONGEST_GRADIENT, gentle_adamw, rate_factor


def test_the_rate_rises_and_falls() -> None:
    factors = [rate_factor(step, 0.2, 20) for step in range(20)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[12] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in zip(factors[4:], factors[5:], strict=False))
    assert rate_factor(20, 0.2, 20) == pytest.approx(0.0, abs=1e-12)
    assert rate_factor(0, 0.0, 1) == 1.0


def test_long_gradients_are_shortened_and_the_rate_follows_the_steps() -> None:
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimiser = gentle_adamw([matrix, vector], 0.1, 0.5, 0.5, 4)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.5, 0.0]
    rates = []
    for _ in range(4):
        matrix.grad, vector.grad = torch.full((2, 2), 3.0), torch.full((2,), 4.0)
        optimiser.step()
        norm = math.hypot(*(float(each.grad.norm()) for each in (matrix, vector) if each.grad is not None))
        assert norm == pytest.approx(LONGEST_GRADIENT, rel=1e-4)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.05])


def test_short_gradients_stay() -> None:
    vector = nn.Parameter(torch.ones(2))
    optimiser = gentle_adamw([vector], 0.1, 0.0, 0.0, 1)
    vector.grad = torch.tensor([0.3, 0.4])
    optimiser.step()
    torch.testing.assert_close(vector.grad, torch.tensor([0.3, 0.4]))
