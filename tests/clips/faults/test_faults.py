"""Faults that are injected into normal clips: their sound, their amounts, and the bank of faulty clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asd_ray.clips.bank import ClipSet, open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.clips.faults import FaultBank, FaultPlan, plan_faults
from asd_ray.clips.faults.kinds import KINDS, inject
from asd_ray.clips.faults.plan import GRID, TARGETS
from asd_ray.clips.hold_out import hold_out
from asd_ray.features import PRESETS, FeatureCache
from asd_ray.metrics.injected import fault_kinds

RATE = 16_000


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipSet, ClipSet]:
    """Training clips and held-out clips of the tiny demo fan."""
    root = make_demo(tmp_path_factory.mktemp("demo") / "d", size="tiny", machines=["fan"])
    bank = open_bank(root, cache=tmp_path_factory.mktemp("cache"), workers=1)
    return hold_out(bank.select("fan", split="train"), 0.3)


@pytest.fixture(scope="module")
def plan(parts: tuple[ClipSet, ClipSet]) -> FaultPlan:
    return plan_faults(*parts)


def hum(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 300, len(time))
    return (2000 * np.sin(2 * np.pi * 100 * time) + noise).astype(np.int16)


def changed(kind: str, amount: float, wave: np.ndarray, rate: int = RATE) -> float:
    """How far a fault moves the samples, relative to the wave."""
    faulty = inject(kind, wave, rate, amount, np.random.default_rng(1)).astype(float)
    return float(np.sqrt(np.mean((faulty - wave) ** 2) / np.mean(wave.astype(float) ** 2)))


def test_there_are_thirteen_kinds() -> None:
    assert len(KINDS) == 13


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_larger_amount_changes_the_clip_more(kind: str, rate: int) -> None:
    wave = hum(rate=rate)
    little, much = changed(kind, 0.08, wave, rate), changed(kind, 0.96, wave, rate)
    assert much > 0
    assert little < much or kind in ("pitch", "speed", "reversal"), "these move the phase, at any amount"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wave", [np.zeros(8000, np.int16), hum(0.05), np.full(4000, 32767, np.int16)])
def test_silence_short_clips_and_full_scale_get_a_fault_too(kind: str, wave: np.ndarray) -> None:
    faulty = inject(kind, wave, RATE, 0.9, np.random.default_rng(0))
    assert faulty.dtype == np.int16
    assert faulty.shape == wave.shape


def test_the_plan_has_every_kind_at_three_levels(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    assert {fault.kind for fault in plan.faults} == set(KINDS)
    assert {fault.level for fault in plan.faults} == set(range(len(TARGETS)))
    assert {fault.source for fault in plan.faults} == set(parts[1].frame["clip"])
    for kind in KINDS:
        own = sorted((fault for fault in plan.faults if fault.kind == kind), key=lambda fault: fault.level)
        amounts = [fault.amount for fault in own]
        assert amounts == sorted(amounts)
        assert set(amounts) <= set(GRID)


def test_the_plan_is_the_same_again(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    assert plan_faults(*parts) == plan


def test_a_louder_machine_gets_the_same_faults(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    """Amounts are relative to the clip, so half the gain of a microphone changes no choice."""

    class Softer:
        def __init__(self, bank: object) -> None:
            self.bank = bank

        def __getattr__(self, name: str) -> object:
            return getattr(self.bank, name)

        def __len__(self) -> int:
            return len(self.bank)  # type: ignore[arg-type]

        def samples(self, row: int) -> np.ndarray:
            return self.bank.samples(row) // 2  # type: ignore[attr-defined]

    softer = [ClipSet(Softer(part.bank), part.rows) for part in parts]  # type: ignore[arg-type]
    amounts = np.array([fault.amount for fault in plan_faults(*softer).faults])
    assert np.abs(amounts - [fault.amount for fault in plan.faults]).max() <= 0.09, "one step of the grid"


def test_no_clip_held_out_means_no_fault(parts: tuple[ClipSet, ClipSet]) -> None:
    nothing = parts[1].take(np.zeros(len(parts[1]), bool))
    assert len(plan_faults(parts[0], nothing)) == 0
    assert len(FaultBank(FaultPlan(()), nothing).clips) == 0


def test_the_bank_reads_each_fault_the_same_every_time(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    bank, again = FaultBank(plan, parts[1]), FaultBank(plan, parts[1])
    names = parts[1].frame["clip"].tolist()
    for row in range(0, len(bank), 13):
        source = parts[1].samples(names.index(plan.faults[row].source))
        assert bank.samples(row).tolist() == again.samples(row).tolist()
        assert bank.samples(row).tolist() != source.tolist()
        assert len(source) == bank.lengths[row]


def test_the_table_names_source_kind_and_level(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    frame = FaultBank(plan, parts[1]).frame
    assert frame["clip"].is_unique
    assert frame["digest"].is_unique
    assert set(frame["label"]) == {"anomaly"}
    assert fault_kinds(frame["clip"]).tolist() == [fault.kind for fault in plan.faults]
    ids = dict(zip(parts[1].frame["clip"], parts[1].frame["id"], strict=True))
    assert frame["id"].tolist() == [ids[fault.source] for fault in plan.faults]


def test_features_of_faults_are_cached(plan: FaultPlan, parts: tuple[ClipSet, ClipSet], tmp_path: Path) -> None:
    cache, front_end = FeatureCache(tmp_path), PRESETS["baseline"]
    first = cache.get(front_end, FaultBank(plan, parts[1]).clips)
    assert len(list((tmp_path / "features").glob("*.feat"))) == 1
    again = cache.get(front_end, FaultBank(plan, parts[1]).clips.take([5]))
    assert np.array_equal(again.clip(0), first.clip(5))
    assert len(list((tmp_path / "features").glob("*.feat"))) == 1
