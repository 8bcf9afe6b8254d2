"""``asd-ray explain`` with a real bundle of a small search."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from asd_ray.cli.explain import main as explain

from ..deploy.conftest import SmallRun, small
from ..hostile import Verbs

__all__ = ["small"]
RATE = 16_000


@pytest.fixture
def faulty(small: SmallRun, tmp_path: Path) -> Path:
    """A normal clip, repeated to 3 s, with a loud tone of 3.2 kHz from 1.5 s to 2.5 s."""
    (clip,) = [path for path in small.clips if "section_00_source_test_normal_0000" in path.name]
    sound = np.resize(soundfile.read(clip)[0], 3 * RATE)
    sound[round(1.5 * RATE) : round(2.5 * RATE)] += 0.3 * np.sin(2 * np.pi * 3200 * np.arange(RATE) / RATE)
    path = tmp_path / "section_00_new.wav"
    soundfile.write(path, np.clip(sound, -1, 1), RATE, subtype="PCM_16")
    return path


def test_a_sentence_and_a_picture(
    small: SmallRun, faulty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(faulty.parent)
    assert explain([str(small.folder), str(faulty)]) == 0
    out = capsys.readouterr()
    first, sentence, *rest = out.out.splitlines()
    assert first.startswith("section_00_new.wav: score ")
    assert first.endswith(": anomaly")
    assert sentence.startswith(
        "  tonal, about 3.2 kHz, from 1.5 s to 2.5 s; with normal sound there, the score falls from "
    )
    assert rest[-2:] == [
        "  picture: section_00_new.explain.png",
        f"next: asd-ray watch {small.folder} recordings/",
    ]
    with Image.open("section_00_new.explain.png") as image:
        assert image.width > 1000


def test_json_for_programs(small: SmallRun, faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(small.folder), str(faulty), "--json", "--no-png"]
    assert explain([*words, "--bands", "8", "--span", "1"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert stored["id"] == "00", "from the name"
    assert stored["picture"] is None
    assert (stored["map"]["bands"], stored["map"]["span"], stored["map"]["cells"]) == (8, 1.0, [9, 6])
    assert stored["regions"][0]["centre_hz"] == pytest.approx(3200, abs=30)
    assert stored["score"] == pytest.approx(small.load().score(faulty, id="00").score)
    assert explain([*words, "--id", "01", "--bands", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "01"
    assert list(tmp_path.glob("*.png")) == []


def test_a_part_has_the_times_of_the_recording(
    small: SmallRun, faulty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(small.folder), str(faulty), "--json", "--no-png"]
    assert explain([*words, "--from", "1.0", "--to", "3"]) == 0
    part = json.loads(capsys.readouterr().out)
    assert part["seconds"] == 2
    assert part["regions"][0]["centre_seconds"] == pytest.approx(2.0, abs=0.2)


def test_the_maps_of_the_members(small: SmallRun, faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain([str(small.folder), str(faulty), "--json", "--own", "--no-png"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert stored["map"]["method"] == "own maps of idnn"
    assert stored["map"]["cells"] == [128, 3 * RATE // 512 + 1]


def test_a_folder_and_a_broken_file(small: SmallRun, faulty: Path, tmp_path: Path, verbs: Verbs) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(faulty, folder / "a.wav")
    (folder / "b.wav").write_bytes(b"RIFF")
    answer = verbs("explain", small.folder, folder, "--out", tmp_path / "pictures", "--bands", 4)
    assert answer.status == 2
    assert "a.wav: score " in answer.out
    assert "not explained: " in answer.err
    assert "1 of 2 files could not be explained" in answer.err
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["a.explain.png"]


def test_wrong_use_is_refused_in_one_message(small: SmallRun, faulty: Path, tmp_path: Path, verbs: Verbs) -> None:
    other = tmp_path / "other" / faulty.name
    other.parent.mkdir()
    shutil.copy(faulty, other)
    verbs.refused("explain", small.folder, faulty, other, words=("would both be drawn to", str(other)))
    verbs.refused("explain", small.folder, faulty, "--from", 9, words=("lasts 3.00 s", "--from"))
    verbs.refused("explain", small.folder, faulty, "--from", 2, "--to", 1, words=("from 2 s to 1 s",))
    verbs.refused("explain", small.folder, faulty, "--from", 2.99, words=(str(faulty), "too short"))
    verbs.refused("explain", small.folder, faulty, "--span", "nan", words=("must be a number of seconds",))
    verbs.refused("explain", small.folder, faulty, "--bands", 65, words=("bands must be",))
    verbs.refused("explain", small.folder, tmp_path / "no.wav", words=("no such file",))
    verbs.refused("explain", tmp_path, faulty, words=("bundle.json",))
    (tmp_path / "file").write_text("")
    verbs.refused("explain", small.folder, faulty, "--out", tmp_path / "file" / "x", words=("--out",))
