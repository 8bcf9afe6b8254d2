"""Trials for benchmarks: the paper's setting and random ones of each family, none pruned, stored in a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import optuna

from asd_ray import Dataset, Run
from asd_ray.families import Family
from asd_ray.ledger import TrialRecord
from asd_ray.tuning import study


def make_ledger(
    run: Run, data: Dataset, machines: Sequence[str], families: Sequence[Family], *, settings: int = 1, **options: Any
) -> list[TrialRecord]:
    """Run `settings` trials of each machine and family that are not stored yet; the records of the papers' settings.

    `options` are those of `Run.search`.
    """
    with _random_settings():
        result = run.search(
            data,
            machines,
            families=[each.identity for each in families],
            trials=settings,
            serial=True,
            quiet=True,
            **options,
        )
    print(f"{', '.join(each.name for each in families)}: done", file=sys.stderr, flush=True)
    return [own.paper for own in result.studies if own.paper is not None]


@contextmanager
def _random_settings() -> Iterator[None]:
    """Searches within draw settings at random and prune none. For searches in this process only."""

    def sampler(of: study.Study, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.RandomSampler(seed=hash((of.seed, number, attempt)) % 2**32)

    with (
        mock.patch.object(study, "Halving", optuna.pruners.NopPruner),
        mock.patch.object(study.Study, "_sampler", sampler),
    ):
        yield
