"""Simulated candidates whose quality is known, and the evidence on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from asd_ray.ensembling.candidates import AlteredClips, Candidates
from asd_ray.ensembling.criteria import Evidence
from asd_ray.metrics.injected import fault_levels
from tests.ensembling.conftest import IDS, make_clips, make_fault_clips, make_table

Floats = npt.NDArray[np.float64]
QUALITY = tuple(np.linspace(0.0, 2.0, 12))


class WithoutLabels(pd.DataFrame):
    """A table of clips of which nobody may read the labels."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return WithoutLabels

    def __getitem__(self, key: Any) -> Any:
        if "label" in ([key] if isinstance(key, str) else list(key)):
            raise AssertionError("a label was read")
        return super().__getitem__(key)


def simulate(
    quality: Sequence[float] = QUALITY,
    seed: int = 0,
    families: Sequence[str] = ("idnn", "group_made", "stgram"),
    per: int = 20,
    ids: Sequence[str] = IDS,
    kinds: Sequence[str] = ("tone", "clicks", "impacts"),
) -> Candidates:
    """Candidates whose anomalies and faults lie `quality` deviations higher; their errors have nothing in common."""
    draw = np.random.default_rng(seed)
    test, normal, faults = make_clips(per, ids=ids), make_clips(20, "held_out", ids), make_fault_clips(4, ids, kinds)
    amount = (fault_levels(faults["clip"]) + 1) / 2 if len(faults) else np.zeros(0)
    parts = []
    for strength in ((test["label"] == "anomaly").to_numpy(float), np.zeros(len(normal)), amount):
        noise = draw.normal(size=(len(quality), len(strength)))
        parts.append((np.outer(quality, strength) + noise).astype(np.float32))
    columns = ["clip", "id", "domain"]
    return Candidates(
        "fan",
        make_table(len(quality), families),
        test,
        parts[0],
        normal,
        parts[1],
        "held_out",
        "demo",
        "f0",
        2022,
        faults=AlteredClips(faults[columns], parts[2]) if len(faults) else None,
    )


def rank_correlation(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    return float(pd.Series(one).corr(pd.Series(other), method="spearman"))


def hide_labels(candidates: Candidates) -> Candidates:
    return replace(candidates, clips=WithoutLabels(candidates.clips), normal=WithoutLabels(candidates.normal))


@pytest.fixture
def simulated() -> Callable[..., Candidates]:
    return simulate


@pytest.fixture
def evidence_of() -> Callable[..., Evidence]:
    return lambda *given, **options: Evidence.of(simulate(*given, **options))
