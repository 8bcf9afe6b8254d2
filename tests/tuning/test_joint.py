"""Trials that learn from several machines together: one training, one file per machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from asd_ray.detectors import Family
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.storage.study_locks import StudyLocks
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.plan import Plan, make_plan
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.spec import group_name
from asd_ray.tuning.study import study_name

TINY = Family("tiny", "families_for_tests:Tiny")
BOTH = ("fan", "pump")
JOINT = group_name(BOTH)


@pytest.fixture
def plan(two_machines: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Plan]]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr("asd_ray.tuning.trial.free", lambda device: None)
    ledger = Ledger(tmp_path / "run")
    locks = StudyLocks(ledger.layout)

    def make(
        trials: int = 3,
        machines: Sequence[str] = BOTH,
        *,
        families: Sequence[Family] = (TINY,),
        jointly: bool = True,
        seed: int = 0,
    ) -> Plan:
        locks.release()  # the last plan's
        wishes = SearchConfig(machines, [each.target for each in families], trials=trials, jointly=jointly, seed=seed)
        return make_plan(wishes, two_machines, ledger, locks, families, gpu=False)

    yield make
    locks.release()


@pytest.fixture
def search(plan: Callable[..., Plan], two_machines: DataSource, tmp_path: Path) -> Callable[..., Search]:
    return lambda *what, **wishes: Search(plan(*what, **wishes).studies, two_machines, Ledger(tmp_path / "run"))


def in_order(search: Search, machine: str) -> list[TrialRecord]:
    return sorted(search.ledger.records(machine), key=lambda record: record.number)


def lose(search: Search, machine: str, number: int) -> TrialRecord:
    """Remove one machine's file of a trial, as when a worker is killed between two files."""
    lost = next(record for record in search.ledger.records(machine) if record.number == number)
    layout = search.ledger.layout
    Path(layout.root, layout.trial_file(machine, "tiny", lost.trial, lost.status)).unlink()
    return lost


def test_a_joint_trial_has_one_file_per_machine_with_one_name(search: Any) -> None:
    joint = search()
    assert [study.name for study in joint.studies] == [f"{JOINT}-tiny"]
    run_serially(joint)
    fan, pump = (in_order(joint, machine) for machine in BOTH)
    assert [r.trial for r in fan] == [r.trial for r in pump]
    assert [r.name for r in fan] == [f"{JOINT}-tiny-{n:04d}" for n in range(3)]
    assert [r.status for r in fan] == [r.status for r in pump]
    assert {tuple(r.machines) for r in fan} == {("fan", "pump")}
    assert [r.data_fingerprint for r in (fan[0], pump[0])] == [
        joint.source.bank.fingerprints[m] for m in ("fan", "pump")
    ]
    scores = joint.ledger.scores(pump[0])
    assert sorted(scores["clip"]) == sorted(joint.source.bank.select("pump").frame["clip"])
    assert set(scores["split"]) == {"train", "held_out", "test"}


def test_the_study_gets_the_mean_over_machines(search: Any) -> None:
    joint = search()
    run_serially(joint)
    study = joint.studies[0]
    for trial, record in study.records.items():
        if record.status != "complete":
            continue
        own = [next(r for r in joint.ledger.records(m) if r.trial == trial) for m in ("fan", "pump")]
        assert record.machine == JOINT
        assert record.objective == pytest.approx(statistics.fmean(r.objective for r in own))
        assert {part.split("/")[0] for part in record.objective_parts} == {"fan", "pump"}
    values = [trial.value for trial in study.optuna_study.trials if trial.value is not None]
    assert max(values) == study.best.objective


@pytest.mark.parametrize("number", [0, 3, 11])
def test_a_trial_stored_for_one_machine_only_runs_again(search: Any, number: int) -> None:
    run_serially(joint := search(14))
    lost = lose(joint, "pump", number)
    again = search(15)
    assert again.studies[0].missing == 2
    run_serially(again)
    assert again.ended == 2
    fan, pump = (in_order(again, machine) for machine in BOTH)
    assert [r.number for r in fan] == [r.number for r in pump] == list(range(15))
    assert [r.trial for r in fan] == [r.trial for r in pump]
    assert (pump[number].trial, pump[number].paper) == (lost.trial, number == 0)
    assert search(15).studies[0].missing == 0


def test_a_partial_trial_that_is_abandoned_again_keeps_its_number(search: Any) -> None:
    run_serially(joint := search(3))
    lost = lose(joint, "pump", 1)
    again = search(5)
    partial, new = again.next(), again.next()
    assert (partial.spec.hash, partial.spec.number, new.spec.number) == (lost.trial, 1, 3)
    again.abandon()
    assert [again.next().spec.number for _ in range(3)] == [1, 3, 4]


