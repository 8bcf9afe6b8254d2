from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from asd_ray.ensembling.lower_mode import lower_mode

NORMALS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed": lambda rng, n: (rng.gamma(9, 1, n) - 9) / 3,  # as means of several detectors are
    "heavy tails": lambda rng, n: rng.standard_t(4, n) / 2**0.5,
}


def rates(shape: str, share: float, shift: float, seeds: int = 12, count: int = 300) -> tuple[float, float, float]:
    """False alarms and recall of the 90th percentile of the lower mode, and recall of that of all clips."""
    alarms, found, found_by_all = [], [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        normal = NORMALS[shape](rng, count - int(share * count))
        anomalous = shift + 1.5 * rng.normal(size=int(share * count))
        every = np.concatenate([normal, anomalous])
        mode, percentile = lower_mode(every), float(np.percentile(every, 90))
        limit = percentile if mode is None else min(percentile, mode.percentile(90))
        alarms.append((normal > limit).mean())
        found.append((anomalous > limit).mean() if len(anomalous) else np.nan)
        found_by_all.append((anomalous > percentile).mean() if len(anomalous) else np.nan)
    return float(np.mean(alarms)), float(np.mean(found)), float(np.mean(found_by_all))


@pytest.mark.parametrize("shape", NORMALS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5])
def test_false_alarms_stay_near_the_wished_tenth_whatever_the_share_of_anomalies(shape: str, share: float) -> None:
    alarms, _, _ = rates(shape, share, 4.0)
    assert 0.02 < alarms < (0.22 if shape == "skewed" else 0.14)


@pytest.mark.parametrize("shape", NORMALS)
def test_half_of_the_clips_being_anomalies_does_not_hide_them(shape: str) -> None:
    _, found, by_all = rates(shape, 0.5, 4.0)
    assert by_all < 0.21
    assert found > 0.85


def test_the_lower_mode_has_its_share_centre_and_width() -> None:
    rng = np.random.default_rng(0)
    mode = lower_mode(np.concatenate([rng.normal(2, 0.5, 600), rng.normal(6, 0.5, 400)]))
    assert mode is not None
    assert mode.share == pytest.approx(0.6, abs=0.02)
    assert mode.centre == pytest.approx(2, abs=0.1)
    assert mode.width == pytest.approx(0.5, abs=0.1)
    assert mode.percentile(90) == pytest.approx(2 + 1.2816 * mode.width, abs=0.1)


def test_a_few_outliers_below_are_not_the_normal_clips() -> None:
    rng = np.random.default_rng(0)
    assert lower_mode(np.concatenate([rng.normal(-30, 1, 5), rng.normal(0, 1, 295)])) is None


@pytest.mark.parametrize("scores", [np.zeros(20), np.arange(3.0), np.random.default_rng(0).normal(size=200)])
def test_scores_of_one_kind_have_no_lower_mode(scores: np.ndarray) -> None:
    assert lower_mode(scores) is None
