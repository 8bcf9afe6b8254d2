from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asd_ray.deploy.watch import read_normal_sound
from asd_ray.deploy.watch.cutting import Cutting
from asd_ray.errors import AsdRayError
from benchmarks._band_scorer import fitted

CUTTING = Cutting(4_000, 1.0, 0.25)
SCORER = fitted(20)
SEVERAL = replace(SCORER, ids=("00", "02"))


def test_recordings_are_cut_into_windows_side_by_side(tmp_path: Path, record: Callable[..., Path]) -> None:
    record(tmp_path / "long.wav", seconds=3.4, rate=8_000)
    record(tmp_path / "below" / "short.flac", seconds=0.5)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    sound = read_normal_sound(tmp_path, SCORER, CUTTING)
    assert {id: sorted(len(wave) for wave in waves) for id, waves in sound.waves.items()} == {
        "00": [2_000, 4_000, 4_000, 4_000]
    }
    assert sound.files == 2
    assert [broken.name for broken in sound.broken] == ["broken.wav"]


def test_folders_that_are_named_as_ids_are_these_ids(tmp_path: Path, record: Callable[..., Path]) -> None:
    for name in ("00/a.wav", "02/b.wav", "02/morning/c.wav"):
        record(tmp_path / name, seconds=1.0)
    sound = read_normal_sound(tmp_path, SEVERAL, CUTTING)
    assert {id: len(waves) for id, waves in sound.waves.items()} == {"00": 1, "02": 2}


def test_the_id_of_other_recordings_must_be_known(tmp_path: Path, record: Callable[..., Path]) -> None:
    record(tmp_path / "a.wav", seconds=1.0)
    with pytest.raises(AsdRayError, match="any of the ids 00, 02; name one with --id"):
        read_normal_sound(tmp_path, SEVERAL, CUTTING)
    assert list(read_normal_sound(tmp_path, SEVERAL, CUTTING, id="02").waves) == ["02"]


@pytest.mark.parametrize("names", [(), ("broken.wav",)])
def test_a_folder_without_sound_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(AsdRayError, match="no normal recording can be read") as refused:
        read_normal_sound(tmp_path, SCORER, CUTTING)
    assert all(name in str(refused.value) for name in names)
