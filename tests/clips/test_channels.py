"""Banks that keep every channel of their clips."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clips.audio import one_channel, read_samples, stream_samples
from asd_ray.clips.bank import Bank, ClipSet, open_bank
from asd_ray.clips.check import check
from asd_ray.clips.faults.bank import AlteredBank
from asd_ray.clips.faults.crops import crops_of
from asd_ray.clips.faults.plan import InjectedFault
from asd_ray.clips.faults.sources import SourceClips
from asd_ray.clips.scan import scan
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, DirectFeatures, FeatureCache

Make = Callable[..., Path]


@pytest.fixture
def stereo(tmp_path: Path, record: Make) -> Path:
    """Six clips of two channels: at two rates, of two lengths, wav and flac."""
    for i, name in enumerate(("a.wav", "b.wav", "c.flac", "d.wav")):
        rate = 44_100 if name == "c.flac" else 16_000
        record(tmp_path / "data" / "normal" / name, seconds=0.5 + 0.2 * (i == 1), channels=2, seed=i, rate=rate)
    for i, name in enumerate(("e.wav", "f.wav")):
        record(tmp_path / "data" / "abnormal" / name, channels=2, seed=10 + i)
    return tmp_path / "data"


def test_each_kept_channel_is_the_bank_of_that_channel(stereo: Path) -> None:
    every, single = open_bank(stereo, channel="all"), [open_bank(stereo, channel=n) for n in (0, 1)]
    assert (every.channels, single[0].channels) == (2, 1)
    assert every.lengths.tolist() == single[0].lengths.tolist()
    assert every.sample_bytes == 2 * single[0].sample_bytes
    for n, bank in enumerate(single):
        for i in range(len(bank)):
            assert np.array_equal(every.select().on_channel(n).samples(i), bank.samples(i))
    for i, path in enumerate(every.frame["path"]):
        if path.endswith(".wav"):
            interleaved = soundfile.read(stereo / path, dtype="int16")[0]
            assert np.array_equal(np.stack([every.samples(i, n) for n in (0, 1)], axis=1), interleaved)
    assert not every.samples(0, 1).flags.writeable
    assert every.verify() == []
    assert pickle.loads(pickle.dumps(every)).samples(1, 1).tolist() == every.samples(1, 1).tolist()


def test_features_of_a_channel_are_those_of_its_bank(stereo: Path, tmp_path: Path) -> None:
    front_end, clips = PRESETS["baseline"], open_bank(stereo, channel="all").select()
    assert {set_of.channel for set_of in (clips.take([0]), clips)} == {0}
    for cache in (FeatureCache(tmp_path / "cache"), DirectFeatures()):
        for n in (0, 1):
            own = open_bank(stereo, channel=n).select()
            found, expected = cache.get(front_end, clips.on_channel(n), device="cpu"), cache.get(front_end, own)
            assert all(np.array_equal(found.clip(i), expected.clip(i)) for i in range(len(own)))
    far = clips.on_channel(1)
    assert not set(clips.frame["digest"]) & set(far.frame["digest"])
    assert far.take([2, 3]).samples(0).tolist() == far.samples(2).tolist()
    assert len(list((tmp_path / "cache" / "features").glob("*.feat"))) == 4


def test_a_mono_dataset_has_the_same_samples_and_fingerprint_with_all(dataset: Make) -> None:
    root = dataset()
    every, single = open_bank(root, channel="all"), open_bank(root)
    assert every.channels == 1
    assert every.fingerprints == single.fingerprints
    assert np.array_equal(every.samples(3), single.samples(3))
    with pytest.raises(AsdRayError, match="no channel 1: 1 channel is kept .*--channel all"):
        single.select().on_channel(1)


def test_the_digest_covers_every_channel(stereo: Path) -> None:
    before = open_bank(stereo, channel="all")
    path = stereo / "normal" / "a.wav"
    samples = soundfile.read(path, dtype="int16")[0]
    samples[:, 1] //= 2
    soundfile.write(path, samples, 16_000)
    after = open_bank(stereo, channel="all")
    assert before.fingerprints != after.fingerprints
    same = before.frame["digest"] == after.frame["digest"]
    assert after.frame["clip"][~same].tolist() == ["normal/a.wav"]


def test_a_clip_with_other_channels_is_named_or_left_out(stereo: Path, record: Make) -> None:
    record(stereo / "normal" / "mono.wav")
    rule = r"normal/mono.wav: has 1 channel where most clips of its machine have 2; .*--skip-broken"
    with pytest.raises(AsdRayError, match=rule):
        open_bank(stereo, channel="all")
    bank = open_bank(stereo, channel="all", skip_broken=True)
    assert (len(bank), bank.channels) == (6, 2)
    assert len(open_bank(stereo)) == 7
    for decode in (True, False):
        report = check(scan(stereo), channel="all", decode=decode)
        assert not report.ok
        assert any("mono.wav: has 1 channel where most" in str(problem) for problem in report.problems)
        assert check(scan(stereo), decode=decode).ok
        skipped = check(scan(stereo), channel="all", decode=decode, skip_broken=True)
        assert (skipped.ok, len(skipped.clips)) == (True, len(bank))
        assert any("mono.wav: left out: has 1 channel" in str(problem) for problem in skipped.problems)


def test_machines_with_other_numbers_of_channels_are_refused(tmp_path: Path, record: Make) -> None:
    for machine, channels in (("fan", 2), ("pump", 1)):
        for label, name in (("train", "normal_0000"), ("test", "normal_0000"), ("test", "anomaly_0000")):
            path = tmp_path / "data" / "dev_data" / machine / label / f"section_00_source_{label}_{name}_vel_1.wav"
            record(path, channels=channels)
    with pytest.raises(AsdRayError, match=r"fan 2, pump 1\); .*--channel 0"):
        open_bank(tmp_path / "data", channel="all")
    assert open_bank(scan(tmp_path / "data", machines=["fan"]), channel="all").channels == 2


def test_more_than_eight_channels_are_refused(tmp_path: Path, record: Make) -> None:
    record(tmp_path / "data" / "normal" / "a.wav", channels=9)
    with pytest.raises(AsdRayError, match=r"a.wav: has 9 channels where at most 8 are kept; .*--channel N"):
        open_bank(tmp_path / "data", channel="all")


def test_the_size_of_the_bank_counts_channels(stereo: Path) -> None:
    for decode in (True, False):
        for channel in (0, "all"):
            said = check(scan(stereo), channel=channel, decode=decode).bank_bytes
            assert said == pytest.approx(open_bank(stereo, channel=channel).sample_bytes, rel=1e-3)


def test_a_silent_channel_is_named(stereo: Path) -> None:
    samples = soundfile.read(stereo / "normal" / "a.wav", dtype="int16")[0]
    samples[:, 1] = 0
    soundfile.write(stereo / "normal" / "a.wav", samples, 16_000)
    problems = [str(problem) for problem in check(scan(stereo), channel="all").problems]
    assert any("a.wav: channel 1 is silent" in problem for problem in problems)


@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_a_stream_has_every_channel(stereo: Path, rate: int) -> None:
    for name in ("normal/a.wav", "normal/c.flac"):
        whole, _ = read_samples(stereo / name, rate=rate, channel="all")
        assert whole.shape[0] == 2
        pieces = list(stream_samples(stereo / name, rate=rate, channel="all"))
        assert np.array_equal(np.concatenate(pieces, axis=1), whole)
    assert one_channel(np.arange(4, dtype=np.int16), "all").tolist() == [[0, 1, 2, 3]]


def test_sounds_in_memory_have_channels_too(stereo: Path) -> None:
    bank = open_bank(stereo, channel="all")
    waves = [np.stack([bank.samples(i, n) for n in (0, 1)]) for i in range(3)]
    clips = ClipSet(WaveBank(waves, machine="fan", rate=16_000, ids=[""] * 3), np.arange(3))
    assert clips.channels == 2
    assert clips.lengths.tolist() == bank.lengths[:3].tolist()
    assert np.array_equal(clips.on_channel(1).samples(2), bank.samples(2, 1))
    with pytest.raises(AsdRayError, match="1 and 2 channels"):
        WaveBank([waves[0], waves[1][0]], machine="fan", rate=16_000, ids=["", ""])


def test_a_fault_is_on_channel_0_and_a_crop_on_every_channel(stereo: Path) -> None:
    clips = open_bank(stereo, channel="all").select()
    sources = SourceClips(clips)
    name = sources.names[0]
    fault, crops = InjectedFault(name, "tone", 0, 0.9, ""), crops_of(sources)
    altered = AlteredBank(sources, (fault, *crops)).clips()
    far = altered.on_channel(1)
    original = clips.on_channel(1).samples(sources.place(name))
    assert not np.array_equal(altered.samples(0), sources.samples(name))
    assert np.array_equal(far.samples(0), original)
    crop = next(row for row in range(1, len(altered)) if (crops[row - 1].source, crops[row - 1].half) == (name, 0))
    half = len(original) // 2
    assert np.array_equal(far.samples(crop), np.tile(original[:half], 2))
    assert not set(altered.frame["digest"]) & set(far.frame["digest"])


def test_a_build_goes_on_after_a_broken_clip(stereo: Path, decoded: list[str]) -> None:
    good = (stereo / "normal" / "b.wav").read_bytes()
    (stereo / "normal" / "b.wav").write_bytes(good[:-10])
    with pytest.raises(AsdRayError, match="truncated"):
        open_bank(stereo, channel="all")
    decoded.clear()
    (stereo / "normal" / "b.wav").write_bytes(good)
    bank: Bank = open_bank(stereo, channel="all")
    assert decoded == ["b.wav"]
    assert np.array_equal(bank.samples(1, 1), open_bank(stereo, channel=1).samples(1))
