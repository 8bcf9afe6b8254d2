from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clips.bank import ClipSet, open_bank
from asd_ray.clips.faults import AlteredBank, SourceClips, crops_of
from asd_ray.clips.scan import scan
from asd_ray.clips.table import supplemental_kinds
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.errors import AsdRayError

Make = Callable[..., Path]


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_the_bank_holds_what_soundfile_reads(dataset: Make, suffix: str) -> None:
    bank = open_bank(dataset(clips=40, machines=("fan", "pump"), suffix=suffix))
    assert len(bank) == 84
    for i, path in enumerate(bank.frame["path"]):
        assert np.array_equal(bank.samples(i), soundfile.read(bank.table.root / path, dtype="int16")[0])
    assert not bank.samples(0).flags.writeable
    assert bank.verify() == []


def test_clips_of_other_lengths_channels_and_rates_are_decoded_and_noted(tmp_path: Path, record: Make) -> None:
    root = tmp_path / "data"
    record(root / "normal" / "a.wav", seconds=0.5)
    record(root / "normal" / "b.wav", seconds=0.7, channels=2)
    record(root / "normal" / "c.flac", seconds=1.0, rate=44_100)
    record(root / "abnormal" / "d.wav", seconds=0.3, subtype="FLOAT")
    bank = open_bank(root)
    assert dict(zip(bank.frame["clip"], bank.lengths.tolist(), strict=True)) == {
        "normal/a.wav": 8_000,
        "normal/b.wav": 11_200,
        "normal/c.flac": 16_000,
        "abnormal/d.wav": 4_800,
    }
    notes = " ".join(map(str, bank.notes))
    assert "44100 Hz and are resampled to 16000 Hz" in notes
    assert "2 channels; channel 0 is used" in notes


def test_batches_hold_equally_long_clips_and_every_clip_once(tmp_path: Path, record: Make) -> None:
    for i, seconds in enumerate([0.5, 0.3, 0.5, 0.5, 0.3, 0.2]):
        record(tmp_path / "data" / "normal" / f"{i}.wav", seconds=seconds)
    clips = open_bank(tmp_path / "data").select()
    batches = [(positions.tolist(), waves.shape) for positions, waves in clips.batches(2)]
    assert batches == [([5], (1, 3200)), ([1, 4], (2, 4800)), ([0, 2], (2, 8000)), ([3], (1, 8000))]
    for positions, waves in clips.batches(3):
        for position, wave in zip(positions, waves, strict=True):
            assert np.array_equal(wave, clips.samples(position))


def test_select_and_take(dataset: Make) -> None:
    bank = open_bank(dataset(clips=5, machines=("fan", "pump")))
    train = bank.select("pump", split="train")
    assert (len(train), set(train.frame["machine"]), set(train.frame["split"])) == (5, {"pump"}, {"train"})
    some = train.take([3, 1])
    assert np.array_equal(some.samples(0), train.samples(3))
    assert len(bank.select(domain="target")) == 0


def test_a_finished_bank_is_opened_not_built(dataset: Make, decoded: list[str]) -> None:
    root = dataset()
    first = open_bank(root)
    decoded.clear()
    again = open_bank(root)
    assert decoded == []
    assert first.fingerprints == again.fingerprints


def test_only_a_changed_file_is_decoded_again(dataset: Make, decoded: list[str], record: Make) -> None:
    root = dataset()
    before = open_bank(root)
    changed = sorted((root / "dev_data/fan/train").iterdir())[3]
    old_folder = before.folder("fan")
    fingerprint = before.fingerprints
    decoded.clear()
    record(changed, seconds=0.6, seed=99)
    after = open_bank(root)
    assert decoded == [changed.name]
    assert after.fingerprints != fingerprint
    assert np.array_equal(after.samples(3), soundfile.read(changed, dtype="int16")[0])
    assert old_folder.exists()  # `before` still reads it
    assert before.verify() == []
    del before
    record(changed, seconds=0.7, seed=100)
    open_bank(root)
    assert not old_folder.exists()


def test_another_split_decodes_nothing_again(tmp_path: Path, record: Make, decoded: list[str]) -> None:
    for i in range(6):
        record(tmp_path / "data/fan/id_00/normal" / f"{i:08d}.wav", seed=i)
        record(tmp_path / "data/fan/id_00/abnormal" / f"{i:08d}.wav", seed=10 + i)
    first = open_bank(scan(tmp_path / "data"))
    other = open_bank(scan(tmp_path / "data", split_seed=1))
    assert len(decoded) == 12
    assert first.fingerprints != other.fingerprints
    by_path = dict(zip(first.frame["path"], first.frame["digest"], strict=True))
    assert by_path == dict(zip(other.frame["path"], other.frame["digest"], strict=True))


