from __future__ import annotations

import torch

from asd_ray.detectors.parts.random_windows import RandomWindows
from asd_ray.features import windows_of


def test_there_are_as_many_windows_as_fit_side_by_side_at_any_position() -> None:
    windows = windows_of([5, 23, 14], 5)
    places = RandomWindows(windows, torch.tensor([2, 0, 1]), torch.device("cpu"))
    assert len(places) == 1 + 4 + 2
    generator, at = torch.Generator().manual_seed(0), torch.arange(7)
    random_values = [places(at, generator) for _ in range(300)]
    assert all(labels.tolist() == [2, 0, 0, 0, 0, 1, 1] for _, labels in random_values)
    starts = torch.stack([starts for starts, _ in random_values])
    for column, possible in enumerate([{0}, *[set(range(5, 24))] * 4, *[set(range(28, 38))] * 2]):
        assert set(starts[:, column].tolist()) == possible
