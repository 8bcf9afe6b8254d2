from __future__ import annotations

import dataclasses
import io
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asd_ray._console import Console
from asd_ray._shapes import fault
from asd_ray.ledger import TrialRecord
from asd_ray.storage.heartbeat import Beat
from asd_ray.tuning.search import Search
from asd_ray.tuning.study import Study
from asd_ray.tuning.watch import status, status_file
from asd_ray.tuning.watch.board import Board, leaderboard
from tests.tables import rows_below


def with_stored_paper_trial(bench: Any, seconds: float, wanted: int) -> tuple[Search, Study]:
    """A search whose paper's setting is stored, with `seconds` as its duration."""
    bench.search(bench.study(1))
    (record,) = bench.records
    table = bench.ledger.scores(record)
    bench.ledger.commit(dataclasses.replace(record, seconds=seconds), table, replace=True)
    study = bench.study(wanted)
    return Search([study], bench.source, bench.ledger), study


def without_labels(bench: Any) -> tuple[Search, Study]:
    """The same with the settings of a search that compares trials by injected faults."""
    search, study = with_stored_paper_trial(bench, 60.0, 4)
    study.settings = dataclasses.replace(study.settings, objective="normal-only")
    return search, study


def printed(search: Search, slots: float) -> str:
    console = Console(file=io.StringIO(), width=200)
    Board(lambda: slots, console).print_lines(search)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_line_shows_the_progress_of_a_study(bench: Any) -> None:
    search, study = with_stored_paper_trial(bench, 60.0, 4)
    assert search.next() is not None
    assert study.best is not None
    text = printed(search, 2)
    assert text.startswith(f"fan-tiny: done 1/4, best {study.best.objective:.4f} level, time left ~90 s, running 1, ")
    assert text.endswith(", running 1, pruned 0, failed 0\n")


@pytest.mark.parametrize(("slots", "left"), [(1, "~3 min"), (2, "~90 s"), (8, "~60 s")])
def test_time_left_depends_on_slots_and_running_trials(bench: Any, slots: int, left: str) -> None:
    search, _ = with_stored_paper_trial(bench, 60.0, 4)
    assert search.next() is not None
    assert f"time left {left}" in printed(search, slots)


def test_time_that_has_passed_is_not_left(bench: Any) -> None:
    search, _ = with_stored_paper_trial(bench, 60.0, 2)
    assert search.next() is not None
    assert "time left ~60 s" in printed(search, 1)
    for run in search.running.values():
        run.started -= 40
    assert "time left ~20 s" in printed(search, 1)
    for run in search.running.values():
        run.started -= 40
    assert "time left ~0 s" in printed(search, 1)


def test_no_time_left_is_shown_before_a_trial_has_ended(bench: Any) -> None:
    search = Search([bench.study(4)], bench.source, bench.ledger)
    assert "time left" not in printed(search, 1)


def test_the_leaderboard_ranks_trials_and_lists_failures(bench: Any) -> None:
    study = bench.search(bench.study(8, space=lambda t: {"x": t.suggest_float("x", 0, 1)}, behaviour="raises")).studies
    console = Console(file=io.StringIO(), width=200)
    leaderboard(study, console, {})
    text = console.file.getvalue()  # type: ignore[attr-defined]
    complete = [record for record in bench.records if record.status == "complete"]
    failed = [record for record in bench.records if record.status == "failed"]
    assert failed
    assert f"fan: {len(complete)} complete trials, protocol oracle" in text
    best = max(complete, key=lambda record: record.objective)
    rows = rows_below(text, "#")
    assert rows[0][:4] == ["1", best.name, best.variant, f"{best.objective:.4f}"]
    assert [row[1] for row in rows if row[-1] == "setting"] == ["fan-tiny-0000"]
    assert f"failed: {len(failed)} trials, {failed[0].name} the first: ValueError: no such thing as a fan, " in text