def test_another_seed_ignores_a_partial_trial_but_not_its_number(search: Any) -> None:
    run_serially(joint := search(3))
    lose(joint, "pump", 1)
    run_serially(other := search(1, seed=1))
    assert other.ended == 1
    assert [(r.number, r.seed) for r in in_order(other, "pump")] == [(0, 0), (2, 0), (3, 1)]
    run_serially(search(3))
    assert [(r.number, r.seed) for r in in_order(other, "pump")] == [(0, 0), (1, 0), (2, 0), (3, 1)]


@pytest.mark.parametrize("end", ["pruned", "failed"])
def test_the_worst_status_of_the_machines_is_the_trials(search: Any, end: str) -> None:
    run_serially(joint := search(1))
    lost = lose(joint, "pump", 0)
    again = search(1)
    run = again.next()
    if end == "pruned":
        again.pruned(run)
    else:
        again.lost(run)
        again.lost(again.next())
    assert [r.status for m in BOTH for r in again.ledger.records(m)] == ["complete", end]
    rebuilt = search(1).studies[0]
    for study in (again.studies[0], rebuilt):
        assert [(r.trial, r.status, r.objective) for r in study.records.values()] == [(lost.trial, end, None)]
        assert (study.count(end), study.missing, study.best) == (1, 0, None)
    assert rebuilt.records[lost.trial].error == again.studies[0].records[lost.trial].error


def test_a_study_gets_the_record_that_the_ledger_keeps(search: Any) -> None:
    late = search(1)
    run = late.next()
    run_serially(again := search(1))  # another computer may do so on S3, where there are no locks
    (stored,) = again.studies[0].records.values()
    late.pruned(run)
    assert list(late.studies[0].records.values()) == [stored]
    assert [trial.state.name for trial in late.studies[0].optuna_study.trials] == ["COMPLETE"]


def test_the_order_of_machines_on_the_command_line_does_not_matter(search: Any) -> None:
    spec = search(1, BOTH).next().spec
    assert search(1, BOTH[::-1]).next().spec == spec
    assert spec.machines == BOTH


def test_other_machines_have_other_names(plan: Any) -> None:
    assert JOINT.startswith("joint-")
    assert len(JOINT) == len("joint-3fa9")
    assert study_name(["fan", "valve"], TINY) != study_name(BOTH, TINY) == study_name(BOTH[::-1], TINY)
    assert f"{JOINT} stands for fan, pump together" in plan().notes


def test_a_stopped_and_a_failed_trial_are_stored_for_each_machine(search: Any) -> None:
    joint = search(2)
    first, second = joint.next(), joint.next()
    joint.pruned(first)
    joint.lost(second)
    again = joint.next()
    assert again.spec is second.spec  # a lost trial runs once more
    joint.lost(again)
    for machine in ("fan", "pump"):
        assert sorted(r.status for r in joint.ledger.records(machine)) == ["failed", "pruned"]
    assert search(2).studies[0].missing == 0


def test_studies_of_single_machines_ignore_joint_trials(search: Any) -> None:
    run_serially(search(2))
    alone = search(2, jointly=False)
    assert [(study.name, study.missing, study.incompatible) for study in alone.studies] == [
        ("fan-tiny", 2, 0),
        ("pump-tiny", 2, 0),
    ]
    assert [alone.next().spec.name for _ in range(4)] == [f"{m}-tiny-000{number}" for number in (0, 1) for m in BOTH]


def test_joint_studies_ignore_trials_of_single_machines(search: Any) -> None:
    run_serially(search(2, jointly=False))
    joint = search(2).studies[0]
    assert (joint.missing, joint.incompatible, joint.ask().number) == (2, 0, 0)


def test_the_ledger_is_read_once_per_machine(plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[Any, ...]] = []
    records = Ledger.records

    def counted(self: Ledger, *of: Any) -> list[TrialRecord]:
        read.append(of)
        return records(self, *of)

    monkeypatch.setattr(Ledger, "records", counted)
    plan(families=[TINY, Family("also", TINY.target)])
    assert read == [("fan",), ("pump",)]


def test_the_clips_of_a_study_are_joined_once(two_machines: DataSource, search: Any) -> None:
    spec = search().next().spec
    assert two_machines.trial(spec.machines, spec.settings) is two_machines.trial(spec.machines, spec.settings)
