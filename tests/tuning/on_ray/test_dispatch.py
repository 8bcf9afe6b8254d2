"""Searches on a real Ray. Those that a test kills or interrupts start as a user starts them: each in its own process.

The others follow each other in one process and share its Ray, so that both start once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from asd_ray.ledger import Ledger, TrialRecord, verify
from asd_ray.ledger.states import States

from ..searches import Begin, finish, processes, statuses, wait

HERE = Path(__file__).parents[1]
Search = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def arguments(tmp_path: Path, loud: Path) -> Callable[..., list[str]]:
    """The arguments of a search on the data into the run of the test."""
    (tmp_path / "notes").mkdir()
    options = ["fan", "--data", str(loud), "--run", str(tmp_path / "run"), "--no-dashboard", "--cpus", "2"]

    def of(families: str, *more: str) -> list[str]:
        own = [name if "_" in name or name.islower() else f"ray_families:{name}" for name in families.split()]
        return [*options, "--families", ",".join(own), *more]

    return of


@pytest.fixture
def start(tmp_path: Path, arguments: Callable[..., list[str]]) -> Iterator[Begin]:
    """Start `asd-ray search fan`, each in its own session. What is still running at the end is killed."""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "ASD_RAY_TEST_NOTES": str(tmp_path / "notes")}
    with processes() as begin:
        yield lambda *words: begin(["-m", "asd_ray.search", *arguments(*words)], environment)


@pytest.fixture(scope="module")
def one_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The process of `one_ray_program.py`, and the path at which its families write their notes."""
    folder = tmp_path_factory.mktemp("one_ray")
    own = {"PYTHONPATH": str(HERE), "ASD_RAY_TEST_NOTES": str(folder / "notes"), "ASD_RAY_CACHE": str(folder / "cache")}
    with processes() as begin:
        yield begin([HERE / "one_ray_program.py"], os.environ | own, stdin=subprocess.PIPE), folder / "notes"


@pytest.fixture
def search(
    one_ray: tuple[subprocess.Popen[str], Path], tmp_path: Path, arguments: Callable[..., list[str]]
) -> Iterator[Search]:
    """Run `asd-ray search fan` to its end on the shared Ray. Returns its output, and its trials' states in Optuna."""
    process, notes = one_ray
    notes.symlink_to(tmp_path / "notes")

    def to_its_end(families: str, *more: str, status: int = 0) -> tuple[str, list[str]]:
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(arguments(families, *more)), file=process.stdin, flush=True)
        said = ""
        for line in process.stdout:
            if line.startswith("answer "):
                ended, output, in_optuna = json.loads(line.removeprefix("answer "))
                assert ended == status, output
                return output, in_optuna
            said += line
        pytest.fail(f"the process ended:\n{said}")

    yield to_its_end
    notes.unlink()


def titles(process: subprocess.Popen[str]) -> list[str]:
    """The titles of a process's workers, as ps shows them."""
    shown = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            shown += [part.strip() for part in child.cmdline()]
    return shown


def fits(tmp_path: Path) -> Counter[str]:
    return Counter(path.read_text() for path in (tmp_path / "notes").glob("*.txt"))


def test_a_killed_driver_loses_only_what_was_in_flight(start: Begin, ledger: Ledger, tmp_path: Path) -> None:
    first = start("Slow", "--trials", "6")
    wait(lambda: "ray::fan-slow-0001" in titles(first), first)
    wait(lambda: len(ledger.records()) >= 2, first)
    workers = [child for child in psutil.Process(first.pid).children(recursive=True) if child.ppid() != first.pid]
    workers = [child for child in workers if not child.name().endswith("Agent")]  # Ray's agents take their time
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not psutil.wait_procs(workers, timeout=60)[1]  # they end with their driver; one may still have stored
    kept = {record.trial: record for record in ledger.records()}
    assert 2 <= len(kept) < 6

    output = finish(start("Slow", "--trials", "6"))
    records = ledger.records()
    assert f"{len(kept)} trials are stored already" in output
    assert statuses(ledger.records()) == {("slow", "complete"): 6}
    assert sorted(record.number for record in records) == [0, 1, 2, 3, 4, 5]
    assert all(kept[record.trial] == record for record in records if record.trial in kept)
    assert all(fits(tmp_path)[f"Slow {record.params['x']}"] == 1 for record in kept.values())
    assert verify(ledger).is_clean
    best = sorted(records, key=lambda record: (-(record.objective or 0.0), record.number))[:3]
    wanted = {record.trial for record in [*best, *(record for record in records if record.paper)]}
    assert set(States(ledger).of_family("slow")) == wanted, "the states of the best, and of no other trial"
    assert list(Path(ledger.layout.states).rglob(".*")) == [], "no half state"


def test_a_larger_number_of_trials_runs_the_difference(search: Search, ledger: Ledger, tmp_path: Path) -> None:
    search("Loud", "--trials", "3")
    before = {record.trial for record in ledger.records()}
    output = search("Loud", "--trials", "13")[0]
    assert "10 trials run now, 13 in all" in output
    assert statuses(ledger.records()) == {("loud", "complete"): 13}
    assert before < {record.trial for record in ledger.records()}
    assert max(fits(tmp_path).values()) == 1
    assert "0 trials run now, 13 in all" in search("Loud", "--trials", "13")[0]


