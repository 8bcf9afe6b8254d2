"""Clips, candidates and ledgers small enough to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe, build
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.metric import Gain, Metric, Metrics, Single
from asd_ray.ledger import Ledger, Settings, TrialRecord, long_scores, trial_hash
from asd_ray.metrics.injected import fault_name

IDS = ("00", "02")
IMAGES = {"channels": 1, "frames": 64, "hop": 8, "test_hop": 8}
DENSITY = {"frames": 5, "hidden": 128, "bottleneck": 32, "components": 10, "order": "middle"}
FAMILIES: dict[str, list[dict[str, Any]]] = {  # all that the shipped recipes ask for
    "id_classifier": [
        {"net": "mobilenet_v2", "head": "softmax", "mix": "both", "warps": 2, **IMAGES},
        {"net": "mobilenet_v2", "head": "arcface", "mix": "both", "warps": 2, **IMAGES},
        {"net": "resnet50", "head": "softmax", "mix": "both", "warps": 2, **IMAGES},
        {"net": "mobilenet_v2", "head": "softmax", "mix": "before", "warps": 2, **IMAGES},
    ],
    "group_made": [{**DENSITY, "lr": 1e-3}, {**DENSITY, "lr": 1e-4}],
    "aegan_ad": [{"lr": 2e-4}, {"lr": 1e-4}],
}
VARIANTS = {  # of these families
    "id_classifier": ("probability", "nll"),
    "group_made": ("all", "middle"),
    "aegan_ad": ("D_maha", "G_z_cos_max"),
}

SMALL: dict[str, list[dict[str, Any]]] = {"idnn": [{"lr": 0.1}, {"lr": 0.2}], "group_made": [{"lr": 0.3}]}


def make_clips(per: int = 20, split: str = "test", ids: Sequence[str] = IDS) -> pd.DataFrame:
    """`per` clips of each id, domain and label; of other splits than test, normal ones only."""
    labels = ("normal", "anomaly") if split == "test" else ("normal",)
    rows = [
        (f"{split}_{each}_{domain}_{label}_{number:04d}.wav", each, domain, split, label)
        for each in ids
        for domain in ("source", "target")
        for label in labels
        for number in range(per)
    ]
    return pd.DataFrame(rows, columns=["clip", "id", "domain", "split", "label"])


def half_labelled(clips: pd.DataFrame) -> pd.DataFrame:
    """The same clips, of which every second anomaly of the test split has no label."""
    hidden = (clips["split"] == "test") & (clips["label"] == "anomaly") & (np.arange(len(clips)) % 2 == 0)
    return clips.assign(label=clips["label"].mask(hidden, "unknown"))


def make_fault_clips(per: int = 2, ids: Sequence[str] = IDS, kinds: Sequence[str] = ("tone", "clicks")) -> pd.DataFrame:
    """`per` held-out clips of each id and domain with a fault of each kind and of three levels."""
    sources = make_clips(per, "held_out", ids)
    parts = [
        sources.assign(clip=[fault_name(clip, kind, level) for clip in sources["clip"]], split="fault", label="anomaly")
        for kind in kinds
        for level in range(3)
    ]
    return pd.concat(parts or [sources.iloc[:0]], ignore_index=True)


def make_scores(clips: pd.DataFrame, strength: Sequence[float], seed: int = 0, shared: float = 0.5) -> Any:
    """[candidates, clips] of candidates whose anomalies lie `strength` deviations higher, and that err together."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=len(clips)), rng.normal(size=(len(strength), len(clips)))
    anomalous = (clips["label"] == "anomaly").to_numpy()
    return (shared**0.5 * common + (1 - shared) ** 0.5 * own + np.outer(strength, anomalous)).astype(np.float32)


def make_table(count: int, families: Sequence[str] = ("idnn", "group_made")) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": [f"t{i:012d}" for i in range(count)],
            "variant": "mse",
            "name": [f"fan-{families[i % len(families)]}-{i:04d}" for i in range(count)],
            "family": [families[i % len(families)] for i in range(count)],
            "number": [*range(count)],
            "paper": [i < len(families) for i in range(count)],
            "epochs": [0] * count,
            "peeked": [False] * count,
            "guided": [True] * count,
            "params": pd.Series([{"lr": 10.0**-i} for i in range(count)], dtype=object),
        }
    )


