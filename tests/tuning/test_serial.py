"""Serial searches: how trials run, end and are stored, in this process."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_info

from asd_ray.errors import StorageError
from asd_ray.families import Resources
from asd_ray.ledger import Ledger
from asd_ray.ledger.record import ORACLE
from asd_ray.tuning.search import ATTEMPTS, Search, run_serially
from asd_ray.tuning.study import Study
from asd_ray.tuning.watch._base import Watcher


def categories(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_categorical("x", [0.25, 0.75])}


def low(trial: Any) -> dict[str, Any]:
    """All but the paper's setting are below one half, where a behaviour takes effect."""
    return {"x": trial.suggest_categorical("x", [0.75, 0.1, 0.2])}


def test_the_wanted_number_of_trials_runs_and_the_papers_setting_is_number_0(bench: Any) -> None:
    search = bench.search(bench.study(6))
    assert (search.ended, search.error, search.over) == (6, "", True)
    assert [record.number for record in bench.records] == list(range(6))
    assert [record.paper for record in bench.records] == [True] + 5 * [False]
    assert bench.records[0].params == {"x": 0.75, "epochs": 9, "batch_size": 64, "behaviour": ""}
    assert bench.records[0].name == "fan-tiny-0000"


def test_a_complete_trial_has_scores_of_all_clips_and_a_full_record(bench: Any) -> None:
    bench.search(bench.study(1))
    (record,) = bench.records
    assert (record.status, record.variant, record.epochs, record.protocol) == ("complete", "level", 9, "oracle")
    assert set(record.objective_parts) == {"00/auc_source", "00/auc_target", "00/pauc"}
    assert sorted(record.intermediate) == [1, 3]
    assert record.front_end
    assert record.peak_memory_mb > 0
    assert {"torch", "optuna", "ray", "asd_ray"} <= set(record.versions)
    assert bench.ledger.scores(record)["split"].value_counts().to_dict() == {"test": 24, "train": 22, "held_out": 2}


def test_the_same_command_again_runs_nothing(bench: Any) -> None:
    bench.search(bench.study(4))
    before = bench.records
    assert bench.search(bench.study(4)).ended == 0
    assert bench.records == before


def test_asking_for_more_runs_only_the_difference(bench: Any) -> None:
    bench.search(bench.study(3))
    first = bench.records
    assert bench.search(bench.study(5)).ended == 2
    assert bench.records[:3] == first
    assert len(bench.records) == 5


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(bench: Any, tmp_path: Any) -> None:
    turns = iter(range(1000))

    class Killer(Watcher):
        def turn(self, search: Search) -> None:
            if next(turns) == 20:
                raise KeyboardInterrupt

    study = bench.study(12)
    with pytest.raises(KeyboardInterrupt):
        run_serially(Search([study], bench.source, bench.ledger, watchers=[Killer()]))
    assert 2 < len(bench.records) < 11
    bench.search(bench.study(12))
    resumed, bench.ledger = bench.records, Ledger(tmp_path / "uninterrupted")
    bench.search(bench.study(12))
    assert "pruned" in {record.status for record in resumed}
    assert [(r.trial, r.status, r.objective) for r in resumed] == [
        (r.trial, r.status, r.objective) for r in bench.records
    ]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("NaN loss at epoch 2", "its loss 'loss' is nan after epoch 2; a lower lr may help"),
        ("raises", "ValueError: no such thing as a fan"),
        ("scores NaN", "scores of variant 'level' are not finite"),
        ("out of memory", "out of memory on cpu with batch_size 64 and again with 32"),
    ],
)
def test_a_trial_that_fails_is_stored_with_its_reason_and_the_search_goes_on(
    bench: Any, behaviour: str, message: str
) -> None:
    search = bench.search(bench.study(3, space=low, behaviour=behaviour, epochs=2))
    assert [record.status for record in bench.records] == ["complete", "failed", "failed"]
    assert (search.ended, search.error) == (3, "")
    for record in bench.records[1:]:
        assert message in record.error
        assert "Traceback" in record.extra["traceback"]
        assert record.objective is None
    assert [trial.state.name for trial in search.studies[0].optuna_study.trials].count("FAIL") >= 2


def test_the_traceback_of_a_failed_trial_names_the_line_of_the_detector(bench: Any) -> None:
    bench.search(bench.study(2, space=low, behaviour="raises"))
    assert "families_for_tests.py" in bench.records[1].extra["traceback"]


def test_out_of_memory_once_halves_the_batch_and_records_it(bench: Any) -> None:
    bench.search(bench.study(2, space=low, behaviour="out of memory above 64", batch_size=100))
    paper, halved = bench.records
    assert "out_of_memory" not in paper.extra
    assert (halved.status, halved.params["batch_size"]) == ("complete", 100)
    assert halved.extra["out_of_memory"] == "batch_size 100 halved to 50"


def test_out_of_memory_with_no_batch_to_halve_fails(bench: Any) -> None:
    bench.search(bench.study(2, space=low, behaviour="out of memory", batch_size=1))
    assert "there is no batch to halve (tried to allocate 1)" in bench.records[1].error


