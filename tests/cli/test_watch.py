"""``asd-ray watch`` with a real bundle of a small search."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray.clips.demo import make_demo
from asd_ray.deploy.bundle import Bundle
from asd_ray.run import Run
from tests.deploy.watch.broker import Broker
from tests.deploy.watch.http_receiver import HttpReceiver
from tests.hostile import Verbs

Watched = Callable[[list[object], bytes], tuple[list[dict[str, Any]], str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a demo set, a run, and a bundle of one small detector."""
    folder = tmp_path_factory.mktemp("watch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASD_RAY_CACHE", str(folder / "cache"))
        make_demo(folder / "demo", size="tiny", machines=["fan"])
        run = Run(folder / "run")
        run.search(folder / "demo", ["fan"], families=["twfr_gmm"], trials=1, serial=True)
        run.ensemble("fan", recipes=["label_free"])
        run.bundle("fan", folder / "fan.bundle")
        yield folder


def clips(place: Path, what: str) -> list[Path]:
    return sorted((place / "demo" / "dev_data" / "fan").rglob(f"section_00*{what}*.wav"))


def sound(place: Path) -> np.ndarray:
    """Ten normal clips, three copies of the clearest anomaly, and ten normal clips again."""
    bundle = Bundle.load(place / "fan.bundle")
    clear = max(clips(place, "anomaly"), key=lambda path: bundle.score(path, id="00").score)
    quiet = sorted(clips(place, "normal"), key=lambda path: bundle.score(path, id="00").score)[:10]
    parts = [*quiet, *[clear] * 3, *quiet]
    return np.concatenate([soundfile.read(path, dtype="int16")[0] for path in parts])


def in_a_process(words: list[object], data: bytes) -> tuple[list[dict[str, Any]], str]:
    """The events and notes of ``asd-ray watch …`` in a process of its own."""
    command = [sys.executable, "-m", "asd_ray", "watch", *map(str, words)]
    done = subprocess.run(command, input=data, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verbs: Verbs) -> Watched:
    """The same in this process, with a file as standard input."""

    def watch(words: list[object], data: bytes) -> tuple[list[dict[str, Any]], str]:
        (tmp_path / "input").write_bytes(data)
        with open(tmp_path / "input") as file:
            monkeypatch.setattr(sys, "stdin", file)
            answer = verbs("watch", *words)
        assert answer.status == 0, answer
        return [json.loads(line) for line in answer.out.splitlines()], answer.err

    return watch


def test_a_fault_in_a_pipe_reaches_output_webhook_and_broker(place: Path, tmp_path: Path) -> None:
    receiver, broker = HttpReceiver(), Broker()
    with receiver.running() as url, broker.running() as address:
        words = [place / "fan.bundle", "-", "--rate", 16_000, "--id", "00", "--start", "2026-01-01T12:00Z"]
        words += ["--webhook", url, "--mqtt", f"{address}/plant/fan", "--spool", tmp_path / "spool"]
        events, notes = in_a_process(words, sound(place).tobytes())
    assert [event["event"] for event in events] == ["started", "alarm", "alarm_ended", "stopped"]
    started, alarm, ended, _ = events
    assert (started["machine"], started["id"], started["window"], started["hop"]) == ("fan", "00", 2.0, 1.0)
    assert 18.0 <= alarm["offset"] <= 22.0
    assert alarm["began"] == f"2026-01-01T12:00:{alarm['offset']:06.3f}Z"
    assert alarm["score"] > alarm["threshold"] == started["threshold"]
    assert ended["reason"] == "normal again"
    assert "normal clips" in notes
    for got in (receiver.confirmed, [json.loads(body) for _, body in broker.published]):
        assert [{name: value for name, value in each.items() if name != "delivery"} for each in got] == events


def test_scores_of_windows_are_those_of_score(place: Path, watched: Watched) -> None:
    bundle = Bundle.load(place / "fan.bundle")
    path = clips(place, "normal")[0]
    samples, rate = soundfile.read(path, dtype="int16")
    events, _ = watched([place / "fan.bundle", "-", "--rate", rate, "--id", "00", "--windows"], samples.tobytes())
    (window,) = (event for event in events if event["event"] == "window")
    score = bundle.score(path, id="00")
    assert window["score"] == pytest.approx(score.score, rel=1e-6)
    assert window["share_below"] == score.share_below


