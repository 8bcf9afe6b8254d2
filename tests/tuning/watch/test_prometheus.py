"""The metrics of a search: their values, as Ray serves them to Prometheus, and as the Grafana file uses them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from asd_ray._shipped import shipped
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.watch import prometheus
from asd_ray.tuning.watch.prometheus import PrometheusMetrics

from ..searches import finish, processes, wait

HERE = Path(__file__).parents[1]
SAMPLE = re.compile(r"(\w+)(?:{(.*)})? (\S+)")
TAG = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
OWN_TAGS = {"run", "machine", "family", "state", "resource"}
RAYS_TAGS = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId"}


# -- counted -----------------------------------------------------------------------------------------------------------


@dataclass
class FakeMetric:
    """Replaces Ray's gauges and counters, and remembers their values."""

    name: str
    about: str
    tags: tuple[str, ...]
    values: dict[tuple[str, ...], float] = field(default_factory=dict)
    calls: int = 0

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.calls += 1
        self.values[self._key(tags)] = value

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0
        self.values[self._key(tags)] = self.values.get(self._key(tags), 0) + value

    def _key(self, tags: dict[str, str]) -> tuple[str, ...]:
        assert tuple(tags) == self.tags
        return tuple(tags.values())


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeMetric]:
    all_metrics: dict[str, FakeMetric] = {}

    def make(name: str, about: str, tags: tuple[str, ...]) -> FakeMetric:
        return all_metrics.setdefault(name, FakeMetric(name, about, tags))

    monkeypatch.setattr(prometheus.metrics, "Gauge", make)
    monkeypatch.setattr(prometheus.metrics, "Counter", make)
    return all_metrics


def cluster() -> Any:
    return SimpleNamespace(now=SimpleNamespace(cpu=4.0, gpu=0.0))


def watched(bench: Any, wanted: int = 5, **paper: Any) -> Search:
    meters = PrometheusMetrics("runs/one", cluster())
    search = Search([bench.study(wanted, **paper)], bench.source, bench.ledger, watchers=[meters])
    run_serially(search)
    meters.close(search)
    return search


def test_the_metrics_agree_with_the_ledger(bench: Any, metrics: dict[str, FakeMetric]) -> None:
    watched(bench)
    study, trials = ("runs/one", "fan", "tiny"), bench.records
    assert metrics["asd_ray_best_hmean"].values == {study: max(r.objective for r in trials if r.status == "complete")}
    by_state = {state: count for (*_, state), count in metrics["asd_ray_trials"].values.items()}
    stored = {state: sum(r.status == state for r in trials) for state in ("complete", "pruned", "failed")}
    assert by_state == {**stored, "running": 0, "missing": 0}
    assert sum(stored.values()) == 5
    assert metrics["asd_ray_epochs"].values == {study: sum(r.epochs for r in trials)}
    assert metrics["asd_ray_clips_learned"].values == {study: 22 * sum(r.epochs for r in trials)}
    assert metrics["asd_ray_clips_per_second"].values["runs/one",] > 0
    assert metrics["asd_ray_busy_share"].values == {("runs/one", "CPU"): 0, ("runs/one", "GPU"): 0}


def test_values_on_injected_faults_have_a_gauge_of_their_own(bench: Any, metrics: dict[str, FakeMetric]) -> None:
    bench.search(bench.study(1))
    study = bench.study(1)
    study.settings = replace(study.settings, objective="normal-only")
    PrometheusMetrics("runs/one", cluster()).close(Search([study], bench.source, bench.ledger))
    assert list(metrics["asd_ray_best_on_faults"].values) == [("runs/one", "fan", "tiny")]
    assert metrics["asd_ray_best_hmean"].values == {}


def test_a_study_without_a_complete_trial_has_no_best(bench: Any, metrics: dict[str, FakeMetric]) -> None:
    watched(bench, 1, behaviour="raises", x=0.25)
    assert metrics["asd_ray_trials"].values["runs/one", "fan", "tiny", "failed"] == 1
    assert metrics["asd_ray_best_hmean"].values == metrics["asd_ray_epochs"].values == {}


