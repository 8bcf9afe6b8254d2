from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asd_ray.errors import AsdRayError
from asd_ray.features import images, per_clip, vectors, windows_of


@given(
    lengths=st.lists(st.integers(7, 40), min_size=1, max_size=8),
    size=st.integers(1, 7),
    hop=st.integers(1, 9),
)
def test_windows_match_a_plain_loop(lengths: list[int], size: int, hop: int) -> None:
    expected, begin = [], 0
    for clip, length in enumerate(lengths):
        expected += [(begin + positions, clip) for positions in range(0, length - size + 1, hop)]
        begin += length
    windows = windows_of(lengths, size, hop)
    assert list(zip(windows.start.tolist(), windows.clip.tolist(), strict=True)) == expected
    assert windows.counts.sum() == len(windows) == len(expected)


@pytest.mark.parametrize(
    ("frames", "size", "hop", "count"), [(313, 5, 1, 309), (344, 5, 1, 340), (313, 64, 8, 32), (313, 128, 1, 186)]
)
def test_the_counts_of_the_papers(frames: int, size: int, hop: int, count: int) -> None:
    assert windows_of([frames], size, hop).counts.tolist() == [count]


def test_vectors_and_images_are_views_of_the_same_frames() -> None:
    frames = torch.arange(20 * 3, dtype=torch.float32).reshape(20, 3)
    stacked, pictures = vectors(frames, 5), images(frames, 5)
    assert stacked.data_ptr() == pictures.data_ptr() == frames.data_ptr()
    assert torch.equal(stacked[7], frames[7:12].reshape(-1))  # frame-major, as in the baselines
    assert torch.equal(pictures[7], frames[7:12].T)  # mel × time
    assert (len(stacked), len(pictures)) == (16, 16)


def test_vectors_need_contiguous_frames() -> None:
    with pytest.raises(AsdRayError, match="contiguous"):
        vectors(torch.zeros(3, 20).T, 5)


@pytest.mark.parametrize("how", ["mean", "sum", "max", "min"])
def test_values_of_windows_are_reduced_per_clip(how: str) -> None:
    windows = windows_of([6, 9, 5], 5, 2)
    values = torch.rand(len(windows))
    expected = [float(getattr(values[torch.from_numpy(windows.clip == clip)], how)()) for clip in range(3)]
    assert per_clip(values, windows, how).tolist() == pytest.approx(expected)


def test_without_clips_there_are_no_scores() -> None:
    assert per_clip(torch.zeros(0), windows_of([], 5), "mean").shape == (0,)


def test_a_clip_shorter_than_a_window_is_named() -> None:
    with pytest.raises(AsdRayError, match=r"1 of 3 clips have fewer frames than a window of 64 .clip 1 has 20."):
        windows_of([100, 20, 64], 64)


@pytest.mark.parametrize(("size", "hop"), [(0, 1), (5, 0), (5, -1)])
def test_sizes_and_hops_are_positive(size: int, hop: int) -> None:
    with pytest.raises(AsdRayError, match="must be at least 1"):
        windows_of([100], size, hop)


def test_an_unknown_reduction_is_named() -> None:
    with pytest.raises(AsdRayError, match="how must be mean, sum, max or min but got 'median'"):
        per_clip(torch.zeros(2), windows_of([5, 5], 5), "median")


def test_without_clips_there_are_no_windows() -> None:
    assert len(windows_of(np.array([], np.int64), 5)) == 0
