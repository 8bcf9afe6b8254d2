"""What a bundle scores: files, arrays, any rate and id, and sound unlike the training clips."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray import AsdRayError
from asd_ray.deploy.scoring import Unscored, files_of, score_files

from .conftest import SmallRun


def test_arrays_score_as_their_files(small: SmallRun) -> None:
    bundle, clip = small.load(), small.clips[0]
    samples, rate = soundfile.read(clip, dtype="int16")
    expected = bundle.score(clip)
    assert bundle.score(samples, rate).score == expected.score
    assert bundle.score(samples / 32768.0, rate).score == expected.score
    assert bundle.score(np.stack([samples, samples * 0], axis=1), rate).score == expected.score
    (wave,) = bundle.score_waves([samples])
    assert wave.score == expected.score


@pytest.mark.parametrize(
    ("array", "rate", "message"),
    [
        (np.zeros(16_000), None, "an array has no sample rate"),
        (np.zeros(100), 16_000, "too short"),
        (np.zeros(16_000, int), 16_000, "must be int16 or floats"),
        (np.full(16_000, np.nan), 16_000, "NaN"),
        (np.full(16_000, 3000.0), 16_000, "far outside"),
        (np.zeros((2, 16_000)), 16_000, r"\[samples, channels\]"),
        (np.zeros(16_000), 10**9, "rate must be between"),
        (np.array(["a"]), 16_000, "must be int16 or floats"),
    ],
)
def test_an_array_that_is_no_sound_is_refused(small: SmallRun, array: Any, rate: int | None, message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        small.load().score(array, rate)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_and_any_number_of_channels(small: SmallRun, tmp_path: Path, rate: int) -> None:
    bundle = small.load()
    noise = np.random.default_rng(0).normal(0, 0.1, (rate, 3))
    soundfile.write(tmp_path / "a.flac", noise, rate)
    assert np.isfinite(bundle.score(tmp_path / "a.flac").score)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda wave: wave * 0, "it is silent"),
        (lambda wave: wave // 30, "dB quieter than the quietest training clip"),
        (lambda wave: np.clip(wave.astype(int) * 30, -32768, 32767).astype(np.int16), "at full scale"),
        (lambda wave: np.tile(wave, 3), "it lasts 3.0 s and the training clips 1 s"),
        (lambda wave: wave, ""),
    ],
)
def test_a_sound_unlike_the_training_clips_gets_a_warning(small: SmallRun, change: Any, warning: str) -> None:
    samples, rate = soundfile.read(small.clips[0], dtype="int16")
    result = small.load().score(change(samples), rate)
    assert any(warning in text for text in result.warnings) if warning else result.warnings == ()


def test_a_sound_of_a_lower_rate_gets_a_warning(small: SmallRun) -> None:
    result = small.load().score(np.random.default_rng(0).normal(0, 0.1, 8_000), 8_000)
    assert any("recorded at 8000 Hz and the training clips at 16000 Hz" in text for text in result.warnings)


def test_an_unknown_id_is_compared_with_all(small: SmallRun) -> None:
    bundle = small.load()
    assert bundle.ids == ("00", "01")
    unknown, any_id = bundle.score(small.clips[0], id="77"), bundle.score(small.clips[0])
    assert unknown.score == any_id.score
    assert (unknown.id, any_id.id) == ("77", "")


def test_files_and_folders_in_constant_batches(small: SmallRun, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number, clip in enumerate(small.clips * 3):
        shutil.copy(clip, tmp_path / "a" / f"{number:03d}_{clip.name}")
    (tmp_path / "a" / "broken.wav").write_bytes(b"RIFF1234")
    (tmp_path / "a" / "notes.txt").write_text("not audio")
    bundle = small.load()
    files = list(files_of([tmp_path / "a"], bundle.ids))
    results = list(score_files(bundle, files))
    assert len(files) == len(results) == 3 * len(small.clips) + 1
    assert [file.path for file in files] == [result.name for result in results]
    (broken,) = [result for result in results if isinstance(result, Unscored)]
    assert broken.name.endswith("broken.wav")
    assert {result.id for result in results if not isinstance(result, Unscored)} == {"00", "01"}
    alone = bundle.score(small.clips[0], id="00").score
    same = next(result for result in results if small.clips[0].name in result.name)
    assert not isinstance(same, Unscored)
    assert same.score == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("path", ["nowhere.wav", "empty"])
def test_no_sound_to_score_is_an_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AsdRayError, match="no such file|no wav or flac file"):
        list(files_of([tmp_path / path]))
