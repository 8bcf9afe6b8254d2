"""Tune's searcher and scheduler, called as Tune calls them, with a cluster of which nodes are lost; without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from asd_ray.families import Resources
from asd_ray.tuning.events import DataReady, Outcome, RungReached, Waiting
from asd_ray.tuning.on_ray.scheduler import TuneScheduler
from asd_ray.tuning.on_ray.searcher import TuneSearcher
from asd_ray.tuning.search import ATTEMPTS, Search


class FakeCluster:
    """Two CPUs; the test says which nodes are gone and which rest."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.at_rest: list[str] = []

    def resting(self, request: Resources) -> list[str]:
        return self.at_rest

    def rest(self, node: str, seconds: float) -> None:
        self.at_rest.append(node)

    def is_gone(self, node: str) -> bool:
        return node in self.gone

    def capacity_for(self, request: Resources) -> Resources:
        return Resources(2.0, 0.0)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def searcher_of(bench: Any, cluster: FakeCluster) -> Callable[..., tuple[TuneSearcher, Search]]:
    def make(wanted: int = 1, limit: float | None = None, **options: Any) -> tuple[TuneSearcher, Search]:
        search = Search([bench.study(wanted)], bench.source, bench.ledger, **options)
        return TuneSearcher(search, cluster, limit), search  # type: ignore[arg-type]

    return make


def report(searcher: TuneSearcher, search: Search, trial_id: str, event: Any, node: str = "node-1") -> str:
    """What Tune does with the result of one step; returns what its scheduler decides."""
    result = {"event": event, "node": node}
    trial = SimpleNamespace(trial_id=trial_id)
    decision = TuneScheduler(search, searcher).on_trial_result(None, trial, result)
    if decision == "CONTINUE":
        searcher.on_trial_result(trial_id, result)
    return decision


WAITING = Waiting(seconds=0.0, node="host")
READY = DataReady(seconds=0.0, node="host", clips=10)


def test_as_many_trials_are_handed_out_as_fit(searcher_of: Any) -> None:
    searcher, search = searcher_of(3)
    first, second = searcher.suggest("a"), searcher.suggest("b")
    assert (first["name"], second["name"]) == ("fan-tiny-0000", "fan-tiny-0001")
    assert searcher.suggest("c") is None
    search.pruned(searcher.running.pop("a"))
    assert searcher.suggest("c")["name"] == "fan-tiny-0002"


def test_a_trial_on_a_resting_node_takes_no_room_of_the_others(searcher_of: Any, cluster: FakeCluster) -> None:
    searcher, search = searcher_of(3)
    for trial_id in "ab":
        searcher.suggest(trial_id)
        report(searcher, search, trial_id, WAITING, node=f"node-{trial_id}")
    assert searcher.suggest("c") is None
    cluster.at_rest = ["node-a"]
    config = searcher.suggest("c")
    assert (config["name"], config["avoid"]) == ("fan-tiny-0002", ["node-a"])


def test_losses_of_nodes_use_up_no_life(searcher_of: Any, cluster: FakeCluster, bench: Any) -> None:
    searcher, search = searcher_of()
    for number in range(5):
        searcher.suggest(f"trial-{number}")
        if number:  # the first is lost before it reports anything
            report(searcher, search, f"trial-{number}", READY, node=f"node-{number}")
            cluster.gone.add(f"node-{number}")
        searcher.on_trial_complete(f"trial-{number}", error=True)
    assert bench.records == []
    for number in range(ATTEMPTS):
        assert not search.over
        searcher.suggest(f"again-{number}")
        report(searcher, search, f"again-{number}", READY, node="node-that-stays")
        searcher.on_trial_complete(f"again-{number}", error=True)
    assert [record.status for record in bench.records] == ["failed"]
    assert search.over


def test_a_worker_that_dies_after_the_time_limit_hung(
    searcher_of: Any, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher, search = searcher_of(limit=60.0)
    searcher.suggest("a")
    report(searcher, search, "a", WAITING)
    report(searcher, search, "a", READY)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    searcher.on_trial_complete("a", error=True)
    (record,) = bench.records
    assert (record.status, record.error) == ("failed", "it ran longer than --trial-time 60 s on host and was ended")


def test_a_trial_that_only_waits_for_its_clips_has_no_time_limit(
    searcher_of: Any, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher, search = searcher_of(limit=60.0)
    searcher.suggest("a")
    report(searcher, search, "a", WAITING)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    searcher.on_trial_complete("a", error=True)
    assert bench.records == []
    assert searcher.suggest("b")["name"] == "fan-tiny-0000"


def test_a_node_that_cannot_run_a_trial_rests_and_another_gets_the_trial(
    searcher_of: Any, cluster: FakeCluster, bench: Any
) -> None:
    searcher, search = searcher_of(other_nodes=True)
    record: Any = None
    for number in range(4):
        assert searcher.suggest(f"trial-{number}")["faults"] == ["its disk is full"] * number
        report(searcher, search, f"trial-{number}", WAITING, node=f"node-{number}")
        outcome = Outcome(record, node_fault="its disk is full")
        searcher.on_trial_complete(f"trial-{number}", {"event": outcome})
    assert cluster.at_rest == [f"node-{number}" for number in range(4)]
    assert (search.over, search.error, bench.records) == (False, "", [])


def test_a_trial_that_is_stopped_at_a_rung_is_stored_as_pruned(searcher_of: Any, bench: Any) -> None:
    bench.search(bench.study(6))
    searcher, search = searcher_of(7)
    name = searcher.suggest("a")["name"]
    report(searcher, search, "a", READY)
    rung = RungReached(seconds=1.0, node="host", epoch=3, losses={3: {"loss": 0.5}}, clips=10, value=-1.0)
    assert report(searcher, search, "a", rung) == "STOP"
    searcher.on_trial_complete("a", {"event": rung})
    (record,) = [record for record in bench.records if record.name == name]
    assert (record.status, record.epochs, record.intermediate, record.node) == ("pruned", 3, {3: -1.0}, "host")


@pytest.mark.parametrize("why", ["the search stops", "its node is back"])
def test_a_trial_that_waits_for_a_place_is_taken_back(searcher_of: Any, cluster: FakeCluster, why: str) -> None:
    searcher, search = searcher_of()
    cluster.at_rest = ["node-1"]
    config = searcher.suggest("a")
    assert not searcher.withdraw("a", config)
    if why == "the search stops":
        search.stop("Ctrl-C")
    else:
        cluster.at_rest = []
    assert searcher.withdraw("a", config)
    assert not searcher.withdraw("a", config)
    assert search.running == {}
    assert search.over == (why == "the search stops")
    if not search.over:
        assert searcher.suggest("b")["avoid"] == []