def test_values_on_injected_faults_are_marked(bench: Any) -> None:
    search, study = without_labels(bench)
    assert study.best is not None
    assert f"best {study.best.objective:.4f} level (faults)" in printed(search, 2)
    console = Console(file=io.StringIO(), width=200)
    leaderboard([study], console, {})
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "fan: 1 complete trial, protocol label_free" in text
    head = next(line for line in text.splitlines() if "variant" in line)
    assert "faults" in head
    assert not any(name in head for name in ("objective", "AUC"))


def test_a_status_file_names_the_objective_and_older_ones_are_of_labels(bench: Any) -> None:
    search, study = without_labels(bench)
    row = status_file._study(search, study, 1.0)
    assert not fault(status.STUDY, row)
    beat = cast(Beat, SimpleNamespace(silent=0.0))
    assert status._reported_row(beat, row).best.endswith(" level (faults)")
    del row["objective"]
    assert not fault(status.STUDY, row)
    assert status._reported_row(beat, row).best.endswith(" level")


def shown(study: Study, by_papers_score: dict[str, TrialRecord]) -> tuple[list[list[str]], str]:
    """The cells of the leaderboard's rows, and the line below it."""
    console = Console(file=io.StringIO(), width=200)
    leaderboard([study], console, by_papers_score)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return rows_below(text, "#"), text.splitlines()[-1]


def test_the_papers_own_score_has_a_row_beside_the_best_score_of_its_trial(bench: Any) -> None:
    study = bench.search(bench.study(2)).studies[0]
    first = bench.records[0]
    own = dataclasses.replace(first, variant="own", objective=0.0123, objective_parts={"00/auc": 0.2, "00/pauc": 0.1})
    rows, caption = shown(study, {first.trial: own})
    ((best, *_), (paper, *_)) = ([row for row in rows if row[-1] == mark] for mark in ("setting", "score"))
    assert best[1:4] == ["fan-tiny-0000", first.variant, f"{first.objective:.4f}"]
    assert paper[:6] == ["", "fan-tiny-0000", "own", "0.0123", "0.2000", "0.1000"]
    assert rows.index(paper) == 2, "below both trials, which are better"
    assert caption.startswith("paper: setting: its parameters, ")


def test_one_row_is_enough_where_the_best_score_is_the_papers(bench: Any) -> None:
    study = bench.search(bench.study(2)).studies[0]
    first = bench.records[0]
    rows, last = shown(study, {first.trial: first})
    assert [row[1] for row in rows if row[-1] == "score"] == ["fan-tiny-0000"]
    assert len(rows) == 2
    assert "setting" not in last


def test_a_trial_of_a_paper_without_a_single_score_is_only_its_setting(bench: Any) -> None:
    rows, _ = shown(bench.search(bench.study(2)).studies[0], {})
    assert [row[-1] for row in rows if row[1] == "fan-tiny-0000"] == ["setting"]


def test_the_live_display_has_a_bar_for_the_whole_search_and_the_epochs_of_running_trials(bench: Any) -> None:
    search, _ = with_stored_paper_trial(bench, 60.0, 4)
    run = search.next()
    assert run is not None
    console = Console(file=io.StringIO(), width=80, height=20)
    board = Board(lambda: 2.0, console)
    console.print(board.picture(search))
    run.node, run.epoch = "here", 2
    console.print(board.picture(search))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("1/4 trials, 0 s, ~90 s left") == 2
    assert rows_below(text, "running") == [[run.spec.name, "not started yet", "0 s"]]
    assert text.splitlines()[-1].split() == [run.spec.name, f"2/{run.spec.epochs}", "0", "s"]


def test_more_studies_than_the_screen_has_lines_are_counted(bench: Any) -> None:
    studies = [bench.study(4) for _ in range(30)]
    console = Console(file=io.StringIO(), width=80, height=20)
    console.print(Board(lambda: 2.0, console).picture(Search(studies, bench.source, bench.ledger)))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 20
    assert lines[-1] == "and 16 more studies"
