"""The report with the dataset of the search: sounds, maps, what does not fit, and other datasets."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from asd_ray import Dataset, Run
from asd_ray._listening import Listener, grid_of, ogg
from asd_ray.errors import AsdRayError
from asd_ray.report import main
from asd_ray.reporting import gather, write_report
from asd_ray.reporting.media import Media, page_bytes
from tests.deploy.conftest import SmallRun

SOUND = re.compile(r'<audio controls preload="none" aria-label="[^"]*" src="data:audio/ogg;base64,([^"]+)"')
PICTURE = re.compile(r'<img alt="([^"]+)" width="(\d+)" height="(\d+)" src="data:image/png;base64,([^"]+)"')


@pytest.fixture(scope="module")
def run(small: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the small run, whose low threshold makes false alarms."""
    folder = tmp_path_factory.mktemp("listening") / "run"
    shutil.copytree(small.run.layout.root, folder)
    run = Run(folder)
    run.ensemble("fan", ["label_free"], percentile=60.0, threshold="empirical")
    return run


@pytest.fixture(scope="module")
def facts(run: Run) -> Any:
    return gather(run.ledger)


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> Run:
    """For a test that changes the run."""
    shutil.copytree(run.layout.root, tmp_path / "copied")
    return Run(tmp_path / "copied")


