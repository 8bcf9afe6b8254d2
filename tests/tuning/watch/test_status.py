from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd_ray._console import Console
from asd_ray.errors import AsdRayError
from asd_ray.ledger.states import States
from asd_ray.storage import heartbeat
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.watch._base import Watcher
from asd_ray.tuning.watch.status import duration, show_status
from asd_ray.tuning.watch.status_file import StatusFile, seconds_left, seconds_left_of_all
from tests.tables import rows_below


def shown(run: Any) -> str:
    console = Console(file=io.StringIO(), width=140, highlight=False)
    show_status(str(run), console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def row(text: str, first: str) -> list[str]:
    """The cells of a study or of a running trial."""
    tables = [head for head in ("study", "running") if any(line.startswith(head) for line in text.splitlines())]
    (found,) = [cells for head in tables for cells in rows_below(text, head) if cells[0] == first]
    return found


def watched(bench: Any, study: Any, look: Callable[[Search], None], **how: Any) -> Search:
    """A serial search with its status file. `look` is called at every turn, after the newest state was written."""
    watcher = StatusFile(bench.ledger.layout, command="asd-ray search fan", slots=lambda: 1.0, **how)
    errors: list[AssertionError] = []

    class Looker(Watcher):
        def turn(self, search: Search) -> None:
            watcher._looked = -1e9  # write the newest state, not that of some seconds ago
            watcher.turn(search)
            watcher._file.put()
            try:
                look(search)
            except AssertionError as error:  # a search ignores what its watchers raise
                errors.append(error)

    search = Search([study], bench.source, bench.ledger, watchers=[watcher, Looker()])
    search.turn()
    run_serially(search)
    watcher.close(search)
    if errors:
        raise errors[0]
    return search


def test_a_missing_run_is_an_error_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="no run here"):
        show_status(str(tmp_path / "run"), Console(file=io.StringIO()))


def test_a_running_search_is_shown(bench: Any) -> None:
    seen: list[str] = []
    run = bench.ledger.layout.root
    watched(bench, bench.study(6, behaviour="raises"), lambda search: seen.append(shown(run)))
    first, *_, last = seen
    assert re.search(
        rf"^process {os.getpid()} on \S+: asd-ray search fan\n  since \d+ s, last heartbeat \d+ s ago", first
    )
    assert row(first, "fan-tiny")[:5] == ["fan-tiny", "0/6", "", "", "0"]
    assert "no search works" not in first
    during = [text for text in seen if "\nfan-tiny-0000 " in text and " 1/9 " in text]
    assert during
    assert row(during[0], "fan-tiny")[4] == "1"
    assert row(during[0], "fan-tiny-0000")[1:3] == [os.uname().nodename, "1/9"]
    assert "1 of 1 slots busy" in during[0]
    failed = [record for record in bench.records if record.status == "failed"]
    assert row(last, "fan-tiny")[1] == "6/6"
    assert row(last, "fan-tiny")[6] == str(len(failed))
    assert f"the last failures ({len(failed)} in all):\n" in last
    assert all(f"  {record.name}: {record.error}\n" in last for record in failed[-5:])


def test_without_a_running_search_the_stored_trials_are_shown(bench: Any) -> None:
    search = watched(bench, bench.study(6, behaviour="raises"), lambda search: None)
    text = shown(bench.ledger.layout.root)
    assert text.startswith(f"no search works on {bench.ledger.layout.root}; what is stored:\n")
    study = search.studies[0]
    counts = [str(study.count(status)) for status in ("pruned", "failed")]
    best = f"{study.best.objective:.4f} {study.best.variant}"  # type: ignore[union-attr]
    assert row(text, "fan-tiny") == ["fan-tiny", "6", best, "", "0", *counts]
    assert os.listdir(bench.ledger.layout.status) == []


def test_time_left_is_shown_once_a_trial_has_ended(bench: Any) -> None:
    left: list[str] = []
    watched(bench, bench.study(4), lambda search: left.append(row(shown(bench.ledger.layout.root), "fan-tiny")[3]))
    assert left[0] == ""
    assert any(re.fullmatch(r"~\d+ s", each) for each in left)
    assert left[-1] == ""


def test_seconds_left_depend_on_slots_and_end_with_the_search(bench: Any) -> None:
    study = bench.search(bench.study(1)).studies[0]
    search = Search([study], bench.source, bench.ledger)
    each = study.mean_seconds
    assert seconds_left(search, study, 1) is None
    study.wanted = 9
    assert seconds_left(search, study, 1) == pytest.approx(8 * each)
    assert seconds_left(search, study, 4) == pytest.approx(2 * each)
    assert seconds_left_of_all(search, 4) == pytest.approx(2 * each)
    untried = bench.study(4, seed=1)
    untried._timed = 0  # as before its first trial
    assert seconds_left_of_all(Search([study, untried], bench.source, bench.ledger), 1) == pytest.approx(12 * each)
    search.stop("Ctrl-C")
    assert seconds_left(search, study, 4) is None


