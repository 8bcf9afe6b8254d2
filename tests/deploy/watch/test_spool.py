from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asd_ray.deploy.watch.spool import BLOCK, Spool
from asd_ray.errors import AsdRayError


def event(kind: str, number: int) -> dict[str, object]:
    return {"event": kind, "number": number}


def drained(spool: Spool) -> list[dict[str, object]]:
    found = []
    while waiting := spool.oldest():
        found.append(json.loads(waiting.body))
        spool.remove(waiting)
    return found


def test_events_leave_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(12):
        spool.add(event("window" if number % 2 else "alarm", number))
    assert len(spool) == 12
    found = drained(spool)
    assert [each["number"] for each in found] == list(range(12))
    assert len({each["delivery"] for each in found}) == 12
    assert [path.name for path in spool.folder.iterdir()] == ["lock"]


def test_an_event_stays_until_it_is_removed_and_keeps_its_delivery(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.add(event("alarm", 1))
    first = spool.oldest()
    spool.close()
    again = Spool(tmp_path).oldest()
    assert first == again


def test_new_events_come_after_those_of_an_earlier_watch(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.add(event("alarm", 1))
    spool.close()
    spool = Spool(tmp_path)
    spool.add(event("alarm", 2))
    assert [each["number"] for each in drained(spool)] == [1, 2]


def test_a_full_spool_drops_windows_first_and_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_mb=6 * BLOCK / 1e6)
    spool.add(event("alarm", 0))
    for number in range(1, 10):
        spool.add(event("window", number))
    spool.add(event("alarm", 10))
    notice, *found = drained(spool)
    assert [each["number"] for each in found] == [0, 6, 7, 8, 9, 10]
    assert (notice["event"], notice["counts"]) == ("dropped", {"window": 5})
    assert spool.dropped == {"window": 5}


def test_alarms_are_dropped_last_and_never_silently(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_mb=4 * BLOCK / 1e6)
    spool.add(event("window", 0))
    for number in range(1, 8):
        spool.add(event("alarm", number))
    notice, *found = drained(spool)
    assert [each["number"] for each in found] == [4, 5, 6, 7]
    assert notice["counts"] == {"window": 1, "alarm": 3}


def test_what_was_dropped_is_known_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_mb=2 * BLOCK / 1e6)
    for number in range(5):
        spool.add(event("window", number))
    spool.close()
    spool = Spool(tmp_path, limit_mb=2 * BLOCK / 1e6)
    spool.add(event("window", 5))
    assert drained(spool)[0]["counts"] == {"window": 4}


def test_a_notice_being_sent_loses_no_count(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_mb=2 * BLOCK / 1e6)
    for number in range(4):
        spool.add(event("window", number))
    notice = spool.oldest()
    assert notice is not None
    spool.add(event("window", 4))  # dropped while the notice is on its way
    spool.remove(notice)
    first, second, *windows = [json.loads(notice.body), *drained(spool)]
    assert first["counts"]["window"] + second["counts"]["window"] + len(windows) == 5


def test_one_watch_at_a_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(AsdRayError, match="another watch is using this spool"):
        Spool(tmp_path)
    spool.close()
    Spool(tmp_path)


def test_files_that_hold_no_event_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "000000000001-alarm.json").write_bytes(b"")  # after a power cut
    (tmp_path / "000000000002-alarm.json").write_text('{"event": "al')
    (tmp_path / ".000000000003-alarm.json.77-0123abcd.tmp").write_text("{}")
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "dropped.json").write_text("[]")
    spool = Spool(tmp_path)
    spool.add(event("alarm", 3))
    assert [each["number"] for each in drained(spool)] == [3]
    assert sorted(os.listdir(tmp_path)) == ["lock", "notes.json"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AsdRayError, match="--spool"):
        Spool(tmp_path / "file" / "spool")
    with pytest.raises(AsdRayError, match="--spool-limit must be above 0 MB"):
        Spool(tmp_path, limit_mb=0)


def test_kill_9_leaves_whole_events(tmp_path: Path, python: Callable[..., subprocess.Popen[str]]) -> None:
    writer = python(
        """
        import sys
        from asd_ray.deploy.watch.spool import Spool
        spool = Spool(sys.argv[1])
        for number in range(100_000):
            spool.add({"event": "window", "number": number, "text": "x" * 3000})
            print(number, flush=True)
        """,
        tmp_path,
    )
    assert writer.stdout is not None
    for _ in range(50):
        writer.stdout.readline()
    time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    said = 49 + len(writer.communicate()[0].splitlines())
    found = [each["number"] for each in drained(Spool(tmp_path))]
    assert found == list(range(len(found)))
    assert len(found) > said  # everything that `add` had returned for