@pytest.fixture(scope="module")
def report(run: Run, small: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report with sounds and maps, through the library."""
    written = run.report(tmp_path_factory.mktemp("page"), small.data)
    assert written.notes == ()
    return Path(written.page).parent


@pytest.fixture(scope="module")
def page(report: Path) -> str:
    return (report / "report.html").read_text()


def listener(run: Run, small: SmallRun, **how: Any) -> Listener:
    return Listener(run.ledger, small.data.source(), **how)


def test_every_clip_has_its_sound(page: str, facts: Any, small: SmallRun) -> None:
    clips = facts["machines"]["fan"]["mistakes"].clips
    sounds = [base64.b64decode(text) for text in SOUND.findall(page)]
    assert len(sounds) == len(clips) > 1
    for clip, sound in zip(clips, sounds, strict=True):
        (path,) = [path for path in small.clips if path.name == clip.clip]
        original, rate = soundfile.read(path)
        heard, own_rate = soundfile.read(io.BytesIO(sound))
        assert (own_rate, len(heard)) == (rate, len(original))
        assert np.corrcoef(original, heard)[0, 1] > 0.95  # the same sound, at the same time


def test_every_clip_has_a_small_map_with_its_sentence_as_text(page: str, facts: Any) -> None:
    pictures = PICTURE.findall(page)
    assert len(pictures) == len(facts["machines"]["fan"]["mistakes"].clips)
    for sentence, width, height, text in pictures:
        picture = base64.b64decode(text)
        assert Image.open(io.BytesIO(picture)).size == (int(width), int(height))
        assert len(picture) < 100_000
        assert re.search(r"score (of|falls)", sentence)


def test_json_and_markdown_have_the_sentences_and_no_sound(report: Path) -> None:
    stored = json.loads((report / "report.json").read_text())["machines"]["fan"]["mistakes"]
    sentences = [clip["where"] for clip in stored["clips"]]
    assert all(sentences)
    shown = (report / "report.md").read_text()
    assert "| where the score comes from |" in shown
    rows = re.findall(r"(?m)^\| section.*\| (?:missed|false alarm) \| .*score.* \|$", shown)
    assert len(rows) == len(sentences)
    assert not any("base64" in path.read_text() for path in report.iterdir() if path.name != "report.html")


def test_what_does_not_fit_is_left_out_and_named(run: Run, small: SmallRun, facts: Any, page: str) -> None:
    own = facts["machines"]["fan"]
    two = {**own, "mistakes": replace(own["mistakes"], clips=own["mistakes"].clips[:2])}
    first, second = (len(text) for _, _, _, text in PICTURE.findall(page)[:2])
    most = first + second - 1
    media = listener(run, small, audio=False, page_bytes=most)({**facts, "machines": {"fan": two}})
    assert [(page_bytes(each.picture), len(each.audio)) for each in media.clips.values()] == [(first, 0), (0, 0)]
    assert media.notes_of("fan") == (
        f"left out: 1 map, because a page has {most / 1e6:g} MB of sounds and maps at most",
    )


def test_without_a_members_state_there_is_sound_and_a_note_with_the_cure(copied: Run, small: SmallRun) -> None:
    final = copied.ensembles()["fan"]["final"]
    for state in Path(copied.layout.root, "states").rglob("*.safetensors"):
        if state.stem == final.members[0].trial:
            state.unlink()
    media = listener(copied, small)(gather(copied.ledger))
    assert all(each.audio and not each.picture for each in media.clips.values())
    (note,) = media.notes_of("fan")
    assert note.startswith(f"no maps: the search kept no state of {final.members[0].name}. Train again with: asd-ray ")
    assert "--keep-states all" in note


def test_an_ensemble_that_ranks_test_clips_has_sound_and_a_note(run: Run, small: SmallRun, facts: Any) -> None:
    own = facts["machines"]["fan"]
    ranks = {**own, "final": replace(own["final"], combine="rank_mean")}
    media = listener(run, small)({**facts, "machines": {"fan": ranks}})
    assert all(each.audio and not each.picture for each in media.clips.values())
    assert media.notes_of("fan") == (
        "no maps: label_free.mean combines ranks among the test clips, so no clip has a score alone",
    )


def changed_clip(folder: Path) -> None:
    path = next(folder.rglob("*test_normal*.wav"))
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[::-1], rate, subtype="PCM_16")


def without_a_clip(folder: Path) -> None:
    next(folder.rglob("*train_normal*.wav")).unlink()


def another_machine(folder: Path) -> None:
    (folder / "dev_data" / "fan").rename(folder / "dev_data" / "pump")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed_clip, "its clips of fan .* are not those of the run"),
        (without_a_clip, "its clips of fan .* are not those of the run"),
        (another_machine, "has clips of pump, but the report is of fan"),
    ],
)
def test_another_dataset_is_refused_with_the_cure(
    run: Run, small: SmallRun, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    shutil.copytree(small.data.root, tmp_path / "other")
    change(tmp_path / "other")
    with pytest.raises(AsdRayError, match=message) as error:
        run.report(tmp_path / "report", Dataset(tmp_path / "other", cache=tmp_path / "cache"))
    assert "name the dataset of the search, or leave data out" in str(error.value)
    assert not (tmp_path / "report").exists()


def test_another_rate_is_another_dataset(run: Run, small: SmallRun, tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="are not those of the run .*resampled to 8000 Hz"):
        run.report(tmp_path / "report", Dataset(small.data.root, rate=8000, cache=tmp_path / "cache"))


def test_a_machine_without_recordings_is_named_and_the_others_are_shown(run: Run, small: SmallRun, facts: Any) -> None:
    fan = facts["machines"]["fan"]
    media = listener(run, small, page_bytes=10)({**facts, "machines": {"fan": fan, "valve": fan}})
    assert {machine for machine, _ in media.clips} == {"fan"}
    assert not any(each.audio or each.picture for each in media.clips.values())
    clips = len(fan["mistakes"].clips)
    assert media.notes_of("fan")[0].startswith(f"left out: {clips} players and {clips} maps")
    assert media.notes_of("valve") == (f"no sound and no maps: {small.data.root} has no clips of this machine",)


def test_a_run_without_mistakes_needs_no_recordings(run: Run, small: SmallRun, facts: Any) -> None:
    own = facts["machines"]["fan"]
    none = {**own, "mistakes": replace(own["mistakes"], clips=())}
    assert listener(run, small)({**facts, "machines": {"fan": none}}) == Media()


def test_a_folder_with_other_files_is_refused_before_sounds_are_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    called = []
    with pytest.raises(AsdRayError, match="was not written by asd-ray report"):
        write_report(run.ledger, tmp_path, lambda facts: called.append(facts) or Media())
    assert not called
    write_report(run.ledger, tmp_path / "new", lambda facts: called.append(facts) or Media())
    assert len(called) == 1


def test_the_command_takes_the_dataset(
    copied: Run, small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(Path(copied.layout.root, "states"))  # without states no maps are computed, which takes seconds
    words = ["--run", str(copied.layout.root), "--data", str(small.data.root), "--cache", str(small.data.cache)]
    assert main([*words, "--out", str(tmp_path / "with")]) == 0
    assert "note: fan: no maps: the search kept no state of" in capsys.readouterr().out
    assert SOUND.search((tmp_path / "with" / "report.html").read_text())
    assert main([*words, "--out", str(tmp_path / "without"), "--no-audio"]) == 0
    assert not SOUND.search((tmp_path / "without" / "report.html").read_text())
    assert main([*words, "--submission", str(tmp_path / "official")]) == 2
    assert "--submission writes no report, so it cannot use --data" in capsys.readouterr().err


def test_a_long_sound_is_encoded() -> None:
    wave = (8000 * np.sin(np.arange(90 * 16_000) * 0.1)).astype(np.int16)
    heard, rate = soundfile.read(io.BytesIO(ogg(wave, 16_000)))
    assert (len(heard), rate) == (len(wave), 16_000)


@pytest.mark.parametrize("seconds", [0.1, 4.0, 10.0, 300.0])
def test_a_map_takes_about_as_many_patches_for_any_length(seconds: float) -> None:
    grid = grid_of(seconds)
    assert 80 <= grid.bands * (len(grid.seconds(seconds)) - 2) <= 120 or seconds == 0.1