def make_candidates(
    strength: Sequence[float] = (1.0, 0.5, 0.0),
    per: int = 20,
    seed: int = 0,
    shared: float = 0.5,
    year: int | None = 2022,
    ids: Sequence[str] = IDS,
    families: Sequence[str] = ("idnn", "group_made"),
) -> Candidates:
    test, normal = make_clips(per, ids=ids), make_clips(30, "held_out", ids)
    scores, normals = (
        make_scores(clips, strength, at, shared) for clips, at in ((test, 2 * seed), (normal, 2 * seed + 1))
    )
    table = make_table(len(strength), families)
    return Candidates("fan", table, test, scores, normal, normals, "held_out", "demo", "f0", year)


def make_ledger(
    run: Path,
    families: Mapping[str, Sequence[Mapping[str, Any]]] = SMALL,
    machine: str = "fan",
    per: int = 6,
    variants: Sequence[str] | Mapping[str, Sequence[str]] = ("mse", "nll"),
    splits: Sequence[str] = ("train", "held_out", "test"),
    labels: str = "known",
    year: int | None = 2022,
    strength: float | None = None,
    change: Callable[[str, int, str, Any], Any] = lambda family, number, variant, scores: scores,
    **record: Any,
) -> Ledger:
    """A trial for each set of parameters, the first of a family being its paper's setting.

    `variants` are those of every family, or of each one. `labels` of test clips are known, half known, or all alike.
    `change` may put other scores in the place of (family, number, variant)'s.
    """
    ledger = Ledger(run)
    clips = pd.concat(
        [make_fault_clips() if split == "fault" else make_clips(per, split) for split in splits], ignore_index=True
    )
    if labels == "half":
        stored = half_labelled(clips)
    elif labels == "known":
        stored = clips
    else:
        stored = clips.assign(label=clips["label"].where(clips["split"] != "test", labels))
    seed = 0
    for family, settings in families.items():
        for number, params in enumerate(settings):
            seed += 1
            own = variants[family] if isinstance(variants, Mapping) else variants
            levels = [strength if strength is not None else 0.3 + 0.4 * (seed % 3)] * len(own)
            drawn = dict(zip(own, make_scores(clips, levels, seed), strict=True))
            trial = TrialRecord(
                **{  # type: ignore[arg-type]
                    "trial": trial_hash(machine=machine, family=family, number=number, other=repr(record)),
                    "name": f"{machine}-{family}-{number:04d}",
                    "machine": machine,
                    "family": family,
                    "number": number,
                    "params": dict(params),
                    "dataset": "demo",
                    "data_fingerprint": "f0f0f0f0f0f0",
                    "settings": Settings(year=year),
                    "paper": number == 0,
                }
                | record
            )
            ledger.commit(
                trial, long_scores(stored, {name: change(family, number, name, each) for name, each in drawn.items()})
            )
    return ledger


@pytest.fixture
def clips() -> Callable[..., pd.DataFrame]:
    return make_clips


@pytest.fixture
def scores() -> Callable[..., Any]:
    return make_scores


@pytest.fixture
def candidates() -> Callable[..., Candidates]:
    return make_candidates


@pytest.fixture
def ledger_of(tmp_path: Path) -> Callable[..., Ledger]:
    """`ledger_of(families, machine="fan", …)` adds to one run."""

    def make(*args: Any, **options: Any) -> Ledger:
        return make_ledger(tmp_path / "run", *args, **options)

    return make


@pytest.fixture(scope="session")
def all_families(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """With what all shipped recipes ask for; of DCASE 2020's cells. Not to be added to."""
    splits = ("train", "held_out", "test", "fault")
    run = tmp_path_factory.mktemp("families") / "run"
    return make_ledger(run, FAMILIES, variants=VARIANTS, year=2020, splits=splits)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Three trials of two families. Not to be added to."""
    return make_ledger(tmp_path_factory.mktemp("small") / "run", SMALL)


@cache
def _small_ensemble() -> Ensemble:
    return build(make_candidates(per=4), Recipe("best_single", "best"), EnsembleConfig(repeats=1, folds=2, draws=10))


def make_metric(value: float = 0.8, against: str = "crossval", better: bool = True, **gain: Any) -> Metric:
    """One whose gain over the best single detector, chosen under `against`, is 0.1."""
    single = Single(value - 0.1, against, value - 0.1, value - 0.1, value - 0.1, "")
    own = Gain(0.1, (0.05, 0.15), better, **gain)
    return Metric(value, (value, value), {}, value, value, value, (value,), "", single, own)


def make_ensemble(**metrics: Metric) -> Ensemble:
    """One that was measured under these protocols."""
    return replace(_small_ensemble(), metrics=Metrics(metrics))
