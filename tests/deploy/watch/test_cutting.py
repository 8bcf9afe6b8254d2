from __future__ import annotations

import numpy as np
import pytest

from asd_ray.deploy.watch.cutting import Cutter, Cutting
from asd_ray.errors import AsdRayError


def windows(count: int, size: float, hop: float, pieces: int = 7) -> list[tuple[int, list[int]]]:
    cutter, sound = Cutter(Cutting(100, size / 100, hop / 100)), np.arange(count, dtype=np.int16)
    found = [window for at in range(0, count, pieces) for window in cutter.push(sound[at : at + pieces])]
    found += list(cutter.finish())
    return [(first, samples.tolist()) for first, samples in found]


@pytest.mark.parametrize("pieces", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("count", "size", "hop", "starts"),
    [
        (20, 10, 5, [0, 5, 10]),
        (23, 10, 5, [0, 5, 10, 13]),  # the last seconds are scored, too
        (10, 10, 5, [0]),
        (11, 10, 10, [0, 1]),
        (25, 10, 10, [0, 10, 15]),
        (40, 10, 15, [0, 15, 30]),  # a hop longer than the window leaves gaps
        (48, 10, 15, [0, 15, 30]),
        (12, 10, 15, [0]),
        (1, 1, 1, [0]),
    ],
)
def test_windows_start_once_per_hop(count: int, size: int, hop: int, starts: list[int], pieces: int) -> None:
    assert windows(count, size, hop, pieces) == [(s, list(range(s, s + size))) for s in starts]


def test_a_sound_shorter_than_a_window_is_one_window() -> None:
    assert windows(6, 10, 5) == [(0, [0, 1, 2, 3, 4, 5])]
    assert windows(6, 10, 15) == [(0, [0, 1, 2, 3, 4, 5])]
    assert windows(0, 10, 5) == []


def test_no_more_than_a_window_and_a_hop_is_kept() -> None:
    cutter = Cutter(Cutting(1000, 1.0, 0.5))
    for _ in range(50):
        list(cutter.push(np.zeros(333, np.int16)))
        assert len(cutter._kept) <= 1500 + 333
    sparse = Cutter(Cutting(1000, 1.0, 60.0))
    for _ in range(50):
        list(sparse.push(np.zeros(333, np.int16)))
        assert len(sparse._kept) <= 1000 + 333


@pytest.mark.parametrize(
    ("window", "hop", "word"), [(0, 1, "--window"), (10, 0, "--hop"), (float("nan"), 1, "--window"), (1, 1e9, "--hop")]
)
def test_impossible_windows_are_refused(window: float, hop: float, word: str) -> None:
    with pytest.raises(AsdRayError, match=word):
        Cutting(16_000, window, hop)


def test_overlap_is_the_share_that_two_windows_have_in_common() -> None:
    assert Cutting(100, 10.0, 5.0).overlap == 0.5
    assert Cutting(100, 10.0, 20.0).overlap == 0.0
