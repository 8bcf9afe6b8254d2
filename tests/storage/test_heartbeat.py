from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import RunLayout
from asd_ray.storage import heartbeat
from asd_ray.storage.heartbeat import Beat, BeatingFile, new_driver, read_beats, store_clock
from asd_ray.storage.open_files import open_files


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    return RunLayout(tmp_path / "run")


def beats(layout: RunLayout) -> list[Beat]:
    files = open_files(layout)
    return read_beats(files, files.list(layout.status), store_clock(files, layout.status))


def wait_for(what: Callable[[], Any], seconds: float = 120) -> Any:
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)
    return found


def write(layout: RunLayout, silent: float = 0.0, **told: Any) -> None:
    """A heartbeat of some process of another computer, written `silent` seconds ago."""
    path = Path(layout.status_file("other"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": "other", "pid": 1, "place": "elsewhere", "born": "7", **told}))
    at = path.stat().st_mtime - silent
    os.utime(path, (at, at))


def test_a_file_is_written_at_once_and_again_and_is_gone_at_the_end(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "EVERY", 0.05)
    counted = iter(range(1000))
    file = BeatingFile(open_files(layout), layout.status_file(new_driver()), lambda: {"count": next(counted)})
    file.start()
    (first,) = wait_for(lambda: beats(layout))
    assert first.alive
    assert first.here
    assert first.content["pid"] == os.getpid()
    wait_for(lambda: beats(layout)[0].content["count"] > first.content["count"] + 1)
    file.close()
    assert beats(layout) == []
    assert os.listdir(layout.status) == []


class Disk:
    """Files that do what the test says at each put."""

    def __init__(self, layout: RunLayout, acts: list[Callable[[], None]]) -> None:
        self.layout, self.acts, self.written = layout, acts, []

    def put(self, path: str, data: bytes) -> None:
        if self.acts:
            self.acts.pop(0)()
        self.written.append(json.loads(data))

    def remove(self, path: str) -> None:
        self.written.append("removed")


def test_a_slow_older_content_is_never_written_over_a_newer_one(layout: RunLayout) -> None:
    said = ["old"]
    disk = Disk(layout, [lambda: time.sleep(0.3)])
    file = BeatingFile(disk, "somewhere", lambda: {"said": said[0]})  # type: ignore[arg-type]
    file.start()
    wait_for(lambda: not disk.acts)  # the thread is in the slow put
    said[0] = "new"
    file.put()
    file.close()
    assert [each["said"] for each in disk.written[:-1]] == ["old", "new"]
    assert disk.written[-1] == "removed"


def test_a_disk_that_refuses_is_said_once_and_tried_again(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise AsdRayError("the disk is full,\nalas")

    monkeypatch.setattr(heartbeat, "EVERY", 0.02)
    disk = Disk(layout, [refuse, refuse, refuse, lambda: None, refuse, refuse])
    file = BeatingFile(disk, "somewhere", dict)  # type: ignore[arg-type]
    file.start()
    wait_for(lambda: len(disk.written) > 3)
    file.close()
    told = [record.getMessage() for record in caplog.records]
    assert told == ['event=heartbeat_failed error="the disk is full,\\nalas"'] * 2  # once an outage


@pytest.mark.parametrize(("silent", "alive"), [(0, True), (55, True), (65, False), (9000, False)])
@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_the_age_of_a_beat_is_told_by_the_clock_of_the_disk(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, silent: float, alive: bool, hours: int
) -> None:
    write(layout, silent)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 3600 * hours)  # this computer's is off
    (beat,) = beats(layout)
    assert beat.alive is alive
    assert beat.silent == pytest.approx(silent, abs=3)
    assert not beat.here


def test_a_process_of_this_computer_that_was_killed_is_known_to_be_dead_at_once(
    layout: RunLayout, python: Callable[..., Any]
) -> None:
    process = python(
        """
        import sys, time
        from asd_ray.ledger import RunLayout
        from asd_ray.storage.heartbeat import BeatingFile, new_driver
        from asd_ray.storage.open_files import open_files
        layout = RunLayout(sys.argv[1])
        BeatingFile(open_files(layout), layout.status_file(new_driver()), dict).start()
        time.sleep(600)
        """,
        layout.root,
    )
    (beat,) = wait_for(lambda: beats(layout))
    assert (beat.alive, beat.here, beat.content["pid"]) == (True, True, process.pid)
    assert str(beat) == f"process {process.pid} on {beat.content['host']}"
    process.kill()
    process.wait()
    (beat,) = beats(layout)
    assert not beat.alive
    assert beat.silent < 30


def test_a_number_that_another_process_got_since_is_no_sign_of_life(layout: RunLayout) -> None:
    me = {"pid": os.getpid(), "place": heartbeat._place()}
    write(layout, **me, born=heartbeat._born(os.getpid()))
    assert beats(layout)[0].alive
    write(layout, **me, born="7")
    assert not beats(layout)[0].alive


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', "{}", '"text"'])
def test_what_is_no_heartbeat_is_passed_over(layout: RunLayout, content: str) -> None:
    write(layout)
    for name in ("strange.json", ".hidden.json", "notes.txt"):
        Path(layout.status, name).write_text(content)
    assert [beat.driver for beat in beats(layout)] == ["other"]


def test_names_of_drivers_differ_and_can_be_files() -> None:
    names = {new_driver() for _ in range(100)}
    assert len(names) == 100
    assert all(RunLayout("run").status_file(name).endswith(f"status/{name}.json") for name in names)