def test_a_killed_search_is_recognised_and_the_next_one_removes_its_file(
    bench: Any, python: Callable[..., Any]
) -> None:
    run = bench.ledger.layout.root
    process = python(
        """
        import sys, time
        from types import SimpleNamespace as Any
        from asd_ray.ledger import RunLayout
        from asd_ray.tuning.watch.status_file import StatusFile
        class Study:
            name, seed, wanted, running, missing, exhausted, best = "fan-slow", 0, 9, 0, 9, False, None
            mean_seconds, settings = 0.0, Any(objective="labels")
            def count(self, status=None): return 0
        search = Any(studies=[Study()], running={}, ended=0, stopping="", error="")
        StatusFile(RunLayout(sys.argv[1]), command="asd-ray search pump").turn(search)
        print("at work", flush=True)
        time.sleep(600)
        """,
        run,
    )
    assert process.stdout.readline() == "at work\n"
    ends = time.monotonic() + 120
    while not list(Path(bench.ledger.layout.status).glob("[!.]*.json")):
        assert time.monotonic() < ends
    assert "since" in shown(run)
    process.kill()
    process.wait()
    text = shown(run)
    assert text.startswith(f"process {process.pid} on ")
    assert "its process is gone. Run the same command again to resume it\n" in text
    assert f"no search works on {run} any more; what is stored:" in text
    assert row(text, "fan-slow")[:3] == ["fan-slow", "0/9", ""]
    watched(bench, bench.study(1), lambda search: None)
    assert "asd-ray search pump" not in shown(run)


@pytest.mark.parametrize(
    ("silent", "text_of_age"), [(20, "last heartbeat 20 s ago"), (180, "no heartbeat for 3 min: killed?")]
)
def test_a_search_on_another_computer_is_alive_if_its_last_heartbeat_is_recent(
    bench: Any, silent: int, text_of_age: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = bench.ledger.layout
    watched(bench, bench.study(1), lambda search: None)
    path = Path(layout.status_file("other"))
    study = {"study": "fan-tiny", "done": 0, "wanted": 9, "running": 2, "pruned": 0, "failed": 0, "best": None}
    reported = {"host": "far", "pid": 4, "command": "asd-ray search [x]", "seconds": 60, "turned": 400}
    path.write_text(json.dumps({**reported, "studies": [{**study, "left": None, "exhausted": False}]}))
    at = path.stat().st_mtime - silent
    os.utime(path, (at, at))
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 3600)
    text = shown(layout.root)
    assert text.startswith("process 4 on far: asd-ray search [x]\n")
    assert text_of_age in text
    _, done, _, _, running, *_ = row(text, "fan-tiny")
    assert (done, running) == (("0/9", "2") if silent < 60 else ("1/9", "0"))  # a dead search: what is stored
    assert ("no sign of life for 7 min" in text) is (silent < 60)


def test_without_write_access_the_ages_are_marked_as_inexact(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AsdRayError("read-only")

    seen: list[str] = []

    def look(search: Search) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("asd_ray.tuning.watch.status.store_clock", refuse)
            seen.append(shown(bench.ledger.layout.root))

    watched(bench, bench.study(1), look)
    assert all("ages are by this computer's clock" in text for text in seen)


def test_a_status_file_that_cannot_be_written_does_not_stop_the_search(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench.ledger.files.put(bench.ledger.layout.status, b"a file in the way")
    watcher = StatusFile(bench.ledger.layout, command="asd-ray search fan")
    search = Search([bench.study(3)], bench.source, bench.ledger, watchers=[watcher])
    run_serially(search)
    watcher.close(search)
    assert search.ended == 3
    assert [record.getMessage().split()[0] for record in caplog.records] == ["event=heartbeat_failed"]


def test_retries_and_the_reason_to_stop_are_shown(bench: Any) -> None:
    watcher = StatusFile(bench.ledger.layout, command="c", cluster=lambda: {"nodes": 2, "GPU": 0.5})
    search = Search([bench.study(3)], bench.source, bench.ledger, watchers=[watcher])
    run = search.next()
    assert run is not None
    search.lost(run)
    search.stop("Ctrl-C")
    watcher.turn(search)
    watcher._file.put()
    text = shown(bench.ledger.layout.root)
    watcher.close(search)
    assert "cluster: nodes=2 GPU=0.5" in text
    assert re.search(r"1 run again \(its worker died", text)
    assert "stopping (Ctrl-C): no new trials" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "3 s"), (99.4, "99 s"), (600, "10 min"), (7200, "2.0 h"), (4 * 86_400, "4 days")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_status_is_shown_without_ray_or_torch(bench: Any) -> None:
    watched(bench, bench.study(2), lambda search: None)
    code = (
        "import sys; from asd_ray._console import Console; from asd_ray.tuning.watch.status import show_status; "
        "show_status(sys.argv[1], Console()); print(*{'torch', 'ray', 'optuna', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, bench.ledger.layout.root]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "fan-tiny" in out
    assert out.splitlines()[-1] == ""
    assert heartbeat.ALIVE == 60


def test_the_states_of_a_run_are_shown_with_their_size(bench: Any) -> None:
    bench.search(bench.study(1))
    assert "learned states" not in shown(bench.ledger.layout.root)
    for family, trial, size in (("idnn", "t1", 1_200_000), ("idnn", "t2", 300_000), ("stgram", "t3", 500_000)):
        States(bench.ledger).put(family, trial, bytes(size))
    text = shown(bench.ledger.layout.root)
    assert "learned states, 2.0 MB: idnn 2 (1.5 MB), stgram 1 (0.5 MB)" in text
