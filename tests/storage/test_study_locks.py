"""Two searches on one run take different studies: by the kernel's locks on a disk, by claims on S3 (moto's server).

What a search tells of itself on S3 is tried here too.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from asd_ray._console import Console
from asd_ray.errors import AsdRayError
from asd_ray.ledger import RunLayout, Settings
from asd_ray.storage import heartbeat
from asd_ray.storage.open_files import open_files
from asd_ray.storage.s3_files import S3Files
from asd_ray.storage.study_locks import StudyLocks
from asd_ray.tuning.watch.status import show_status
from asd_ray.tuning.watch.status_file import StatusFile

from ..s3_server import S3Server

BUCKET = "asd-ray-locks"
HOLD = """
    import os, sys, time
    skew = float(sys.argv[3])
    clock = time.time
    time.time = lambda: clock() + skew
    from asd_ray.ledger import RunLayout
    from asd_ray.storage import heartbeat
    from asd_ray.storage.study_locks import StudyLocks
    heartbeat.EVERY_S3 = 1.0
    locks = StudyLocks(RunLayout(sys.argv[1]))
    for study in sys.argv[2].split(","):
        print(locks.take(study) or "taken", flush=True)
    while not os.path.exists(sys.argv[4]):
        time.sleep(0.05)
    locks.release()
"""


@pytest.fixture
def on_s3(s3_server: S3Server, aws: None, tmp_path: Path) -> RunLayout:
    boto3.client("s3", endpoint_url=s3_server.endpoint, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    return RunLayout(f"s3://{BUCKET}/{tmp_path.name}?endpoint_override={s3_server.endpoint}")


@pytest.fixture
def no_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunLayout:
    """A shared disk that knows no locks."""

    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return RunLayout(tmp_path / "run")


@pytest.fixture
def local(tmp_path: Path) -> RunLayout:
    return RunLayout(tmp_path / "run")


@pytest.fixture(params=["local", "no_flock", "on_s3"])
def layout(request: pytest.FixtureRequest) -> RunLayout:
    made: RunLayout = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def seen_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is on another computer than those that a test starts: it cannot look them up."""
    monkeypatch.setattr(heartbeat, "_place", lambda: "another computer")
    monkeypatch.setattr(heartbeat, "EVERY_S3", 1.0)


@pytest.fixture
def locks(layout: RunLayout) -> Iterator[Callable[[], StudyLocks]]:
    made: list[StudyLocks] = []

    def make() -> StudyLocks:
        made.append(StudyLocks(layout))
        return made[-1]

    yield make
    for each in made:
        each.release()


def test_a_study_is_taken_once_until_it_is_released(locks: Callable[[], StudyLocks]) -> None:
    one, other = locks(), locks()
    assert one.take("fan-ae") == ""
    assert other.take("fan-ae") == one_process()
    assert other.take("fan-idnn") == ""
    assert one.take("fan-idnn") == one_process()
    one.release()
    assert other.take("fan-ae") == ""


def one_process() -> str:
    return f"process {os.getpid()} on {os.uname().nodename}"


def test_nothing_but_lock_files_is_left_behind(layout: RunLayout, locks: Callable[[], StudyLocks]) -> None:
    one = locks()
    for study in ("fan-ae", "fan-idnn"):
        assert one.take(study) == ""
    assert any(stored.name.endswith(".json") for stored in open_files(layout).list(layout.locks)) == bool(one._claims)
    one.release()
    assert {stored.name for stored in open_files(layout).list(layout.locks)} <= {"fan-ae.lock", "fan-idnn.lock"}


def test_of_several_that_ask_at_once_one_takes_it(locks: Callable[[], StudyLocks]) -> None:
    searches = [locks() for _ in range(4)]
    for number in range(5):
        together = threading.Barrier(len(searches))

        def take(search: StudyLocks, together: threading.Barrier = together, number: int = number) -> str:
            together.wait()
            return search.take(f"fan-{number}")

        with ThreadPoolExecutor(len(searches)) as pool:
            answers = list(pool.map(take, searches))
        assert answers.count("") == 1
        assert set(answers) <= {"", one_process(), "another search"}  # a lock is held before its holder is written