def test_the_busy_share_is_of_what_the_cluster_has(bench: Any, metrics: dict[str, FakeMetric]) -> None:
    has = cluster()
    meters = PrometheusMetrics("runs/one", has)
    search = Search([bench.study(3)], bench.source, bench.ledger, watchers=[meters])
    assert search.next()
    assert search.next()
    meters.turn(search)
    assert metrics["asd_ray_busy_share"].values["runs/one", "CPU"] == 0.5
    assert metrics["asd_ray_trials"].values["runs/one", "fan", "tiny", "running"] == 2
    assert metrics["asd_ray_trials"].values["runs/one", "fan", "tiny", "missing"] == 1
    has.now = SimpleNamespace(cpu=0.0, gpu=0.0)  # every node is gone
    meters.close(search)
    assert metrics["asd_ray_busy_share"].values["runs/one", "CPU"] == 0
    search.abandon()


def test_gauges_are_not_updated_at_every_turn(
    bench: Any, metrics: dict[str, FakeMetric], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(prometheus, "time", SimpleNamespace(monotonic=lambda: now[0]))
    meters = PrometheusMetrics("runs/one", cluster())
    search = Search([bench.study(3)], bench.source, bench.ledger)
    for _ in range(100):
        meters.turn(search)
        now[0] += 0.1
    assert metrics["asd_ray_busy_share"].calls == 2 * 2  # CPU and GPU, in ten seconds


# -- served ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    name: str
    tags: dict[str, str]
    value: float


@dataclass(frozen=True)
class Served:
    """What a node of a running search served, and the ledger at that time."""

    samples: list[Sample]
    records: list[TrialRecord]
    clips: int  # that an epoch of Loud learns from
    run: str

    def of(self, name: str, **tags: str) -> dict[str, float]:
        """Values by the one tag that is not named, or by ""."""
        found = [s for s in self.samples if s.name == name and tags.items() <= s.tags.items()]
        return {next((s.tags[t] for t in OWN_TAGS - {"run"} - set(tags) if t in s.tags), ""): s.value for s in found}


def test_the_best_hmean_is_the_ledgers(served: Served) -> None:
    best = max(r.objective or 0 for r in served.records if r.family == "loud")
    assert served.of("ray_asd_ray_best_hmean", machine="fan") == {"loud": pytest.approx(best, abs=1e-12)}


def test_trials_are_counted_by_state(served: Served) -> None:
    loud = served.of("ray_asd_ray_trials", machine="fan", family="loud")
    assert loud == {"complete": 2, "pruned": 0, "failed": 0, "running": 0, "missing": 1}
    waits = served.of("ray_asd_ray_trials", machine="fan", family="waits")
    assert waits == {"complete": 0, "pruned": 0, "failed": 0, "running": 2, "missing": 1}


def test_both_slots_are_busy(served: Served) -> None:
    assert served.of("ray_asd_ray_busy_share") == {"CPU": 1.0, "GPU": 0.0}


def test_epochs_and_clips_are_counted(served: Served) -> None:
    assert served.of("ray_asd_ray_epochs_total", machine="fan") == {"loud": 2}
    assert served.of("ray_asd_ray_clips_learned_total", machine="fan") == {"loud": 2 * served.clips}
    assert served.of("ray_asd_ray_clips_per_second")[""] > 0


def test_every_series_has_a_run_tag_and_none_names_a_trial(served: Served) -> None:
    own = [sample for sample in served.samples if sample.name.startswith("ray_asd_ray_")]
    assert len({sample.name for sample in own}) == 6
    for sample in own:
        assert sample.tags["run"] == served.run
        assert {tag for tag in sample.tags if not tag.startswith("otel_")} <= OWN_TAGS | RAYS_TAGS
        assert not any(re.search(r"-\d{4}", sample.tags.get(tag, "")) for tag in OWN_TAGS - {"run"})


def test_the_grafana_file_uses_only_existing_metrics(served: Served) -> None:
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    on_faults = f"ray_{prometheus.ON_FAULTS[0]}"  # of searches by normal sound alone
    known = {sample.name for sample in served.samples} | {f"ray_{name}" for name in METRICS_GAUGES}  # GPUs' too
    known |= {on_faults}
    tags = {tag for sample in served.samples for tag in sample.tags} | {"GpuIndex"}
    board = json.loads((shipped("dashboards") / "grafana.json").read_text())
    variables = {each["name"] for each in board["templating"]["list"]}
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [each["definition"] for each in board["templating"]["list"] if each["type"] == "query"]
    names = {name for expression in asked for name in re.findall(r"\bray_\w+", expression)}
    assert len(asked) == 21
    assert names <= known
    assert on_faults in names
    assert {f"ray_{name}" for name, *_ in (prometheus.BEST, prometheus.TRIALS, prometheus.CLIPS_PER_SECOND)} <= names
    assert {f"ray_{name}_total" for name, *_ in (prometheus.EPOCHS, prometheus.CLIPS)} | {
        "ray_asd_ray_busy_share"
    } <= names
    assert {tag for text in asked for tag in re.findall(r"[{,](\w+)(?:=~|!=|=)", text)} <= tags
    assert {name for text in asked for name in re.findall(r"\$(\w+)", text)} <= variables
    legends = [target["legendFormat"] for panel in board["panels"] for target in panel["targets"]]
    assert {tag for text in legends for tag in re.findall(r"{{(\w+)}}", text)} <= tags
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) == 17
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"])
    places = [panel["gridPos"] for panel in board["panels"]]
    squares = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(squares)) == len(squares)  # no panel lies on another
    assert max(x for x, _ in squares) == 23


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, loud: Path) -> Iterator[Served]:
    """A search on two CPUs, in its own process, while two trials of Loud are stored and two of Waits run."""
    folder = tmp_path_factory.mktemp("served")
    notes, run = folder / "notes", folder / "run"
    notes.mkdir()
    options = ["-m", "asd_ray.search", "fan", "--data", loud, "--run", run, "--trials", "3"]
    options += ["--families", "ray_families:Loud,ray_families:Waits", "--no-dashboard", "--cpus", "2"]
    with processes() as begin:
        sooner = {"RAY_metrics_report_interval_ms": "1000"}  # Ray's own is ten seconds
        process = begin(options, {**os.environ, **sooner, "PYTHONPATH": str(HERE), "ASD_RAY_TEST_NOTES": str(notes)})
        wait(lambda: len(list(notes.glob("*.txt"))) == 4, process)
        port = wait(lambda: metrics_port(process), process, every=0.5)
        samples = samples_of(port, process)
        ledger = Ledger(run)
        records = ledger.records()
        clips = int((ledger.scores(records[0])["split"] == "train").sum())
        yield Served(samples, records, clips, str(run))
        (notes / "go").touch()
        finish(process)


