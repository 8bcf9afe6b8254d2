from __future__ import annotations

import io
import json
import logging
import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd_ray._console import Console
from asd_ray.ledger import RunLayout
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.watch.log_lines import LOGGER, LogLines, line, log_to

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) event=(\w+) .*")


def logged(bench: Any, study: Any, level: str = "warning", **how: Any) -> Search:
    """A serial search with its log, as the command runs it."""
    watcher = LogLines()
    search = Search([study], bench.source, bench.ledger, watchers=[watcher], **how)
    with log_to(bench.ledger.layout, level, Console(file=io.StringIO())):
        watcher.turn(search)
        run_serially(search)
        watcher.close(search)
    return search


def events(text: str) -> list[dict[str, str]]:
    found = []
    for each in text.splitlines():
        assert LINE.fullmatch(each), each
        found.append(dict(pair.split("=", 1) for pair in shlex.split(each)[2:]))
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain-0007", "x=plain-0007"),
        (0.73124, "x=0.73124"),
        (12345678.9, "x=1.23457e+07"),
        (3, "x=3"),
        ("two words", 'x="two words"'),
        ('a "quote"', r'x="a \"quote\""'),
        ("a=b", 'x="a=b"'),
        ("line\nline\ttab", r'x="line\nline\ttab"'),
        ("a\u2028b\x85c", r'x="a\u2028b\u0085c"'),
        ("\x1b[31mred", r'x="\u001b[31mred"'),
        ("Lüfter", "x=Lüfter"),
        ("back\\slash", r'x="back\\slash"'),
    ],
)
def test_a_value_is_one_word_or_quoted_on_one_line(value: Any, expected: str) -> None:
    text = line("it", x=value)
    assert text == f"event=it {expected}"
    assert len(text.splitlines()) == 1
    if expected.startswith('x="'):
        assert json.loads(expected[2:]) == value


def test_unknown_values_are_left_out() -> None:
    assert line("it", a=None, b="", c=0, d=0.0) == "event=it c=0 d=0"


def test_a_search_writes_one_line_per_event(bench: Any) -> None:
    logged(bench, bench.study(6, behaviour="raises"))
    found = events(Path(bench.ledger.layout.log_file).read_text())
    names = [each["event"] for each in found]
    assert names[0] == "search_began"
    assert names[-1] == "search_ended"
    of = {status: [r for r in bench.records if r.status == status] for status in ("complete", "pruned", "failed")}
    assert of["complete"]
    assert of["failed"]
    counts = Counter(names)
    assert counts["trial_began"] == 6
    assert counts["rung_reached"] == sum(len(record.intermediate) for record in bench.records)
    for status, records in of.items():
        by_trial = {each["trial"]: each for each in found if each["event"] == f"trial_{status}"}
        assert set(by_trial) == {record.name for record in records}
        assert found[-1][status] == str(len(records))
        for record in records:
            each = by_trial[record.name]
            assert (each["hash"], each["machine"], each["family"]) == (record.trial, "fan", "tiny")
            assert each["node"]
            assert float(each.get("objective", "nan")) == pytest.approx(
                record.objective or float("nan"), nan_ok=True, abs=1e-4
            )
    assert [each["error"] for each in found if each["event"] == "trial_failed"] == [r.error for r in of["failed"]]
    assert found[-1]["why"] == "all trials are done"


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("error", set()),
        ("warning", set()),  # the list of failures at the end has them
        ("info", {"search_began", "trial_began", "rung_reached", "trial_complete", "trial_failed", "search_ended"}),
    ],
)
def test_the_level_applies_to_stderr_and_the_file_has_all_events(
    bench: Any, level: str, seen: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    logged(bench, bench.study(6, behaviour="raises"), level)
    out, err = capsys.readouterr()
    assert out == ""
    assert {each["event"] for each in events(err)} - {"trial_pruned"} == seen
    assert "trial_began" in Path(bench.ledger.layout.log_file).read_text()
    assert LOGGER.handlers == []


def test_debug_shows_every_sign_of_life(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_ray.tuning.trial.REPORT_EVERY", 0.0)
    logged(bench, bench.study(1), "debug")
    found = events(Path(bench.ledger.layout.log_file).read_text())
    signs = [each for each in found if each["event"] == "sign_of_life"]
    assert [each["epoch"] for each in signs] == ["0", "0", "2", "4", "5", "6", "7", "8", "9"]
    assert float(signs[-1]["loss_loss"]) == pytest.approx(1 / 9, abs=1e-5)


def test_the_last_line_has_the_reason(bench: Any) -> None:
    logged(bench, bench.study(6), deadline=0.0)
    last = events(Path(bench.ledger.layout.log_file).read_text())[-1]
    assert (last["event"], last["why"], last["missing"]) == ("search_ended", "the time is up", "6")


def test_a_resumed_search_appends_to_the_log(bench: Any) -> None:
    logged(bench, bench.study(2))
    logged(bench, bench.study(3))
    found = events(Path(bench.ledger.layout.log_file).read_text())
    assert [each["stored"] for each in found if each["event"] == "search_began"] == ["0", "2"]


@pytest.mark.parametrize("how", ["full", "a folder"])
def test_a_log_that_cannot_be_written_is_reported_once_and_the_search_goes_on(
    bench: Any, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(bench.ledger.layout.log_file)
    path.parent.mkdir(parents=True)
    if how == "full":
        path.symlink_to("/dev/full")
    else:
        path.mkdir()
    assert logged(bench, bench.study(3)).ended == 3
    (event,) = events(capsys.readouterr().err)
    assert event["event"] == "log_not_written"
    assert event["error"] == {"full": "No space left on device", "a folder": "Is a directory"}[how]


def test_two_searches_write_whole_lines_into_one_log(tmp_path: Path, python: Callable[..., Any]) -> None:
    code = """
        import io, sys
        from asd_ray._console import Console
        from asd_ray.ledger import RunLayout
        from asd_ray.tuning.watch.log_lines import LOGGER, line, log_to
        with log_to(RunLayout(sys.argv[1]), "warning", Console(file=io.StringIO())):
            for number in range(2000):
                LOGGER.info(line("it", who=sys.argv[2], number=number, text="x y" * (number % 100)))
    """
    writers = [python(code, tmp_path / "run", name) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    found = events((tmp_path / "run" / "search.log").read_text())
    for name in "ab":
        assert [each["number"] for each in found if each["who"] == name] == [str(n) for n in range(2000)]


def test_on_a_terminal_lines_do_not_break_the_live_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with log_to(RunLayout(tmp_path), "warning", Console(file=shown, force_terminal=True, width=40)):
        LOGGER.warning(line("trial_failed", error="[bold]a long text[/] " + "x" * 60))
    assert capsys.readouterr().err == ""
    assert "[bold]a long text[/]" in shown.getvalue()
    assert len(shown.getvalue().splitlines()) == 1


def test_on_s3_lines_go_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    with log_to(RunLayout("s3://bucket/run"), "info", Console(file=io.StringIO())):
        LOGGER.info(line("it"))
        assert [type(handler).__name__ for handler in LOGGER.handlers] == ["_Screen"]
        assert logging.getLogger("asd_ray.search").level == logging.INFO
    assert capsys.readouterr().err.endswith("INFO event=it\n")