@pytest.mark.parametrize(("before", "after"), [("asks", "has"), ("", "asks"), ("has", "asks")])
def test_a_claim_is_seen_although_it_changes_while_it_is_read(
    on_s3: RunLayout, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """pyarrow asks for the size and then for so many bytes: without a second look each of these is no JSON at all."""
    files, path = open_files(on_s3), on_s3.claims_file("rival")

    def say(claim: str) -> None:
        files.put(path, json.dumps({"pid": 1, "host": "rival", "claims": {"fan-ae": claim}}).encode())

    def open_and_change(opened: S3Files, name: str) -> Any:
        file = real(opened, name)
        say(after)
        return file

    real = S3Files.open
    monkeypatch.setattr(S3Files, "open", open_and_change)
    say(before)
    (beat,) = heartbeat.read_beats(files, files.list(on_s3.locks), time.time())
    assert beat.content["claims"] == {"fan-ae": after}


@pytest.mark.parametrize(("then", "answer"), [("has", "process 1 on rival"), ("", ""), ("dead", "")])
def test_one_who_comes_first_waits_for_the_answer_of_another_that_asks(
    no_flock: RunLayout, then: str, answer: str
) -> None:
    rival = Path(no_flock.claims_file("zzz"))  # whose name comes after ours, so it is to give way, or had it before

    def say(claim: str) -> None:
        content = {"pid": 1, "host": "rival", "claims": {"fan-ae": claim}}
        open_files(no_flock).put(str(rival), json.dumps(content).encode())

    say("asks")
    mine = StudyLocks(no_flock)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(mine.take, "fan-ae")
        time.sleep(1.5)
        assert not taken.done()
        if then == "dead":
            os.utime(rival, (time.time() - 90,) * 2)
        ends = time.monotonic() + 120
        while not taken.done():
            if then != "dead":
                say(then)
            assert time.monotonic() < ends
            time.sleep(0.2)
        assert taken.result() == answer
    mine.release()


@pytest.mark.parametrize("layout", ["local", "on_s3"], indirect=True)
def test_a_killed_search_of_this_computer_frees_its_studies_at_once(
    layout: RunLayout, locks: Callable[[], StudyLocks], python: Callable[..., Any]
) -> None:
    holder = python(HOLD, layout.root, "fan-ae", 0, "/never")
    assert holder.stdout.readline() == "taken\n"
    assert locks().take("fan-ae").startswith(f"process {holder.pid} on ")
    holder.kill()
    holder.wait()
    began = time.monotonic()
    assert locks().take("fan-ae") == ""
    assert time.monotonic() - began < 50  # a dead search of another computer holds them for 60 s


@pytest.mark.parametrize("skew", [-3600, 0, 3600])
@pytest.mark.usefixtures("seen_from_elsewhere")
def test_a_live_search_of_another_computer_keeps_its_study_whatever_its_clock_says(
    on_s3: RunLayout, python: Callable[..., Any], skew: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    holder = python(HOLD, on_s3.root, "fan-ae", skew, tmp_path / "over")
    assert holder.stdout.readline() == "taken\n"
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - skew / 2)
    mine = StudyLocks(on_s3)
    assert mine.take("fan-ae").startswith(f"process {holder.pid} on ")
    assert mine.take("fan-idnn") == ""
    later = python(HOLD, on_s3.root, "fan-ae,fan-idnn,fan-gmm", -skew, "/never")
    assert [later.stdout.readline().split(" on ")[0].strip() for _ in range(3)] == [
        f"process {holder.pid}",
        f"process {os.getpid()}",
        "taken",
    ]
    (tmp_path / "over").touch()
    assert holder.wait(60) == 0
    assert mine.take("fan-ae") == ""
    mine.release()


@pytest.mark.parametrize("skew", [-3600, 3600])
@pytest.mark.usefixtures("seen_from_elsewhere")
def test_a_search_that_died_on_another_computer_is_waited_for_and_then_replaced(
    on_s3: RunLayout,
    python: Callable[..., Any],
    skew: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(heartbeat, "ALIVE", 4.0)
    holder = python(HOLD, on_s3.root, "fan-ae,fan-idnn", skew, "/never")
    assert [holder.stdout.readline() for _ in range(2)] == ["taken\n"] * 2
    holder.kill()
    holder.wait()
    mine = StudyLocks(on_s3)
    assert mine.take("fan-ae") == ""
    assert mine.take("fan-idnn") == ""
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("event=waiting study=fan-ae ")
    assert f"process {holder.pid} on " in told
    mine.release()


@pytest.mark.usefixtures("seen_from_elsewhere")
def test_what_is_left_of_the_dead_is_cleared_away(no_flock: RunLayout) -> None:
    path = Path(no_flock.claims_file("dead"))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pid": 1, "host": "gone", "claims": {"fan-ae": "has"}}))
    mine = StudyLocks(no_flock)
    for silent, is_kept in ((90, True), (900, False)):
        at = time.time() - silent
        os.utime(path, (at, at))
        assert mine.take(f"fan-{silent}") == ""
        assert path.exists() is is_kept
    mine.release()


def one_study() -> Any:
    """What a status file asks of a search."""
    study = SimpleNamespace(name="fan-ae", seed=0, wanted=9, running=0, missing=9, exhausted=False, best=None)
    study.mean_seconds = 0.0
    study.count = lambda status=None: 0
    study.settings = Settings()
    return SimpleNamespace(studies=[study], running={}, ended=0, stopping="", error="")


def status_of(layout: RunLayout) -> str:
    console = Console(file=io.StringIO(), width=140, highlight=False)
    show_status(layout.root, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_a_search_on_s3_is_seen_and_is_gone_at_its_end(on_s3: RunLayout) -> None:
    watcher = StatusFile(on_s3, command="asd-ray search fan --run s3://…")
    with pytest.raises(AsdRayError, match="no run here"):
        status_of(on_s3)
    watcher.turn(one_study())
    ends = time.monotonic() + 120
    while not open_files(on_s3).list(on_s3.status, watcher._file.path.rpartition("/")[2]):
        assert time.monotonic() < ends
        time.sleep(0.05)
    text = status_of(on_s3)
    assert text.startswith(f"{one_process()}: asd-ray search fan --run s3://…\n  since ")
    assert "\nfan-ae   0/9 " in text
    watcher.close(one_study())
    assert [stored.name for stored in open_files(on_s3).list(on_s3.status)] == []


@pytest.mark.usefixtures("on_s3")
def test_an_s3_that_does_not_answer_never_holds_up_the_search(caplog: pytest.LogCaptureFixture) -> None:
    watcher = StatusFile(
        RunLayout("s3://bucket/run?endpoint_override=http://127.0.0.1:9"), command="asd-ray search fan"
    )
    began = time.monotonic()
    for _ in range(40):
        watcher._looked = -1e9
        watcher.turn(one_study())
    assert time.monotonic() - began < 35  # one try to write takes a second, and there are forty turns
    ends = time.monotonic() + 60
    while not caplog.records:
        assert time.monotonic() < ends
        time.sleep(0.05)
    watcher.close(one_study())
    assert [record.getMessage().split()[0] for record in caplog.records] == ["event=heartbeat_failed"]


def test_a_disk_that_refuses_is_said_with_the_cure(local: RunLayout) -> None:
    Path(local.lock_file("fan-ae")).mkdir(parents=True)
    with pytest.raises(AsdRayError, match=r"\.lock: cannot write the lock, since it is a folder.*name another run"):
        StudyLocks(local).take("fan-ae")