def test_the_fingerprint_depends_on_the_content_not_on_folder_or_format(dataset: Make, tmp_path: Path) -> None:
    root = dataset()
    copy = tmp_path / "elsewhere" / "copy"
    for path in root.rglob("*.wav"):
        target = copy / path.relative_to(root).with_suffix(".flac")
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, soundfile.read(path, dtype="int16")[0], 16_000)
    assert open_bank(root).fingerprints == open_bank(copy).fingerprints


@pytest.mark.parametrize("option", [{"channel": "mean"}, {"rate": 8_000}])
def test_other_decoding_options_give_another_bank(tmp_path: Path, record: Make, option: dict[str, object]) -> None:
    record(tmp_path / "data/normal/a.wav", channels=2)
    first, other = open_bank(tmp_path / "data"), open_bank(tmp_path / "data", **option)  # type: ignore[arg-type]
    assert first.fingerprints != other.fingerprints


@pytest.mark.parametrize(
    ("option", "message"), [({"channel": "left"}, "channel must be"), ({"rate": 0}, "rate must be")]
)
def test_wrong_options_are_named(dataset: Make, option: dict[str, object], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        open_bank(dataset(), **option)  # type: ignore[arg-type]


def test_datasets_with_equal_names_sizes_and_times_are_told_apart(tmp_path: Path, record: Make) -> None:
    for place, seed in (("A", 1), ("B", 2)):
        path = record(tmp_path / place / "fan" / "normal" / "a.wav", seed=seed)
        os.utime(path, ns=(10**18, 10**18))
    first, second = open_bank(tmp_path / "A/fan"), open_bank(tmp_path / "B/fan")
    assert np.array_equal(second.samples(0), soundfile.read(tmp_path / "B/fan/normal/a.wav", dtype="int16")[0])
    assert first.fingerprints != second.fingerprints


def test_a_pickled_bank_opens_the_memory_map_itself(dataset: Make) -> None:
    bank = open_bank(dataset(seconds=2.0))
    content = pickle.dumps(bank)
    assert len(content) < 2 * int(bank.lengths.sum()) / 10
    copy = pickle.loads(content)
    assert np.array_equal(copy.samples(3), bank.samples(3))
    del copy
    assert bank.verify() == []


def test_the_supplemental_clips_of_a_set_are_those_of_its_machines(tmp_path: Path, record: Make) -> None:
    for machine, kinds in {"fan": ("machine", "noise", "noise"), "pump": ("noise",), "valve": ()}.items():
        folder = tmp_path / "data" / "dev_data" / machine
        for number in range(3):
            record(folder / "train" / f"section_00_source_train_normal_{number:04d}_.wav", seconds=0.3)
        record(folder / "test" / "section_00_source_test_normal_0000_.wav", seconds=0.3)
        for number, kind in enumerate(kinds):
            record(folder / "supplemental" / f"section_00_{kind}_{number:04d}_.wav", seconds=0.2)
    bank = open_bank(tmp_path / "data")
    found = {
        machine: supplemental_kinds(bank.select(machine, split="train").supplemental.frame)
        for machine in ("fan", "pump", "valve")
    }
    assert found == {"fan": ["machine", "noise", "noise"], "pump": ["noise"], "valve": []}
    assert len(bank.select(split="train").supplemental) == 4
    some = bank.select("fan", split="train").take([2]).supplemental
    assert (some.bank, len(some), set(some.lengths)) == (bank, 3, {3_200})
    assert set(supplemental_kinds(bank.select("fan", split="train").frame)) == {""}


def test_sounds_in_memory_and_altered_clips_have_no_supplemental_clips(tmp_path: Path, record: Make) -> None:
    record(tmp_path / "data/fan/train/section_00_source_train_normal_0000_.wav", seconds=0.3)
    record(tmp_path / "data/fan/supplemental/section_00_noise_0000_.wav", seconds=0.3)
    clips = open_bank(tmp_path / "data").select("fan", split="train")
    assert len(clips.supplemental) == 1
    crops = crops_of(sources := SourceClips(clips))
    assert len(AlteredBank(sources, crops).clips().supplemental) == 0
    waves = WaveBank([clips.samples(0)], machine="fan", rate=clips.rate, ids=["00"])
    assert len(ClipSet(waves, np.arange(1)).supplemental) == 0
