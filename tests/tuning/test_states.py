"""States: which trials keep what they have learned, and that none is lost, half or left behind."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from asd_ray.detectors.state_file import from_bytes
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.ledger.record import ORACLE
from asd_ray.ledger.states import States, scores_digest
from asd_ray.tuning.judge import LabelJudge
from asd_ray.tuning.restoring import restore
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.state_policy import ALWAYS, NEVER, StatePolicy
from asd_ray.tuning.watch._base import Watcher

from .families_for_tests import Tiny


def kept(bench: Any) -> set[str]:
    return set(States(bench.ledger).of_family("tiny"))


def best(bench: Any, count: int) -> set[str]:
    complete = [record for record in bench.records if record.status == "complete"]
    ranked = sorted(complete, key=lambda record: (-record.objective, record.number))
    return {record.trial for record in [*ranked[:count], *(record for record in complete if record.paper)]}


@pytest.mark.parametrize("text", ["best:0", "best:", "best:-1", "three", "", "best:3 ", "ALL", "best:1e3"])
def test_another_policy_is_refused(text: str) -> None:
    with pytest.raises(AsdRayError, match="--keep-states must be best:N, all or none"):
        StatePolicy.parse(text)


def test_the_best_and_the_papers_are_kept(bench: Any) -> None:
    bench.search(bench.study(9), keep=StatePolicy.parse("best:2"))
    assert kept(bench) == best(bench, 2)
    assert 2 <= len(kept(bench)) <= 3


def test_all_are_kept_or_none(bench: Any) -> None:
    bench.search(bench.study(3), keep=StatePolicy.parse("none"))
    assert kept(bench) == set()
    bench.search(bench.study(6), keep=StatePolicy.parse("all"))
    complete = {record.trial for record in bench.records[3:] if record.status == "complete"}
    assert kept(bench) == complete
    bench.search(bench.study(6), keep=StatePolicy.parse("none"))
    assert kept(bench) == complete, "what an earlier search kept is not this one's to remove"


def test_a_trial_that_cannot_be_among_the_best_writes_no_state(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    put = States.put
    monkeypatch.setattr(States, "put", lambda self, *what: (written.append(what[1]), put(self, *what)))
    bench.search(bench.study(9), keep=StatePolicy.parse("best:1"))
    highest = -1.0
    for record in bench.records:
        if record.status == "complete":
            assert (record.trial in written) == (record.paper or record.objective >= highest), record.number
            highest = max(highest, record.objective)


def test_a_state_is_that_of_the_stored_scores(bench: Any) -> None:
    bench.search(bench.study(3), keep=StatePolicy.parse("all"))
    for record in (record for record in bench.records if record.status == "complete"):
        content = States(bench.ledger).read("tiny", record.trial)
        assert content is not None
        state, about = from_bytes(content, "x")
        assert state == {"weight": record.params["x"]}
        assert (about["trial"], about["params"], about["seed"]) == (record.trial, record.params, record.seed)
        assert (about["rate"], about["channel"], about["front_end"]) == (16_000, 0, record.front_end)
        assert about["fingerprints"] == {"fan": record.data_fingerprint}
        assert about["profiles"]["fan"]["00"]["clips"] == 22


def test_with_checkpoint_oracle_the_state_is_of_the_best_epoch(bench: Any) -> None:
    study = bench.study(1, settings={"checkpoint": ORACLE}, behaviour="best at epoch 2", x=0.25)
    bench.search(study, keep=StatePolicy.parse("all"))
    (record,) = bench.records
    assert record.extra["checkpoint_epoch"] == 2
    content = States(bench.ledger).read("tiny", record.trial)
    assert content is not None
    assert from_bytes(content, "x")[0] == {"weight": 1.0}
    again = restore(bench.ledger, [record], bench.source, serial=True)[record.trial]
    state, about = from_bytes(again.state, "x")
    assert (state, again.same) == ({"weight": 1.0}, True)
    assert about["scores"] == {"fan": scores_digest(again.scores)}


def test_a_trial_that_is_trained_again_is_not_judged(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.search(bench.study(1))
    (record,) = bench.records

    def refuse(self: LabelJudge, scores: Any) -> None:
        raise AssertionError("nothing is chosen by this verdict")

    monkeypatch.setattr(LabelJudge, "__call__", refuse)
    again = restore(bench.ledger, [record], bench.source, serial=True)[record.trial]
    assert again.same


def test_a_halved_batch_is_in_the_state(bench: Any) -> None:
    low = {"space": lambda trial: {"x": trial.suggest_categorical("x", [0.75, 0.1])}}
    bench.search(
        bench.study(2, **low, behaviour="out of memory above 64", batch_size=100), keep=StatePolicy.parse("all")
    )
    content = States(bench.ledger).read("tiny", bench.records[1].trial)
    assert content is not None
    assert from_bytes(content, "x")[1]["params"]["batch_size"] == 50


@pytest.mark.parametrize("error", [ValueError("no state today"), AsdRayError("none"), SystemExit(3)])
def test_a_detector_whose_state_raises_keeps_its_trial(
    bench: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    import families_for_tests  # type: ignore[import-not-found]

    def state(self: Tiny) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(families_for_tests.Tiny, "state", state)
    search = bench.search(bench.study(2), keep=StatePolicy.parse("all"))
    assert [record.status for record in bench.records] == ["complete", "complete"]
    assert search.error == ""
    assert kept(bench) == set()
    assert bench.records[0].extra["state_error"]


def test_a_disk_that_is_full_for_the_state_keeps_the_trial_and_ends_the_search(bench: Any) -> None:
    """A real limit on the size of files: the trial's file fits, its state of a megabyte does not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asd_ray.tuning.trial.saved_state", lambda *about: bytes(1 << 20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
        try:
            search = bench.search(bench.study(3), keep=StatePolicy.parse("all"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "disk full" in search.error
    assert search.stopping == "a trial could not be stored"
    assert [record.status for record in bench.records] == ["complete"], "its scores fit, and are kept"
    assert kept(bench) == set()
    assert list(Path(bench.ledger.layout.states).rglob(".*")) == [], "no half file"
    bench.search(bench.study(3), keep=StatePolicy.parse("all"))
    assert len(bench.records) == 3
    assert kept(bench) == {record.trial for record in bench.records[1:] if record.status == "complete"}


def test_a_search_that_was_killed_leaves_no_state_behind_for_ever(bench: Any) -> None:
    """Killed after the states were written and before those that fell out were removed."""
    turns = iter(range(1000))

    class Killer(Watcher):
        def ended(self, run: Any, record: Any) -> None:
            if next(turns) == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_serially(
            Search([bench.study(9)], bench.source, bench.ledger, watchers=[Killer()], keep=StatePolicy.parse("all"))
        )
    there = len(kept(bench))
    assert there > 2
    again = Search([bench.study(9)], bench.source, bench.ledger, keep=StatePolicy.parse("best:1"))
    assert again.begin().endswith(" MB)")
    assert kept(bench) == best(bench, 1)
    assert again.begin() == ""


def test_states_of_members_of_ensembles_stay(bench: Any) -> None:
    bench.search(bench.study(6), keep=StatePolicy.parse("all"))
    worst = min((r for r in bench.records if r.status == "complete"), key=lambda record: record.objective)
    members = frozenset({worst.trial})
    Search([bench.study(6)], bench.source, bench.ledger, keep=StatePolicy.parse("best:1"), members=members).begin()
    assert kept(bench) == best(bench, 1) | members


def test_a_study_with_fixed_values_leaves_the_states_of_another_study(bench: Any) -> None:
    """The trial with x .6 and 3 epochs counts in both studies; only the one that drew it may remove its state."""

    def space_of(*values: float) -> Any:
        return lambda trial: {
            "x": trial.suggest_categorical("x", values),
            "epochs": trial.suggest_categorical("epochs", [3, 9]),
        }

    bench.search(bench.study(9, space=space_of(0.6), x=0.6), keep=StatePolicy.parse("best:3"))
    first = {record.trial for record in bench.records}
    assert len(first) == 2
    assert kept(bench) == first
    fixed = {"space": space_of(0.6, 0.95), "x": 0.6, "fixed": {"epochs": 3}}
    bench.search(bench.study(2, **fixed), keep=StatePolicy.parse("best:1"))
    (own,) = [record.trial for record in bench.records if record.params["x"] == 0.95]
    assert bench.study(2, **fixed).best.trial == own
    assert kept(bench) == {*first, own}
    Search([bench.study(2, **fixed)], bench.source, bench.ledger, keep=StatePolicy.parse("best:1")).begin()
    assert kept(bench) == {*first, own}


def test_a_state_that_cannot_be_removed_is_no_error(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: States, *which: str) -> None:
        raise AsdRayError("cannot be removed")

    with monkeypatch.context() as patch:
        patch.setattr(States, "remove", refused)
        search = bench.search(bench.study(6), keep=StatePolicy.parse("best:1"))
    assert search.error == ""
    assert len(bench.records) == 6
    Search([bench.study(6)], bench.source, bench.ledger, keep=StatePolicy.parse("best:1")).begin()
    assert kept(bench) == best(bench, 1)


def test_the_least_objective_that_keeps_a_state(bench: Any) -> None:
    bench.search(bench.study(5))
    values = sorted((record.objective for record in bench.records if record.status == "complete"), reverse=True)
    assert StatePolicy.parse("best:2").least(bench.records, paper=False) == values[1]
    assert StatePolicy.parse("best:9").least(bench.records, paper=False) == ALWAYS
    assert StatePolicy.parse("best:1").least(bench.records, paper=True) == ALWAYS
    assert StatePolicy.parse("none").least([], paper=True) == NEVER
    assert StatePolicy.parse("all").least(bench.records, paper=False) == ALWAYS


def test_sizes_by_family(bench: Any) -> None:
    assert States(bench.ledger).bytes_by_family() == {}
    bench.search(bench.study(3), keep=StatePolicy.parse("all"))
    ((family, (count, size)),) = States(bench.ledger).bytes_by_family().items()
    assert (family, count) == ("tiny", sum(record.status == "complete" for record in bench.records))
    assert size == sum(path.stat().st_size for path in Path(bench.ledger.layout.states).rglob("*.safetensors"))


def test_states_of_a_run_on_s3(s3_server: Any, aws: None) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=s3_server.endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="states")
    states = States(Ledger(f"s3://states/run?endpoint_override={s3_server.endpoint}"))
    assert states.read("idnn", "t1") is None
    states.put("idnn", "t1", b"one")
    states.put("idnn", "t2", b"two")
    assert states.read("idnn", "t1") == b"one"
    assert set(states.of_family("idnn")) == {"t1", "t2"}
    assert states.bytes_by_family() == {"idnn": (2, 6)}
    states.remove("idnn", "t1")
    states.remove("idnn", "t1")
    assert set(states.of_family("idnn")) == {"t2"}
