"""The cost of each family on one thread: clips trained and scored per second, and the share of time in its nets.

The share is the time in forward passes, backward passes and optimiser steps, without front ends and spectra that are
computed inside a net. Families without a net, or with hand-written gradients, are left out. The settings are those of
the papers, with fewer clips, smaller batches and fewer search steps where a run would take minutes.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import FAMILIES, Context, family
from asd_ray.detectors.nets import dual_branch
from asd_ray.features import FeatureCache, FrontEnd
from benchmarks._timing import Row

CLIPS = 24  # of 10 s
LESS: dict[str, tuple[int, dict[str, Any]]] = {
    "aegan_ad": (2, {"batch_size": 64}),
    "anogan": (2, {"steps": 10}),
    "complex_net": (4, {}),
    "embedding_knn": (8, {}),
    "ganomaly": (4, {}),
    "id_classifier": (8, {}),
    "stgram": (8, {}),
}
WITHOUT = ("autoencoder", "idnn", "twfr_gmm")


def run() -> Iterator[Row]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            bank = Workspace(Path(folder), seconds=10.0).bank("planted")
            features = FeatureCache(Path(folder) / "cache")
            for name in (name for name in FAMILIES if name not in WITHOUT):
                count, changes = LESS.get(name, (CLIPS, {}))
                train = bank.select(split="train")
                chosen = train.take([round(i * (len(train) - 1) / (count - 1)) for i in range(count)])
                detector = family(name).detector(Context(features=features), **{**changes, "epochs": 1})
                features.get(detector.front_end, chosen)
                epoch, started = detector.fit(chosen), time.perf_counter()
                with _clock() as inside:
                    next(iter(epoch))
                    learning = time.perf_counter() - started
                started = time.perf_counter()
                detector.score(chosen)  # includes what it computes from the training clips at the first call
                scoring = time.perf_counter() - started
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                share = inside() / learning
                detail = (
                    f"{count / learning:.2f} clips of 10 s a second learned, {count / scoring:.2f} scored; "
                    f"{1 - share:.0%} outside the nets; peak so far {peak:,.0f} MB"
                )
                yield f"an epoch of {name}, 1 thread", "its nets and optimisers alone", share, detail
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    """Count the seconds inside modules, backward passes, gradients and Adam steps, without those inside front ends."""
    total, depth = 0.0, 0

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal total, depth
            depth += 1
            started = time.perf_counter()
            try:
                return work(*given, **named)
            finally:
                depth -= 1
                if depth == 0:
                    total += time.perf_counter() - started

        return call

    def taken_off(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal total
            started = time.perf_counter()
            try:
                return work(*given, **named)
            finally:
                if depth:
                    total -= time.perf_counter() - started

        return call

    with (
        patch.object(nn.Module, "__call__", timed(nn.Module.__call__)),
        patch.object(torch.Tensor, "backward", timed(torch.Tensor.backward)),
        patch.object(torch.autograd, "grad", timed(torch.autograd.grad)),
        patch.object(torch.optim.Adam, "step", timed(torch.optim.Adam.step)),
        patch.object(FrontEnd, "__call__", taken_off(FrontEnd.__call__)),
        patch.object(dual_branch, "spectra", taken_off(dual_branch.spectra)),
    ):
        yield lambda: total