def metrics_port(process: subprocess.Popen[str]) -> int:
    """The port of the node's metrics; 0 until Ray has written it into the folder of its session."""
    for child in psutil.Process(process.pid).children():
        for word in child.cmdline():
            if word.startswith("--session_dir="):
                found = list(Path(word.partition("=")[2]).glob("metrics_export_port_*"))
                return int(found[0].read_text() or 0) if found else 0
    return 0


def samples_of(port: int, process: subprocess.Popen[str]) -> list[Sample]:
    """The last value of each series, as Prometheus keeps it.

    Ray serves a report for two seconds. Our metrics and those of the node come every five, not always at the same time.
    """
    latest: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}

    def look() -> bool:
        latest.update({(each.name, frozenset(each.tags.items())): each for each in scrape(port)})
        return ready(list(latest.values()))

    wait(look, process, every=0.5)
    whole = (
        time.monotonic() + 2 * prometheus.EVERY
    )  # an update of the gauges comes in pieces; the next one changes nothing
    wait(lambda: look() and time.monotonic() > whole, process, every=0.5)
    return list(latest.values())


def scrape(port: int) -> list[Sample]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [SAMPLE.fullmatch(line) for line in lines if not line.startswith("#")]
    return [Sample(m[1], dict(TAG.findall(m[2] or "")), float(m[3])) for m in found if m]


def ready(samples: list[Sample]) -> bool:
    """Whether Ray's own metrics are there, and all of ours, and show that both families are running."""
    names = {sample.name for sample in samples}
    running = [s.value for s in samples if s.name == "ray_asd_ray_trials" and s.tags["state"] == "running"]
    complete = [s.value for s in samples if s.name == "ray_asd_ray_trials" and s.tags["state"] == "complete"]
    all_there = {"ray_node_cpu_utilization", "ray_asd_ray_best_hmean", "ray_asd_ray_clips_per_second"} <= names
    last = any(s.name == "ray_asd_ray_busy_share" and s.tags["resource"] == "GPU" for s in samples)
    return all_there and last and sum(running) == 2 and sum(complete) == 2
