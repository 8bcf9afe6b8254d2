"""SMOTE: interpolated clips of the target domain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_ray.detectors.parts.backends import Backends, KMeansTarget, interpolated, smote


def rows(count: int) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(0))


def test_smote_adds_clips_to_the_target_domain() -> None:
    bank, target = rows(24), torch.arange(24) >= 20
    bank[target] += 50
    more, domain = smote(bank, target, 0.5, 3, torch.Generator().manual_seed(0))
    assert torch.equal(more[:24], bank)
    assert torch.equal(domain, torch.cat([target, torch.ones(6, dtype=torch.bool)]))
    assert (more[24:] > 40).all()


@pytest.mark.parametrize(("target", "ratio"), [(4, 0.2), (1, 0.5), (0, 0.5), (4, 0.0), (20, 1.0)])
def test_smote_adds_nothing_if_there_are_enough_clips_or_too_few_to_interpolate(target: int, ratio: float) -> None:
    bank, domain = rows(20 + target), torch.arange(20 + target) >= 20
    more, same = smote(bank, domain, ratio, 3, torch.Generator())
    assert torch.equal(more, bank)
    assert torch.equal(same, domain)


def test_smote_interpolates_between_neighbours() -> None:
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1], [50, 50], [51, 50], [50, 51]])
    new = interpolated(corners, 200, 2, torch.Generator().manual_seed(0)).numpy()
    assert new.dtype == np.float32
    near = new[(new < 10).all(axis=1)]
    assert 0 < len(near) < 200  # of both triangles …
    assert ((new < 2) | (new > 49)).all()  # … and none between the two
    assert ((near >= 0) & (near <= 1)).all()
    assert ((near == 0).any(axis=1) | np.isclose(near.sum(axis=1), 1)).all()  # on an edge
    assert len(np.unique(near, axis=0)) == len(near)


def test_smote_gives_kmeans_more_target_clips() -> None:
    plain, more = (Backends({"kmeans": KMeansTarget(clusters=2)}, smote_ratio=ratio) for ratio in (0.0, 0.5))
    for each in (plain, more):
        each.fit(rows(24), ["a"] * 24, torch.arange(24) >= 20)
    assert len(plain.state()["a"]["kmeans"]["bank"]) == 6
    assert len(more.state()["a"]["kmeans"]["bank"]) == 12
