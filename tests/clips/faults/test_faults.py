"""Faults that are injected into normal clips: their sound, their amounts, and the bank of faulty clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asd_ray.clips.bank import ClipSet, open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.clips.faults import AlteredBank, FaultPlan, SourceClips, crops_of, plan_faults
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


def chirp(length: int) -> np.ndarray:
    """The second sound of the kinds that take one."""
    return (2000 * np.sin(1e-5 * np.arange(length, dtype=float) ** 2)).astype(np.int16)


def changed(kind: str, amount: float, wave: np.ndarray, rate: int = RATE) -> float:
    """How far a fault moves the samples, relative to the wave."""
    faulty = inject(kind, wave, rate, amount, np.random.default_rng(1), chirp(len(wave))).astype(float)
    return float(np.sqrt(np.mean((faulty - wave) ** 2) / np.mean(wave.astype(float) ** 2)))


def faulty_clips(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> AlteredBank:
    return AlteredBank(SourceClips(parts[1]), plan.faults)


def test_there_are_fourteen_kinds() -> None:
    assert len(KINDS) == 14


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
    faulty = inject(kind, wave, RATE, 0.9, np.random.default_rng(0), chirp(500))
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
    assert len(AlteredBank(SourceClips(nothing), ())) == 0
    assert crops_of(SourceClips(nothing)) == ()


def test_the_bank_reads_each_fault_the_same_every_time(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    bank, again = faulty_clips(plan, parts), faulty_clips(plan, parts)
    names = parts[1].frame["clip"].tolist()
    for row in range(0, len(bank), 13):
        source = parts[1].samples(names.index(plan.faults[row].source))
        assert bank.samples(row).tolist() == again.samples(row).tolist()
        assert bank.samples(row).tolist() != source.tolist()
        assert len(source) == bank.lengths[row]


def test_the_table_names_source_kind_and_level(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    frame = faulty_clips(plan, parts).frame
    assert frame["clip"].is_unique
    assert frame["digest"].is_unique
    assert set(frame["label"]) == {"anomaly"}
    assert fault_kinds(frame["clip"]).tolist() == [fault.kind for fault in plan.faults]
    ids = dict(zip(parts[1].frame["clip"], parts[1].frame["id"], strict=True))
    assert frame["id"].tolist() == [ids[fault.source] for fault in plan.faults]


def test_features_of_faults_are_cached(plan: FaultPlan, parts: tuple[ClipSet, ClipSet], tmp_path: Path) -> None:
    cache, front_end = FeatureCache(tmp_path), PRESETS["baseline"]
    first = cache.get(front_end, faulty_clips(plan, parts).clips())
    assert len(list((tmp_path / "features").glob("*.feat"))) == 1
    again = cache.get(front_end, faulty_clips(plan, parts).clips().take([5]))
    assert np.array_equal(again.clip(0), first.clip(5))
    assert len(list((tmp_path / "features").glob("*.feat"))) == 1


def test_the_other_machine_is_never_the_machine_itself(plan: FaultPlan) -> None:
    others = {fault.other for fault in plan.faults if fault.kind == "other_machine"}
    assert others == {"ToyCar", "pump", "slider", "valve"}


def test_spliced_parts_come_from_a_clip_of_another_id(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    sources = SourceClips(parts[1])
    ids = dict(zip(parts[1].frame["clip"], parts[1].frame["id"], strict=True))
    spliced = [fault for fault in plan.faults if fault.kind == "splice"]
    assert all(ids[fault.source] != ids[fault.other] for fault in spliced)
    little, much = (inject("splice", hum(), RATE, amount, np.random.default_rng(0), chirp(9000)) for amount in (0.3, 1))
    assert 0 < np.mean(little != hum()) < np.mean(much != hum()) < 1
    assert sources.another(0, 0) != sources.names[0]


def test_another_clip_is_of_another_id_else_of_another_domain_else_any(parts: tuple[ClipSet, ClipSet]) -> None:
    frame = parts[1].frame
    one_id = parts[1].take((frame["id"] == frame["id"].iloc[0]).to_numpy())
    domains = dict(zip(one_id.frame["clip"], one_id.frame["domain"], strict=True))
    assert len(set(domains.values())) == 2
    sources = SourceClips(one_id)
    assert all(domains[sources.another(0, number)] != domains[sources.names[0]] for number in range(5))
    alike = SourceClips(one_id.take((one_id.frame["domain"] == one_id.frame["domain"].iloc[0]).to_numpy()))
    assert alike.another(0, 0) != alike.names[0]
    alone = SourceClips(one_id.take([0]))
    assert alone.another(0, 3) == alone.names[0]


def test_crops_are_both_halves_of_a_clip_played_twice(parts: tuple[ClipSet, ClipSet]) -> None:
    sources = SourceClips(parts[1])
    crops = crops_of(sources)
    bank = AlteredBank(sources, crops)
    assert len(crops) == 2 * min(20, len(parts[1]))
    assert set(bank.frame["label"]) == {"normal"}
    assert bank.frame["digest"].is_unique
    first, second = bank.samples(0), bank.samples(1)
    whole = sources.samples(crops[0].source)
    middle = len(whole) // 2
    assert crops[0].source == crops[1].source
    assert np.array_equal(first, np.concatenate([whole[:middle], whole[:middle]]))
    assert np.array_equal(second, np.concatenate([whole[middle:], whole[middle:]]))


def test_the_digest_of_a_splice_is_of_both_clips(plan: FaultPlan, parts: tuple[ClipSet, ClipSet]) -> None:
    """The feature cache goes by it: a corrected recording with an old name must not get the features of the old one."""
    spliced = next(fault for fault in plan.faults if fault.kind == "splice")
    before, corrected = SourceClips(parts[1]), SourceClips(parts[1])
    frame = parts[1].frame.copy()
    frame.loc[frame["clip"] == spliced.other, "digest"] = "another"
    corrected.clips = ClipSet(parts[1].bank, parts[1].rows)
    corrected.clips.__dict__["frame"] = frame
    digests = [AlteredBank(sources, [spliced]).frame["digest"].iloc[0] for sources in (before, corrected)]
    assert digests[0] != digests[1]
