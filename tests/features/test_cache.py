from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, FeatureCache, LogMel, Magnitude, Raw, cache, extract

Make = Callable[..., Path]
MEL = PRESETS["baseline"]
# Fills the cache of the bank of argv[1] and prints a checksum of what it read.
FILL = """
import sys
from asd_ray.clips.bank import open_bank
from asd_ray.features import FeatureCache, LogMel, PRESETS
bank = open_bank(sys.argv[1])
print("open", flush=True)
for front in sys.argv[3:]:
    FeatureCache(cap_gib=float(sys.argv[2])).get(LogMel(fmin=float(front)), bank.select("fan"))
if sys.argv[3:]:
    sys.exit()
for _ in range(int(sys.argv[2])):
    made = FeatureCache().get(PRESETS["baseline"], bank.select("fan"))
print(float(made.tensor().double().sum()), flush=True)
"""


@pytest.fixture
def bank(dataset: Make) -> Bank:
    return open_bank(dataset(clips=12, machines=("fan", "pump")))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of clips of each computation during the test."""
    calls: list[int] = []
    into = cache.extract_into

    def count(out: object, front: object, clips: object, **how: object) -> None:
        calls.append(len(clips))  # type: ignore[arg-type]
        into(out, front, clips, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "extract_into", count)
    return calls


def entries() -> list[Path]:
    return sorted((Path(os.environ["ASD_RAY_CACHE"]) / "features").glob("*.feat"))


def test_cached_features_are_the_computed_ones(bank: Bank) -> None:
    for clips in (bank.select("fan"), bank.select("fan", split="test"), bank.select()):
        result, plain = FeatureCache().get(MEL, clips), extract(MEL, clips)
        assert torch.equal(result.tensor(), plain.tensor())
        assert result.lengths.tolist() == plain.lengths.tolist() == [16] * len(clips)
        assert all(np.array_equal(result.clip(i), plain.clip(i)) for i in range(len(clips)))


def test_clips_of_different_lengths_keep_their_lengths(tmp_path: Path, record: Make) -> None:
    for i, seconds in enumerate([0.5, 0.2, 0.9, 0.5]):
        record(tmp_path / "data" / "normal" / f"{i}.wav", seconds=seconds, seed=i)
    clips = open_bank(tmp_path / "data").select()
    result = FeatureCache().get(MEL, clips)
    assert result.lengths.tolist() == [16, 7, 29, 16]
    for i in range(4):
        alone = MEL(torch.from_numpy(clips.samples(i).copy())[None])[0]
        assert np.abs(result.clip(i) - alone.numpy()).max() < 1e-4
    some = result.take([2, 0])
    assert torch.equal(some.tensor(), torch.from_numpy(np.concatenate([result.clip(2), result.clip(0)])))


def test_splits_processes_and_runs_share_an_entry(bank: Bank, computed: list[int]) -> None:
    FeatureCache().get(MEL, bank.select("fan", split="train"))
    FeatureCache().get(MEL, bank.select("fan", split="test"))
    FeatureCache().get(MEL, bank.select("fan").take([3, 1]))
    assert computed == [14]
    FeatureCache().get(MEL, bank.select())
    assert computed == [14, 14]  # pump
    FeatureCache().get(LogMel(mels=64), bank.select("fan"))
    FeatureCache().get(MEL, bank.select("fan"), dtype="float16")
    assert len(entries()) == 4


def test_equal_audio_elsewhere_shares_the_entry(dataset: Make, tmp_path: Path, computed: list[int]) -> None:
    root = dataset(clips=6)
    FeatureCache().get(MEL, open_bank(root).select())
    root.rename(tmp_path / "moved")
    FeatureCache().get(MEL, open_bank(tmp_path / "moved").select())
    assert computed == [8]


def test_float16_is_float32_rounded_and_overflow_is_an_error(bank: Bank) -> None:
    whole, half = FeatureCache().get(MEL, bank.select()), FeatureCache().get(MEL, bank.select(), dtype="float16")
    assert half.clip(0).dtype == np.float16
    assert (whole.tensor() - half.tensor()).abs().max() < 0.04  # half a unit in the last place, for values below 128 dB
    with pytest.raises(AsdRayError, match="do not fit float16"):
        FeatureCache().get(Magnitude(power=8.0), bank.select(), dtype="float16")
    with pytest.raises(AsdRayError, match="dtype of features must be float32 or float16"):
        FeatureCache().get(MEL, bank.select(), dtype="int8")
    assert not list((Path(os.environ["ASD_RAY_CACHE"]) / "features").glob("*.tmp"))


def test_the_raw_wave_is_not_stored_twice(bank: Bank) -> None:
    result = FeatureCache().get(Raw(), bank.select("fan"))
    assert np.array_equal(result.clip(0) * 32768, bank.select("fan").samples(0))
    assert entries() == []


@pytest.mark.parametrize("damage", ["cut", "rot", "header", "foreign", "empty"])
def test_a_broken_entry_is_computed_again(bank: Bank, computed: list[int], damage: str) -> None:
    before = FeatureCache().get(MEL, bank.select("fan")).tensor()
    (path,) = entries()
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[:-1000],
            "rot": content[:-1000] + bytes(1000),
            "header": content[:16] + b"?" + content[17:],
            "foreign": b"PAR1" * 3000,
            "empty": b"",
        }[damage]
    )
    again = FeatureCache().get(MEL, bank.select("fan"))
    assert computed == [14, 14]
    assert torch.equal(before, again.tensor())
    FeatureCache().get(MEL, bank.select("fan"))
    assert computed == [14, 14]


def test_over_the_cap_the_least_recently_used_entry_is_removed(bank: Bank, computed: list[int]) -> None:
    small = FeatureCache(cap_gib=5.5 * 14 * 16 * 128 * 4 / 2**30)  # five entries of 14 clips × 16 frames × 128 mels
    fronts = [LogMel(fmin=float(f)) for f in range(5)]
    for result in fronts:
        small.get(result, bank.select("fan"))
        time.sleep(0.01)
    FeatureCache().get(fronts[0], bank.select("fan"))  # now the most recently used
    small.get(LogMel(fmin=9.0), bank.select("fan"))
    assert len(entries()) == 5
    computed.clear()
    FeatureCache().get(fronts[0], bank.select("fan"))
    assert computed == []
    FeatureCache().get(fronts[1], bank.select("fan"))
    assert computed == [14]


def test_an_open_entry_stays_readable_after_its_removal(bank: Bank) -> None:
    small = FeatureCache(cap_gib=1.5 * 14 * 16 * 128 * 4 / 2**30)
    remaining = small.get(MEL, bank.select("fan"))
    expected = remaining.tensor()
    small.get(LogMel(fmin=9.0), bank.select("fan"))
    assert len(entries()) == 1
    assert torch.equal(remaining.tensor(), expected)
    assert torch.equal(small.get(MEL, bank.select("fan")).tensor(), expected)


def test_features_larger_than_the_cap_are_computed_and_not_stored(bank: Bank, caplog: pytest.LogCaptureFixture) -> None:
    result = FeatureCache(cap_gib=0).get(MEL, bank.select("fan"))
    assert torch.equal(result.tensor(), extract(MEL, bank.select("fan")).tensor())
    assert entries() == []
    assert "more than the cap" in caplog.text


@pytest.mark.parametrize(("value", "message"), [("lots", "must be a number of GiB"), ("-1", "must be GiB from 0")])
def test_a_wrong_cap_is_named(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    monkeypatch.setenv("ASD_RAY_FEATURES_GIB", value)
    with pytest.raises(AsdRayError, match=message):
        FeatureCache()


def test_concurrent_writers_write_one_entry(dataset: Make, python: Callable[..., object]) -> None:
    root = dataset(clips=60)
    open_bank(root)
    many = [python(FILL, root, 3) for _ in range(3)]
    sums = {child.communicate()[0].splitlines()[-1] for child in many}  # type: ignore[attr-defined]
    assert sums == {str(float(extract(MEL, open_bank(root).select("fan")).tensor().double().sum()))}
    assert len(entries()) == 1


def test_concurrent_writers_of_different_entries_keep_the_cap(dataset: Make, python: Callable[..., object]) -> None:
    root = dataset(clips=30)
    open_bank(root)
    cap = 2.5 * 32 * 16 * 128 * 4  # bytes of two and a half entries
    many = [python(FILL, root, cap / 2**30, *range(3 * n, 3 * n + 3)) for n in range(3)]
    assert [child.wait() for child in many] == [0, 0, 0]  # type: ignore[attr-defined]
    assert 1 <= len(entries()) <= 2


def test_without_clips_there_are_no_features(bank: Bank) -> None:
    none = bank.select("fan", domain="target")
    assert FeatureCache().get(MEL, none).tensor().shape == (0, 128)


def test_what_a_killed_writer_leaves_is_never_read(dataset: Make, python: Callable[..., object]) -> None:
    root = dataset(clips=200)
    clips = open_bank(root).select("fan")
    child = python(FILL, root, 1)
    child.stdout.readline()  # type: ignore[attr-defined]
    folder = Path(os.environ["ASD_RAY_CACHE"]) / "features"
    while not list(folder.glob(".*.tmp")) and child.poll() is None:  # type: ignore[attr-defined]
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    child.wait()  # type: ignore[attr-defined]
    assert list(folder.glob(".*.tmp"))
    assert torch.equal(FeatureCache().get(MEL, clips).tensor(), extract(MEL, clips).tensor())
    assert not list(folder.glob(".*.tmp"))  # the next writer removed it


def test_a_full_disk_disables_the_cache_but_not_the_trial(dataset: Make, python: Callable[..., object]) -> None:
    root = dataset(clips=200)
    open_bank(root)
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + FILL
    out, error = python(limited, root, 1).communicate()  # type: ignore[attr-defined]
    assert float(out.splitlines()[-1]) != 0
    assert "features are not cached" in error
    assert list((Path(os.environ["ASD_RAY_CACHE"]) / "features").glob("*.feat")) == []


def test_a_bank_of_another_rate_is_an_error(dataset: Make) -> None:
    clips = open_bank(dataset(), rate=8_000).select()
    with pytest.raises(AsdRayError, match="expects 16000 Hz but the bank has 8000 Hz"):
        FeatureCache().get(MEL, clips)


def test_clips_too_short_for_a_front_end_are_named(tmp_path: Path, record: Make) -> None:
    record(tmp_path / "data" / "normal" / "a.wav", seconds=0.11)
    with pytest.raises(AsdRayError, match="clips of 1760 samples are too short for one frame of log_mel"):
        extract(LogMel(n_fft=2048, center=False), open_bank(tmp_path / "data").select())
