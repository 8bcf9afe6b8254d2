"""Trials that learn from several machines together: one training, one file a machine."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_ray.detectors import Family
from asd_ray.ledger import Ledger
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.locks import StudyLocks
from asd_ray.tuning.plan import Wishes, make_plan
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.spec import JOINT

TINY = Family("tiny", "families_for_tests:Tiny")


@pytest.fixture
def search(two_machines: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr("asd_ray.tuning.trial.free", lambda device: None)

    held: list[StudyLocks] = []

    def made(trials: int = 3, jointly: bool = True) -> Search:
        ledger = Ledger(tmp_path / "run")
        for lock in held:
            lock.release()
        held.append(StudyLocks(ledger.layout))
        wishes = Wishes(["fan", "pump"], [TINY.target], trials=trials, jointly=jointly)
        plan = make_plan(wishes, two_machines, ledger, held[-1], [TINY], gpu=False)
        return Search(plan.studies, two_machines, ledger)

    yield made
    for lock in held:
        lock.release()


def test_one_training_has_a_file_a_machine_of_one_name(search: Any) -> None:
    joint = search()
    assert [study.name for study in joint.studies] == ["joint-tiny"]
    run_serially(joint)
    fan, pump = (sorted(joint.ledger.records(m), key=lambda r: r.number) for m in ("fan", "pump"))
    assert [r.trial for r in fan] == [r.trial for r in pump]
    assert [r.name for r in fan] == [f"joint-tiny-{n:04d}" for n in range(3)]
    assert [r.status for r in fan] == [r.status for r in pump]
    assert {tuple(r.extra["machines"]) for r in fan} == {("fan", "pump")}
    assert [r.data_fingerprint for r in (fan[0], pump[0])] == [
        joint.source.bank.fingerprints[m] for m in ("fan", "pump")
    ]
    scores = joint.ledger.scores(pump[0])
    assert sorted(scores["clip"]) == sorted(joint.source.bank.select("pump").frame["clip"])
    assert set(scores["split"]) == {"train", "held_out", "test"}


def test_the_study_is_told_the_mean_over_machines(search: Any) -> None:
    joint = search()
    run_serially(joint)
    study = joint.studies[0]
    for trial, told in study.records.items():
        if told.status != "complete":
            continue
        own = [next(r for r in joint.ledger.records(m) if r.trial == trial) for m in ("fan", "pump")]
        assert told.machine == JOINT
        assert told.objective == pytest.approx(statistics.fmean(r.objective for r in own))
        assert {part.split("/")[0] for part in told.objective_parts} == {"fan", "pump"}
    values = [trial.value for trial in study.optuna_study.trials if trial.value is not None]
    assert max(values) == study.best.objective


def test_what_is_stored_for_one_machine_only_runs_again(search: Any) -> None:
    joint = search()
    run_serially(joint)
    lost = next(r for r in joint.ledger.records("pump") if r.number == 0)
    Path(joint.ledger.layout.root, joint.ledger.layout.trial_file("pump", "tiny", lost.trial, "complete")).unlink()
    again = search()
    assert again.studies[0].missing == 1
    run_serially(again)
    assert again.ended == 1
    assert lost.trial in {r.trial for r in again.ledger.records("pump")}
    assert search().studies[0].missing == 0


def test_a_stopped_and_a_failed_trial_are_stored_for_each_machine(search: Any) -> None:
    joint = search(2)
    first, second = joint.next(), joint.next()
    joint.pruned(first)
    joint.lost(second)
    assert joint.next() is second or joint.running  # a lost trial runs once more
    joint.lost(second)
    for machine in ("fan", "pump"):
        assert sorted(r.status for r in joint.ledger.records(machine)) == ["failed", "pruned"]
    assert search(2).studies[0].missing == 0


def test_studies_of_single_machines_leave_joint_trials_aside(search: Any) -> None:
    run_serially(search(2))
    alone = search(2, jointly=False)
    assert [(study.name, study.missing, study.elsewhere) for study in alone.studies] == [
        ("fan-tiny", 2, 2),
        ("pump-tiny", 2, 2),
    ]
