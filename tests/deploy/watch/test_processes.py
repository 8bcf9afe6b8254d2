"""Whole watches as processes of their own: pipes, growing files, signals, kill -9, memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from benchmarks._band_scorer import noise, tone
from tests.deploy.watch.http_receiver import HttpReceiver, eventually
from tests.deploy.watch.test_watch import fault

ROOT = Path(__file__).parents[3]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(source: object = "-", **options: Any) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "benchmarks._band_watch", str(source), json.dumps(options)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(words, cwd=ROOT, env=environment, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The next event."""
    assert process.stdout is not None
    text = process.stdout.readline()
    assert text, process.stderr.read() if process.stderr else ""
    event: dict[str, Any] = json.loads(text)
    return event


def rest(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    out, _ = process.communicate(timeout=120)
    return [json.loads(text) for text in out.splitlines()]


def feed(process: subprocess.Popen[bytes], sound: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(sound.tobytes())
    process.stdin.flush()


def test_a_pipe_is_watched_to_its_end(start: Start) -> None:
    process = start("-", rate=16_000)
    sound = noise(30.0, rate=16_000, level=1000.0)
    sound[16_000 * 10 : 16_000 * 15] += tone(5.0, rate=16_000)
    out, err = process.communicate(sound.tobytes() + b"?")
    events = [json.loads(text) for text in out.splitlines()]
    assert [event["event"] for event in events] == ["started", "alarm", "alarm_ended", "unreadable", "stopped"]
    assert 9.0 <= events[1]["offset"] <= 10.5
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_live_alarm_comes_at_once_and_a_signal_ends_the_watch_in_order(start: Start, number: signal.Signals) -> None:
    process = start()
    assert line(process)["event"] == "started"
    feed(process, noise(3.0))
    feed(process, fault(0.0, 2.0, 2.0))
    assert line(process)["event"] == "alarm"  # while the pipe is open
    process.send_signal(number)
    process.wait(120)  # while the pipe is open: its end would be another reason to stop
    ended, stopped = rest(process)
    assert (ended["event"], ended["reason"]) == ("alarm_ended", "stopped")
    assert (stopped["event"], stopped["reason"], stopped["alarms"]) == ("stopped", number.name, 1)
    assert process.returncode == 0


def test_files_that_grow_are_read_when_they_are_whole(
    start: Start, tmp_path: Path, record: Callable[..., Path]
) -> None:
    folder = tmp_path / "folder"
    record(folder / "old.wav", seconds=3.0)
    process = start(folder, windows=True)
    assert line(process)["event"] == "started"
    time.sleep(0.5)  # the first look at the folder
    soundfile.write(tmp_path / "x.wav", noise(2.0), 4_000)
    whole = (tmp_path / "x.wav").read_bytes()
    (folder / "broken.wav").write_bytes(b"RIFF, but then nothing")
    with open(folder / "x.wav", "wb") as file:
        for at in range(0, len(whole), len(whole) // 8):
            file.write(whole[at : at + len(whole) // 8])
            file.flush()
            time.sleep(0.15)
    events = [line(process) for _ in range(4)]
    assert sorted((event["event"], event["name"]) for event in events) == [
        ("unreadable", "broken.wav"),
        *[("window", "x.wav")] * 3,
    ]
    process.terminate()
    (stopped,) = rest(process)
    assert (stopped["files"], stopped["windows"]) == (1, 3)


def test_nothing_is_lost_when_the_receiver_is_away_and_the_watch_is_killed(start: Start, tmp_path: Path) -> None:
    receiver = HttpReceiver()
    with receiver.running() as url:
        pass  # its port is known now, and nobody listens
    options = {"webhook": url, "spool": str(tmp_path / "spool"), "windows": True}
    killed = start(**options)
    feed(killed, fault(2.0, 3.0, 5.0))
    events = [line(killed) for _ in range(11)]
    killed.send_signal(signal.SIGKILL)
    events += rest(killed)
    assert "alarm" in {event["event"] for event in events}

    again = start(**options)
    line(again)
    with receiver.running():
        eventually(lambda: len(receiver.confirmed) > len(events))
        feed(again, noise(1.0))
        again.stdin.close()  # type: ignore[union-attr]
        again.stdin = None
        second = rest(again)
    got = [{name: value for name, value in event.items() if name != "delivery"} for event in receiver.confirmed]
    assert got[: len(events)] == events  # in order
    assert [event["event"] for event in got[len(events) :]] == ["started", "window", "stopped"]
    assert second[-1] == got[-1]
    assert len({event["delivery"] for event in receiver.confirmed}) == len(got)


def test_what_cannot_be_sent_at_the_end_waits_for_the_next_watch(start: Start, tmp_path: Path) -> None:
    receiver = HttpReceiver(status=500)
    with receiver.running() as url:
        process = start(webhook=url, spool=str(tmp_path))
        _, err = process.communicate(noise(2.0).tobytes(), timeout=120)
    assert process.returncode == 0
    assert b"it answered 500" in err
    assert b"2 events could not be sent yet" in err


def test_memory_of_two_hours_at_full_speed_is_that_of_one(start: Start) -> None:
    process = start(rate=16_000, windows=True)
    minute = noise(60.0, rate=16_000).tobytes()
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    used = []
    for _ in range(120):
        assert process.stdin is not None
        process.stdin.write(minute)
        used.append(psutil.Process(process.pid).memory_info().rss / 2**20)
    process.stdin.close()
    process.stdin = None
    process.wait(200)
    reader.join(60)
    stopped = json.loads(lines[-1])
    assert (stopped["event"], stopped["windows"]) == ("stopped", 14_399)
    # MiB. The allocator gives memory back and takes it again, up to 18 MiB. An hour of sound is 110 MiB, or 220 as
    # floats.
    assert np.max(used[60:]) < np.max(used[:60]) + 40
