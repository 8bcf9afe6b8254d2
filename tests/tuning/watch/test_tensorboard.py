from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from asd_ray.ledger import RunLayout, Settings, TrialRecord, trial_hash
from asd_ray.storage.open_files import open_files
from asd_ray.tuning.events import EpochsDone, ProgressEvent, RungReached, Waiting
from asd_ray.tuning.search import Search
from asd_ray.tuning.watch.tensorboard import POINTS, TensorBoardCurves

HASH = trial_hash(number=7)


def events(path: Path) -> Iterator[Event]:
    """The records of a file as TensorBoard reads them. Fails where a checksum is wrong."""
    data = path.read_bytes()
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + size]
        assert struct.unpack("<I", data[8:12])[0] == masked_crc32c(data[:8])
        assert struct.unpack("<I", data[12 + size : 16 + size])[0] == masked_crc32c(body)
        event = Event()
        event.ParseFromString(body)
        yield event
        data = data[16 + size :]


def curves(path: Path) -> dict[str, dict[int, float]]:
    """tag -> epoch -> value; no epoch may come twice."""
    head, *rest = events(path)
    assert head.file_version == "brain.Event:2"
    found: dict[str, dict[int, float]] = {}
    for event in rest:
        assert event.wall_time > 1e9
        for value in event.summary.value:
            assert event.step not in found.get(value.tag, {})
            found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def running(epochs: int | None = 9, settings: Settings = Settings()) -> Any:  # noqa: B008
    return SimpleNamespace(spec=SimpleNamespace(name="fan-ae-0007", hash=HASH, epochs=epochs, settings=settings))


def ended(objective: float | None = 0.875, status: str = "complete", epochs: int = 9) -> TrialRecord:
    how = {"objective": objective, "status": status, "epochs": epochs}
    return TrialRecord(trial=HASH, name="fan-ae-0007", machine="fan", family="ae", **how)  # type: ignore[arg-type]


def trained(epoch: int, since: int | None = None, rung: float | None = None) -> EpochsDone:
    """The event of the epochs from `since` on; with a value where the last one is a rung."""
    first = epoch if since is None else since
    losses = {at: {"train": 1 / at} for at in range(first, epoch + 1)}
    facts: dict[str, Any] = {"seconds": 1.0, "node": "node", "epoch": epoch, "losses": losses, "clips": 10}
    return EpochsDone(**facts) if rung is None else RungReached(**facts, value=rung)


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    return RunLayout(tmp_path / "run")


@pytest.fixture
def file(layout: RunLayout) -> Path:
    return Path(layout.curves_file("fan-ae-0007", HASH))


def test_a_search_writes_curves_of_every_trial(bench: Any) -> None:
    layout = bench.ledger.layout
    search = bench.search(bench.study(5), watchers=[TensorBoardCurves(layout, pytest.fail)])
    records = bench.records
    assert len(records) == 5
    for record in records:
        found = curves(Path(layout.curves_file(record.name, record.trial)))
        assert {1, 3} >= set(record.intermediate)
        expected = dict(record.intermediate)
        if record.status == "complete":
            expected |= {9: record.objective}
            assert found["loss/loss"] == pytest.approx({epoch: 1 / epoch for epoch in range(1, 10)})
        assert found["objective"] == pytest.approx(expected)
    assert len(os.listdir(layout.tensorboard)) == search.ended == 5


def test_values_on_injected_faults_have_a_curve_of_their_own(layout: RunLayout, file: Path) -> None:
    watcher, run = TensorBoardCurves(layout, pytest.fail), running(settings=Settings(objective="normal-only"))
    watcher.began(run)
    watcher.progressed(run, trained(3, 1, rung=0.5))
    watcher.ended(run, ended(0.75))
    found = curves(file)
    assert found["objective_faults"] == {3: 0.5, 9: 0.75}
    assert "objective" not in found


def test_points_are_written_while_the_trial_runs(layout: RunLayout, file: Path) -> None:
    watcher, run = TensorBoardCurves(layout, pytest.fail), running()
    watcher.began(run)
    assert not file.exists()
    watcher.progressed(run, trained(3, rung=0.5, since=1))
    watcher.progressed(run, Waiting(seconds=2.0, node="node"))
    assert curves(file) == {"loss/train": pytest.approx({1: 1, 2: 0.5, 3: 1 / 3}), "objective": {3: 0.5}}
    watcher.progressed(run, trained(9, since=4))
    watcher.ended(run, ended())
    assert sorted(curves(file)["loss/train"]) == list(range(1, 10))
    assert curves(file)["objective"] == {3: 0.5, 9: 0.875}


@pytest.mark.parametrize("epochs", [150, 200, 201, 1000, 12_345])
def test_long_curves_are_thinned(layout: RunLayout, file: Path, epochs: int) -> None:
    watcher, run = TensorBoardCurves(layout, pytest.fail), running(epochs)
    watcher.progressed(run, trained(epochs // 3, rung=0.5, since=1))
    watcher.progressed(run, trained(epochs, since=epochs // 3 + 1))
    drawn = curves(file)["loss/train"]
    assert min(epochs, POINTS / 2) <= len(drawn) <= POINTS + 2
    assert {1, epochs} <= set(drawn)
    assert file.stat().st_size < 16_000


@pytest.mark.parametrize("reported", [[], [Waiting(seconds=1.0, node="node")]])
def test_a_trial_without_points_writes_no_file(layout: RunLayout, reported: list[ProgressEvent]) -> None:
    watcher, run = TensorBoardCurves(layout, pytest.fail), running(None)
    watcher.began(run)
    for event in reported:
        watcher.progressed(run, event)
    watcher.ended(run, ended(epochs=0))
    assert not os.path.exists(layout.tensorboard)


def test_a_trial_that_starts_again_replaces_its_curves(layout: RunLayout, file: Path) -> None:
    watcher, run = TensorBoardCurves(layout, pytest.fail), running()
    watcher.began(run)
    watcher.progressed(run, trained(3, rung=0.5, since=1))
    watcher.progressed(run, trained(2, since=1))  # out of memory: from the start, with half the batch
    assert sorted(curves(file)["loss/train"]) == [1, 2]
    watcher.began(run)  # its worker died
    watcher.progressed(run, trained(6, since=1))
    assert sorted(curves(file)["loss/train"]) == list(range(1, 7))
    watcher.ended(run, ended(None, "failed"))
    assert "objective" not in curves(file)


@pytest.mark.parametrize("how", ["full", "in the way"])
def test_curves_that_cannot_be_written_do_not_stop_the_search(
    bench: Any, how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "full":
        monkeypatch.setattr(RunLayout, "curves_file", lambda self, name, trial: "/dev/full")
    else:
        open_files(bench.ledger.layout).put(bench.ledger.layout.tensorboard, b"a file")
    search: Search = bench.search(bench.study(4), watchers=[TensorBoardCurves(bench.ledger.layout, pytest.fail)])
    assert search.ended == 4
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("event=curves_not_written path=")


def test_on_s3_no_curves_are_written_and_one_note_reports_it() -> None:
    notes: list[str] = []
    watcher, run = TensorBoardCurves(RunLayout("s3://bucket/run"), notes.append), running()
    watcher.began(run)
    watcher.progressed(run, trained(9, since=1))
    watcher.ended(run, ended())
    assert len(notes) == 1
    assert "S3" in notes[0]