def test_the_oracle_checkpoint_keeps_the_best_epoch_and_records_it(bench: Any) -> None:
    for settings in ({"checkpoint": ORACLE}, {}):
        bench.search(bench.study(2, space=categories, behaviour="best at epoch 2", settings=settings))
    oracle, last = (r for r in bench.records if r.params["x"] == 0.25)
    assert oracle.extra["checkpoint_epoch"] == 2
    assert "checkpoint_epoch" not in last.extra
    assert oracle.objective > last.objective
    assert oracle.epochs == last.epochs == 9


def test_an_exhausted_space_ends_the_search(bench: Any) -> None:
    search = bench.search(bench.study(10, space=categories))
    assert (search.ended, search.over, search.error) == (2, True, "")
    assert search.studies[0].exhausted
    assert {record.params["x"] for record in bench.records} == {0.25, 0.75}


def test_a_storage_error_ends_the_search_as_a_failure(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*what: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(Ledger, "commit", full)
    search = bench.search(bench.study(5))
    assert (search.error, search.stopping, search.ended) == ("the disk is full", "a trial could not be stored", 0)
    assert search.over
    assert bench.records == []


def test_a_trial_that_could_not_be_stored_runs_when_the_command_is_repeated(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, calls = Ledger.commit, []

    def full_once(*what: Any) -> None:
        calls.append(what)
        if len(calls) == 3:
            raise StorageError("the disk is full")
        commit(*what)

    monkeypatch.setattr(Ledger, "commit", full_once)
    assert bench.search(bench.study(5)).ended == 2
    assert bench.search(bench.study(5)).ended == 3
    assert [record.number for record in bench.records] == list(range(5))


def test_a_deadline_that_has_passed_starts_nothing(bench: Any) -> None:
    search = bench.search(bench.study(5), deadline=time.monotonic() - 1)
    assert (search.ended, search.stopping, search.over) == (0, "the time is up", True)
    assert bench.records == []


def test_no_trial_starts_that_would_end_after_the_deadline(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Study, "mean_seconds", 1000.0)
    search = bench.search(bench.study(5), deadline=time.monotonic() + 100)
    assert (search.ended, search.over, search.stopping) == (0, True, "the time is up")


def test_while_a_trial_runs_the_search_does_not_give_up_for_lack_of_time(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search([bench.study(5)], bench.source, bench.ledger, deadline=time.monotonic() + 100)
    run = search.next()
    monkeypatch.setattr(Study, "mean_seconds", 1000.0)
    assert (search.next(), search.stopping, search.over) == (None, "", False)
    search.pruned(run)
    assert (search.next(), search.stopping, search.over) == (None, "the time is up", True)


def test_a_trial_that_loses_its_worker_runs_once_more_and_then_fails(bench: Any) -> None:
    search = Search([bench.study(1)], bench.source, bench.ledger)
    for _ in range(ATTEMPTS):
        run = search.next()
        assert run is not None
        search.lost(run)
    assert search.over
    assert [(r.status, r.trial) for r in bench.records] == [("failed", run.spec.hash)]
    assert "its worker died 2 times" in bench.records[0].error


def test_a_trial_that_was_stored_before_its_worker_died_counts(bench: Any) -> None:
    search = Search([bench.study(1)], bench.source, bench.ledger)
    run = search.next()
    assert run is not None
    run_serially(Search([bench.study(1)], bench.source, bench.ledger))
    search.lost(run)
    assert (search.ended, search.over, bench.records[0].status) == (1, True, "complete")


def test_studies_advance_at_the_same_rate(bench: Any) -> None:
    one, two = bench.study(3), bench.study(3)
    two.machines = ("pump",)  # never run, only asked
    search = Search([one, two], bench.source, bench.ledger)
    machines = [run.spec.machines[0] for run in iter(search.next, None)]
    assert machines == ["fan", "pump"] * 3
    search.abandon()
    assert (search.running, one.missing, two.missing) == ({}, 3, 3)


def test_a_watcher_that_raises_is_named_once_and_changes_nothing(bench: Any, caplog: Any) -> None:
    class Broken(Watcher):
        def ended(self, run: Any, record: Any) -> None:
            raise OSError(28, "No space left on device")

    seen = []

    class Working(Watcher):
        def ended(self, run: Any, record: Any) -> None:
            seen.append(record.name)

    run_serially(Search([bench.study(3)], bench.source, bench.ledger, watchers=[Broken(), Working()]))
    assert len(seen) == len(bench.records) == 3
    messages = [record.getMessage() for record in caplog.records]
    assert [text for text in messages if "event=watcher_failed" in text] == [
        'event=watcher_failed watcher=Broken error="OSError: [Errno 28] No space left on device"'
    ]


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_trial_uses_one_thread_per_cpu(bench: Any, monkeypatch: Any, cpus: int) -> None:
    import families_for_tests

    score, seen = families_for_tests.Tiny.score, set()

    def watched(self: Any, clips: Any) -> Any:
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        seen.add((torch.get_num_threads(), max(blas)))
        return score(self, clips)

    monkeypatch.setattr(families_for_tests.Tiny, "score", watched)
    study = bench.study(1)
    study.resources = Resources(cpu=cpus)
    bench.search(study)
    assert seen == {(cpus, cpus)}
