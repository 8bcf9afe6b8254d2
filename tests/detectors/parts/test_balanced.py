from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from asd_ray.detectors.parts.balanced import balanced_draws

IS_TARGET = torch.tensor([True] * 3 + [False] * 37)


def drawn(share: float, batches: int, size: int) -> list[torch.Tensor]:
    draws = balanced_draws(IS_TARGET, share, np.random.default_rng(0))
    assert draws is not None
    return [draws(size) for _ in range(batches)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_exact_in_expectation(share: float) -> None:
    positions = torch.cat(drawn(share, 200, 64))
    deviation = (share * (1 - share) / len(positions)) ** 0.5
    assert float(IS_TARGET[positions].float().mean()) == pytest.approx(share, abs=4 * deviation)


def test_inside_a_domain_all_clips_are_drawn_equally_often() -> None:
    positions = torch.cat(drawn(0.5, 40, 20))
    counts = Counter(positions.tolist())
    for domain in (range(3), range(3, 40)):
        times = [counts[position] for position in domain]
        assert max(times) - min(times) <= 1
        assert min(times) > 5


def test_the_order_is_new_in_each_round() -> None:
    positions = torch.cat(drawn(0.5, 40, 20))
    targets = positions[IS_TARGET[positions]]
    rounds = {tuple(each.tolist()) for each in targets[: len(targets) // 3 * 3].view(-1, 3)}
    assert len(rounds) == 6  # all orders of three clips


def test_nothing_is_drawn_without_a_share_or_with_one_domain() -> None:
    rng = np.random.default_rng(0)
    assert balanced_draws(IS_TARGET, 0.0, rng) is None
    for flags in (IS_TARGET[:3], IS_TARGET[3:], IS_TARGET[:0]):
        assert balanced_draws(flags, 0.5, rng) is None