def test_a_fixed_value_is_a_study_of_its_own_that_resumes(search: Search, ledger: Ledger, tmp_path: Path) -> None:
    search("Loud", "--trials", "2")
    fixed = ["--trials", "3", "--set", "loud.epochs=2"]
    assert "3 trials run now, 3 in all" in search("Loud", *fixed)[0]
    assert "0 trials run now, 3 in all" in search("Loud", *fixed)[0]
    records = ledger.records()
    assert [(record.params["epochs"], record.epochs) for record in records] == [(1, 1)] * 2 + [(2, 2)] * 3
    assert [record.params["x"] for record in records if record.number in (0, 2)] == [0.5, 0.5]
    assert [record.paper for record in records] == [True] + 4 * [False]
    assert fits(tmp_path)["Loud 0.5"] == 2  # the x of PAPER, in each of the studies


def test_a_trial_whose_worker_is_killed_runs_once_more(search: Search, ledger: Ledger) -> None:
    search("DiesOnce", "--trials", "4")
    assert statuses(ledger.records()) == {("dies_once", "complete"): 4}


def test_a_failing_trial_does_not_affect_the_others(search: Search, ledger: Ledger) -> None:
    output = search("Diverges Raises Hungry Insatiable Loud", "--trials", "2", status=1)[0]
    assert statuses(ledger.records()) == {
        ("diverges", "failed"): 2,
        ("raises", "failed"): 2,
        ("hungry", "complete"): 2,
        ("insatiable", "failed"): 2,
        ("loud", "complete"): 2,
    }
    by_family = {record.family: record for record in ledger.records()}
    assert "nan after epoch 1" in by_family["diverges"].error
    assert by_family["raises"].error.startswith("ValueError: this family is broken, ")
    assert "batch_size 256 and again with 128" in by_family["insatiable"].error
    assert by_family["hungry"].extra["out_of_memory"] == "batch_size 256 halved to 128"
    assert "every trial of fan-raises failed (2 ran): ValueError: this family is broken, " in output


def test_two_searches_of_one_run_share_its_studies(start: Begin, ledger: Ledger, tmp_path: Path) -> None:
    first = start("Waits", "--trials", "4")
    wait(lambda: len(fits(tmp_path)) >= 1, first)
    second = start("Waits Loud", "--trials", "4")
    third = start("Waits", "--trials", "4")
    assert re.search(rf"fan-waits is being searched by process {first.pid} on", finish(second))
    assert "every study of this command is being searched already" in finish(third, status=2)
    (tmp_path / "notes" / "go").touch()
    finish(first)
    assert statuses(ledger.records()) == {("waits", "complete"): 4, ("loud", "complete"): 4}
    assert max(fits(tmp_path).values()) == 1
    assert verify(ledger).is_clean


def test_a_full_disk_ends_the_search_with_a_cure_and_keeps_stored_trials(search: Search, ledger: Ledger) -> None:
    output, _ = search("FillsTheDisk", "--trials", "8", status=2)
    assert "run the same command" in output
    stored = statuses(ledger.records())
    assert 1 <= stored["fills_the_disk", "complete"] < 8
    assert len(stored) == 1
    assert verify(ledger).is_clean


def test_ctrl_c_finishes_running_trials_and_starts_none(start: Begin, ledger: Ledger, tmp_path: Path) -> None:
    process = start("Slower", "--trials", "9")
    wait(lambda: len(fits(tmp_path)) == 2, process)
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal does
    output = finish(process, status=130)
    assert "Ctrl-C again to stop now" in output
    assert "7 trials are missing; run the same command to go on" in output
    assert statuses(ledger.records()) == {("slower", "complete"): 2}


def test_ctrl_c_twice_stops_at_once(start: Begin, ledger: Ledger, tmp_path: Path) -> None:
    process = start("Slower", "--trials", "9")
    wait(lambda: len(fits(tmp_path)) >= 1, process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    assert "stopped now: trials in flight are not stored" in finish(process, status=130)
    assert len(ledger.records()) < 2


def test_trials_stopped_at_a_rung_are_pruned_in_optuna_and_in_the_ledger(
    search: Search, ledger: Ledger, tmp_path: Path
) -> None:
    space = tmp_path / "steps.py"
    space.write_text(
        'PAPER = {"x": 0.5, "epochs": 9, "batch_size": 256}\n\n\ndef space(trial):\n'
        '    return {"x": trial.suggest_float("x", 0, 1)}\n'
    )
    _, in_optuna = search("Steps", "--space", str(space), "--trials", "12")
    stored = Counter(record.status for record in ledger.records())
    assert Counter(in_optuna) == {"PRUNED": stored["pruned"], "COMPLETE": stored["complete"]}
    assert stored["pruned"] >= 3
    assert sum(stored.values()) == 12
    pruned = [record for record in ledger.records() if record.status == "pruned"]
    assert all(record.intermediate and record.epochs in (1, 3) and record.number > 0 for record in pruned)


def test_serial_and_ray_give_the_same_scores(search: Search, tmp_path: Path, ledger: Ledger) -> None:
    options = ["--trials", "1", "--epochs-cap", "2"]
    search("autoencoder twfr_gmm", *options, "--run", str(tmp_path / "serial"), "--serial")
    search("autoencoder twfr_gmm", *options)

    def stored(of: Ledger) -> dict[str, tuple[TrialRecord, bytes]]:
        return {r.trial: (r, of.scores(r)["score"].to_numpy().tobytes()) for r in of.records()}

    serial, with_ray = stored(Ledger(tmp_path / "serial")), stored(ledger)
    assert serial.keys() == with_ray.keys()
    assert len(serial) == 2
    assert all(serial[trial][1] == with_ray[trial][1] for trial in serial)
