from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asd_ray.deploy.watch.delivery import Delivery
from asd_ray.deploy.watch.events import Unreadable
from asd_ray.deploy.watch.spool import BLOCK, Spool
from asd_ray.deploy.watch.webhook import Webhook
from tests.deploy.watch.http_receiver import HttpReceiver, eventually


def event(number: int) -> Unreadable:
    return Unreadable(at=datetime(2026, 1, 1, tzinfo=UTC), name=str(number), reason="a test")


@contextmanager
def delivering(
    url: str, folder: Path, notes: list[str], timeout: float = 5.0, limit: float = 64.0
) -> Iterator[Delivery]:
    delivery = Delivery(Webhook(url, timeout=timeout), Spool(folder, limit), notes.append, first_pause=0.05)
    try:
        yield delivery
    finally:
        delivery.close(grace=0.3)


def names(receiver: HttpReceiver) -> list[int]:
    return [int(each["name"]) for each in receiver.confirmed]


def test_events_arrive_in_order(tmp_path: Path) -> None:
    receiver, notes = HttpReceiver(), []
    with receiver.running() as url, delivering(url, tmp_path, notes) as delivery:
        for number in range(20):
            delivery.put(event(number))
        eventually(lambda: len(receiver.confirmed) == 20)
    assert names(receiver) == list(range(20))
    assert receiver.confirmed[3]["event"] == "unreadable"
    assert receiver.confirmed[3]["at"] == "2026-01-01T00:00:00.000Z"
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert notes == []


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_receiver_that_refuses_gets_everything_later(tmp_path: Path, status: int) -> None:
    receiver, notes = HttpReceiver(status=status, location="/elsewhere" * (status == 302)), []
    with receiver.running() as url, delivering(url, tmp_path, notes) as delivery:
        for number in range(5):
            delivery.put(event(number))
        eventually(lambda: receiver.attempts >= 3)
        receiver.status, receiver.location = 204, ""
        eventually(lambda: len(receiver.confirmed) == 5)
        eventually(lambda: len(notes) == 2)
    assert names(receiver) == list(range(5))
    assert receiver.methods == {"POST"}  # a redirection is not followed with a GET, which would lose the event
    assert f"it answered {status}" in notes[0]
    assert "takes events again" in notes[1]
    assert "secret" not in " ".join(notes)


def test_a_dead_receiver_that_comes_back_gets_everything(tmp_path: Path) -> None:
    receiver, notes = HttpReceiver(), []
    with receiver.running() as url:
        pass
    with delivering(url, tmp_path, notes) as delivery:
        for number in range(5):
            delivery.put(event(number))
        eventually(lambda: notes)
        assert "cannot be reached" in notes[0]
        with receiver.running():
            eventually(lambda: len(receiver.confirmed) == 5)
    assert names(receiver) == list(range(5))


def test_a_slow_receiver_does_not_hold_up_the_watch(tmp_path: Path) -> None:
    receiver = HttpReceiver(held=threading.Event())
    with receiver.running() as url, delivering(url, tmp_path, []) as delivery:
        for number in range(10):
            delivery.put(event(number))
        assert receiver.confirmed == []
        receiver.held.set()
        eventually(lambda: len(receiver.confirmed) >= 2)


def test_a_receiver_that_never_answers_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    receiver, notes = HttpReceiver(held=threading.Event()), []
    with receiver.running() as url, delivering(url, tmp_path, notes, timeout=2.0) as delivery:
        delivery.put(event(0))
        eventually(lambda: notes)
        assert "timed out" in notes[0]
        receiver.held.set()
        eventually(lambda: len(delivery._spool) == 0)
    assert set(names(receiver)) == {0}


def test_what_is_left_is_sent_by_the_next_watch(tmp_path: Path) -> None:
    receiver, notes = HttpReceiver(), []
    with receiver.running() as url:
        pass
    with delivering(url, tmp_path, notes) as delivery:
        for number in range(3):
            delivery.put(event(number))
    assert "3 events could not be sent yet" in notes[-1]
    with receiver.running(), delivering(url, tmp_path, notes) as delivery:
        delivery.put(event(3))
        eventually(lambda: len(receiver.confirmed) == 4)
    assert names(receiver) == [0, 1, 2, 3]
    assert "3 events of an earlier watch are sent first" in notes[-1]


def test_a_full_spool_is_said_to_people_and_to_the_receiver(tmp_path: Path) -> None:
    receiver, notes = HttpReceiver(), []
    with receiver.running() as url:
        pass
    with delivering(url, tmp_path, notes, limit=3 * BLOCK / 1e6) as delivery:
        for number in range(6):
            delivery.put(event(number))
        assert sum("the spool" in note and "is full" in note for note in notes) == 3  # once per event that is no window
        with receiver.running():
            eventually(lambda: len(delivery._spool) == 0)
    *notices, _, _, _ = receiver.confirmed  # two if the first was ready to be sent before the last event was dropped
    assert {each["event"] for each in notices} == {"dropped"}
    assert sum(each["counts"]["unreadable"] for each in notices) == 3
    assert [each.get("name") for each in receiver.confirmed[-3:]] == ["3", "4", "5"]


def test_a_disk_that_is_full_does_not_end_the_watch(tmp_path: Path) -> None:
    notes: list[str] = []
    with delivering("http://127.0.0.1:9/", tmp_path / "spool", notes) as delivery:
        for path in (tmp_path / "spool").iterdir():
            path.unlink()
        (tmp_path / "spool").rmdir()
        delivery.put(event(0))
    assert "will not get this unreadable event" in notes[0]
