"""What the benchmark of explanations measures, on maps whose agreement is known."""

from __future__ import annotations

import numpy as np
import pytest

from asd_ray.clips.demo.fault_place import FaultPlace
from asd_ray.deploy.explain import HeatMap
from benchmarks.bench_explain import _random_map, agreement

HZ, SECONDS = np.linspace(0, 8000, 65), np.linspace(0, 4, 126)


@pytest.fixture
def place() -> FaultPlace:
    difference = np.zeros((64, 125))
    difference[10:20, 40:60] = 12.0
    return FaultPlace(difference, HZ, SECONDS)


def test_the_place_itself_agrees_fully_and_its_opposite_not_at_all(place: FaultPlace) -> None:
    draw = np.random.default_rng(0)
    perfect = HeatMap(place.mask.astype(float), HZ, SECONDS, "")
    assert agreement(perfect, place, draw) == (1.0, 1.0)
    assert agreement(HeatMap(-perfect.values, HZ, SECONDS, ""), place, draw) == (0.0, 0.0)


def test_half_of_the_place_is_a_third_of_the_union(place: FaultPlace) -> None:
    moved = np.roll(place.mask, 10, axis=1).astype(float)
    overlap, _ = agreement(HeatMap(moved, HZ, SECONDS, ""), place, np.random.default_rng(0))
    assert overlap == pytest.approx(1 / 3)


def test_random_maps_agree_about_as_often_as_the_place_is_large(place: FaultPlace) -> None:
    """Not exactly: a cell at the edge of a map is covered by fewer patches, so that it is the highest more often."""
    draw = np.random.default_rng(0)
    like = HeatMap(np.zeros((17, 16)), np.linspace(0, 8000, 18), np.linspace(0, 4, 17), "")
    hits = [agreement(_random_map(like, draw), place, draw)[1] for _ in range(2000)]
    assert 0.2 * place.mask.mean() < np.mean(hits) < 2 * place.mask.mean()