def test_a_folder_is_watched_until_a_signal(place: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    for number, path in enumerate(clips(place, "normal")[:3]):
        os.link(path, tmp_path / f"{number}.wav")
    words = [place / "fan.bundle", tmp_path, "--existing", "--settle", 0, "--id", "00", "--windows"]
    process = subprocess.Popen(
        [sys.executable, "-m", "asd_ray.watch", *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(5)]
    process.send_signal(signal.SIGTERM)
    *_, stopped = (json.loads(line) for line in process.communicate(timeout=120)[0].splitlines())
    kinds = sorted((line["event"], line.get("name")) for line in lines[1:])
    assert kinds == [("unreadable", "broken.wav"), *[("window", f"{n}.wav") for n in range(3)]]
    assert (stopped["reason"], stopped["files"], process.returncode) == ("SIGTERM", 3, 0)


def test_false_alarms_and_threshold_change_decisions(place: Path, watched: Watched) -> None:
    words = [place / "fan.bundle", "-", "--rate", 16_000]
    silence = bytes(64_000)
    usual, _ = watched(words, silence)
    fewer, _ = watched([*words, "--false-alarms", "0.1%"], silence)
    own, _ = watched([*words, "--threshold", 123.5], silence)
    assert fewer[0]["threshold"] > usual[0]["threshold"]
    assert own[0]["threshold"] == 123.5
    unlike = next(event for event in usual if event["event"] == "unlike_training")
    assert "it is silent" in unlike["warnings"][0]


def test_recalibrate_learns_the_threshold_from_new_normal_sound(place: Path, tmp_path: Path, watched: Watched) -> None:
    folder = tmp_path / "normal"
    for number, path in enumerate([*clips(place, "test_normal"), *clips(place, "train_normal")]):
        (folder / "00").mkdir(parents=True, exist_ok=True)
        os.link(path, folder / "00" / f"{number}.wav")
    (folder / "broken.wav").write_bytes(b"")
    words = [place / "fan.bundle", "-", "--rate", 16_000, "--id", "00"]
    usual, _ = watched(words, b"")
    events, notes = watched([*words, "--recalibrate", folder], b"")
    count = len(list((folder / "00").iterdir()))
    assert events[0]["false_alarms"]["normal_clips"] == count
    assert events[0]["threshold"] != usual[0]["threshold"]
    assert f"calibrated with {count} windows of 2 s from {count} recordings" in notes
    assert "left out: broken.wav: the file is empty" in notes
    own, _ = watched([*words, "--recalibrate", folder, "--threshold", 7.5], b"")
    assert own[0]["threshold"] == 7.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-",), "--rate HZ"),
        (("-", "--rate", "16000", "--existing"), "--existing is for a folder"),
        ((".", "--rate", "16000"), "--rate is for the samples of a pipe"),
        ((".", "--spool", "s"), "name one with --webhook or --mqtt"),
        ((".", "--webhook", "broker"), "--webhook must be an address"),
        ((".", "--mqtt", "broker"), "--mqtt must be HOST[:PORT]/TOPIC"),
        ((".", "--start", "noon"), "must be a time such as"),
        ((".", "--threshold", "1", "--false-alarms", "1%"), "leave one of them out"),
        (("nowhere",), "no such folder"),
        ((".", "--channel", "left"), "channel must be a number from 0"),
        ((".", "--window", "0"), "--window must be between"),
        ((".", "--alarm-after", "4"), "--of must be at least as many"),
        ((".", "--lower-threshold", "1e9"), "must not be higher"),
        ((".", "--lower-threshold=-1e9"), "an alarm would never end"),
    ],
)
def test_mistakes_are_named(place: Path, verbs: Verbs, words: tuple[str, ...], message: str) -> None:
    verbs.refused("watch", place / "fan.bundle", *words, words=(message,), lines=40)


def test_what_is_no_bundle_is_refused(tmp_path: Path, verbs: Verbs) -> None:
    verbs.refused("watch", tmp_path, tmp_path, words=(str(tmp_path),))


def test_sound_of_no_known_id_is_noted(place: Path, watched: Watched) -> None:
    words = [place / "fan.bundle", "-", "--rate", 16_000]
    assert "compared with all ids of fan (00, 01, 02, 03)" in watched(words, b"")[1]
    assert "fan has no id 77 in training" in watched([*words, "--id", "77"], b"")[1]
