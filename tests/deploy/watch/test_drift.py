from __future__ import annotations

import numpy as np
import pytest

from asd_ray.deploy.watch.drift import DriftRule
from asd_ray.errors import AsdRayError

NORMAL = np.random.default_rng(0).normal(0, 1, 100)


def looks(scores: np.ndarray, windows: int = 240, overlap: float = 0.0) -> tuple[DriftRule, list[int]]:
    rule = DriftRule(NORMAL, windows, overlap)
    return rule, [at for at, score in enumerate(scores) if rule.add(float(score))]


@pytest.mark.parametrize(("shift", "above"), [(1.5, True), (-1.5, False)])
def test_a_shift_is_reported_once(shift: float, above: bool) -> None:
    rule, found = looks(np.random.default_rng(1).normal(shift, 1, 2_000))
    assert found == [239]  # as soon as there are enough windows
    assert (rule.share_below > 0.5) is above


def test_a_shift_that_ends_and_comes_back_is_reported_again() -> None:
    rng = np.random.default_rng(2)
    scores = np.concatenate([rng.normal(shift, 1, 1_000) for shift in (0, 2, 0, 2)])
    assert [at // 1_000 for at in looks(scores)[1]] == [1, 3]


def test_normal_sound_rarely_drifts() -> None:
    """Each seed is five hours at the default hop, with its own normal clips."""
    found = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rule = DriftRule(rng.normal(0, 1, 100), overlap=0.5)
        half = rng.normal(0, 1, 3_601)
        found += sum(rule.add(float(score)) for score in (half[1:] + half[:-1]) / np.sqrt(2))  # neighbours overlap
    assert found == 0


def test_few_clips_cannot_tell_a_drift() -> None:
    rule = DriftRule(NORMAL[:10])
    assert not rule.possible
    assert "too few" in rule.words
    assert not any(rule.add(100.0) for _ in range(1_000))
    assert DriftRule(NORMAL[:20]).possible


def test_the_rule_is_said_in_words() -> None:
    assert "the last 240 windows is above less than 26% or more than 74%" in DriftRule(NORMAL).words


def test_the_number_of_windows_is_checked() -> None:
    with pytest.raises(AsdRayError, match="--drift-windows must be a whole number from 1"):
        DriftRule(NORMAL, 0)
