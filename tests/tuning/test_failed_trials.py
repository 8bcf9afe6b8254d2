"""What a search says of trials that failed, and --retry-failed, which runs them again."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.ledger.forgetting import forget
from asd_ray.search import main
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.search import Search, run_serially

from ..hostile import Verbs, unharmed
from .good_detector import Good


@pytest.fixture
def folder(tmp_path: Path, bench: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(str(bench.source.table.root))


def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **bodies: str) -> str:
    """Classes of users' own, each in a module of its name; what --families takes."""
    monkeypatch.syspath_prepend(tmp_path / "modules")
    (tmp_path / "modules").mkdir(exist_ok=True)
    for name, body in bodies.items():
        (tmp_path / "modules" / f"{name.lower()}_m.py").write_text(
            f"from {Good.__module__} import Good\nPAPER = {{}}\nx = 1.0\n\n\ndef space(trial):\n    return {{}}\n\n\n"
            f"class {name}(Good):\n    VERSION = 1\n\n    def fit(self, train):\n        {body}\n"
        )
        monkeypatch.delitem(sys.modules, f"{name.lower()}_m", raising=False)
    return ",".join(f"{name.lower()}_m:{name}" for name in bodies)


def test_a_study_whose_trials_all_failed_is_reported_once_with_status_1(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    families = modules(tmp_path, monkeypatch, Ab="raise ValueError('no fan')", Fine="return super().fit(train)")
    options = ("search", "fan", "--data", folder, "--run", "r", "--serial", "--families", families)
    words = ("every trial of fan-ab failed (1 ran): ValueError: no fan",)
    answer = verbs.refused(*options, "--trials", 1, status=1, words=words)
    assert answer.text.count("no fan") == 1
    assert "--retry-failed" in answer.err
    assert "fan-fine-0000" in answer.out  # the other family went on
    again = verbs.refused(
        *options, "--trials", 1, status=1, words=("trial of fan-ab failed (1 stored before): ValueError: no fan",)
    )
    assert "0 trials run now, 2 in all" in again.out
    assert again.text.count("no fan") == 1


@pytest.mark.parametrize(("ending", "status"), [("error", 2), ("Ctrl-C", 130)])
def test_failures_are_reported_however_the_search_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path, capsys: Any, ending: str, status: int
) -> None:
    families = modules(tmp_path, monkeypatch, St="raise ValueError('no fan')")
    run = run_serially

    def ends(search: Search) -> None:
        run(search)
        search.error, search.stopping = ("the disk is full", "x") if ending == "error" else ("", ending)

    monkeypatch.setattr("asd_ray.tuning.search.run_serially", ends)
    options = ["fan", "--data", str(folder), "--run", "r", "--serial", "--families", families, "--trials", "1"]
    assert main(options) == status
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("ValueError: no fan") == 1


def test_studies_that_failed_for_one_reason_share_a_line(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    families = modules(tmp_path, monkeypatch, Cd="raise SystemExit(0)", De="raise OSError('gone')")
    options = ("search", "fan", "--data", folder, "--run", "r", "--serial", "--families", families)
    answer = verbs.refused(*options, "--trials", 1, status=1, lines=3)
    lines = answer.err.strip().splitlines()
    assert lines[0].startswith("asd-ray search: every trial of fan-cd failed (1 ran): it calls sys.exit(0)")
    assert lines[1].startswith("every trial of fan-de failed (1 ran): OSError: gone")


def test_retry_failed_runs_stored_failures_again_under_their_numbers(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    families = modules(tmp_path, monkeypatch, Gh="if self.x < 2: raise ValueError('not yet')")
    path = tmp_path / "modules" / "gh_m.py"
    text = path.read_text().replace("PAPER = {}", 'PAPER = {"x": 1.0}')
    text = text.replace("return {}", 'return {"x": trial.suggest_float("x", 0, 1)}')
    text += "        yield from super().fit(train)\n\n    def __init__(self, context, *, x=1.0):\n"
    path.write_text(text + "        super().__init__(context)\n        self.x = x\n")
    options = ["fan", "--data", str(folder), "--run", "r", "--serial", "--families", families, "--trials", "3"]
    assert main(options) == 1
    failed = {record.number: record for record in Ledger("r").records()}
    assert sorted(failed) == [0, 1, 2]
    path.write_text(path.read_text().replace("< 2", "< -1"))
    monkeypatch.delitem(sys.modules, "gh_m")
    assert main(options) == 1
    assert {record.status for record in Ledger("r").records()} == {"failed"}
    capsys.readouterr()
    assert main([*options, "--retry-failed"]) == 0
    out = capsys.readouterr().out
    assert "note: 3 failed trials run again; their files are set aside, in " in out
    assert "3 trials run now, 3 in all" in out
    again = {record.number: record for record in Ledger("r").records()}
    assert {record.status for record in again.values()} == {"complete"}
    assert {n: (r.trial, r.params, r.paper) for n, r in again.items()} == {
        n: (r.trial, r.params, r.paper) for n, r in failed.items()
    }
    kept = [each.name for each in (tmp_path / "r" / "ledger_set_aside").rglob("*.parquet*")]
    assert {name.partition(".")[0] for name in kept} == {record.trial for record in failed.values()}
    assert main([*options, "--retry-failed"]) == 0
    assert "--retry-failed changes nothing: no trial of these studies is stored as failed" in capsys.readouterr().out


def stored(run: str = "r") -> dict[str, list[tuple[int, str, bool]]]:
    """Of each machine its trials: number, status, and whether it is the paper's setting."""
    found: dict[str, list[tuple[int, str, bool]]] = {}
    for each in Ledger(run).records():
        found.setdefault(each.machine, []).append((each.number, each.status, each.paper))
    return found


def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> str:
    """A class as in `modules` that has a parameter to draw; it fails where `body` raises."""
    families = modules(tmp_path, monkeypatch, **{name: body})
    path = tmp_path / "modules" / f"{name.lower()}_m.py"
    text = path.read_text().replace("PAPER = {}", 'PAPER = {"x": 1.0}')
    text = text.replace("return {}", 'return {"x": trial.suggest_float("x", 0, 1)}')
    text += "        yield from super().fit(train)\n\n    def __init__(self, context, *, x=1.0):\n"
    path.write_text(text + "        super().__init__(context)\n        self.x = x\n")
    return families


def test_retries_of_one_machine_do_not_change_the_numbers_of_another(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_machines: DataSource
) -> None:
    monkeypatch.chdir(tmp_path)
    families = drawn(tmp_path, monkeypatch, "Mn", "if FAILS: raise ValueError('not yet')")
    path = tmp_path / "modules" / "mn_m.py"
    path.write_text("FAILS = True\n" + path.read_text())
    options = ("--data", two_machines.table.root, "--run", "r", "--serial", "--families", families, "--trials", 3)
    assert verbs("search", "fan", *options).status == 1
    path.write_text(path.read_text().replace("FAILS = True", "FAILS = False"))
    monkeypatch.delitem(sys.modules, "mn_m")
    answer = verbs("search", "fan", "pump", *options, "--retry-failed")
    assert answer.status == 0
    assert "note: 3 failed trials run again" in answer.out
    expected = [(0, "complete", True), (1, "complete", False), (2, "complete", False)]
    assert stored() == {"fan": expected, "pump": expected}


def test_only_failures_that_run_again_are_set_aside(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    families = drawn(tmp_path, monkeypatch, "Op", "if FAILS: raise ValueError('not yet')")
    path = tmp_path / "modules" / "op_m.py"
    path.write_text("FAILS = True\n" + path.read_text())
    options = ("search", "fan", "--data", folder, "--run", "r", "--serial", "--families", families)
    assert verbs(*options, "--trials", 5).status == 1
    path.write_text(path.read_text().replace("FAILS = True", "FAILS = False"))
    monkeypatch.delitem(sys.modules, "op_m")
    answer = verbs(*options, "--trials", 2, "--retry-failed")
    assert "note: 2 failed trials run again" in answer.out
    assert "2 trials run now, 5 in all" in answer.out
    assert [status for _, status, _ in stored()["fan"]] == 2 * ["complete"] + 3 * ["failed"]
    assert len(list((tmp_path / "r" / "ledger_set_aside").rglob("*.parquet"))) == 2
    enough = verbs(*options, "--trials", 2, "--retry-failed")
    assert "--retry-failed changes nothing: without the failed ones there are enough trials" in enough.out
    assert "0 trials run now, 5 in all" in enough.out


def test_a_pruned_first_setting_that_fails_when_it_runs_again_is_stored_as_failed(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    families = drawn(tmp_path, monkeypatch, "Uv", "if FAILS: raise ValueError('not yet')")
    path = tmp_path / "modules" / "uv_m.py"
    path.write_text("FAILS = False\n" + path.read_text())
    options = ("search", "fan", "--data", folder, "--run", "r", "--serial", "--families", families)
    assert verbs(*options, "--trials", 2).status == 0
    ledger = Ledger("r")
    draw = ledger.records()[1]
    forget(ledger, [draw])
    ledger.commit(replace(draw, status="pruned", objective=None, objective_parts={}, variant=""))
    path.write_text(path.read_text().replace("FAILS = False", "FAILS = True"))
    monkeypatch.delitem(sys.modules, "uv_m")
    fixed = (*options, "--trials", 1, "--set", f"x={draw.params['x']!r}")
    answer = verbs.refused(*fixed, status=1, words=("every trial of fan-uv failed (1 ran)",))
    assert f"note: fan-uv: {draw.name} was pruned as a draw and is the first setting now" in answer.out
    assert "1 trial run now" in answer.out
    assert stored()["fan"] == [(0, "complete", True), (1, "failed", False)]
    again = verbs.refused(*fixed, status=1, words=("every trial of fan-uv failed (1 stored before)",))
    assert "0 trials run now" in again.out
    aside = list((tmp_path / "r" / "ledger_set_aside").rglob("*.pruned.parquet"))
    assert [each.name.partition(".")[0] for each in aside] == [draw.trial]


def test_a_search_that_is_refused_before_its_first_trial_sets_no_failure_aside(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    families = modules(tmp_path, monkeypatch, Qr="raise ValueError('not yet')")
    options = ("search", "fan", "--data", folder, "--run", "r", "--serial", "--families", families, "--trials", 1)
    assert verbs(*options).status == 1

    def refuses(*what: Any) -> None:
        raise AsdRayError("it cannot run")

    monkeypatch.setattr("asd_ray.tuning.watch.console.SearchConsole.plan", refuses)
    with unharmed(tmp_path / "r" / "ledger"):
        verbs.refused(*options, "--retry-failed", words=("it cannot run",))


def test_each_failure_is_printed_once_unless_log_lines_are_asked_for(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    body = "if train.bank: raise ValueError('odd clip')"
    families = modules(tmp_path, monkeypatch, Ij=body)
    options = ("search", "fan", "--data", folder, "--serial", "--families", families, "--trials", 1)
    assert verbs(*options, "--run", "a").text.count("odd clip") == 1
    assert "odd clip" in Path("a", "search.log").read_text()
    assert verbs(*options, "--run", "b", "--log-level", "info").text.count("odd clip") == 2


def test_an_edited_class_without_a_version_is_another_class(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    families = modules(tmp_path, monkeypatch, Ij="pass")
    path = tmp_path / "modules" / "ij_m.py"
    path.write_text(path.read_text() + "        yield from super().fit(train)\n    VERSION = None\n")
    options = ["fan", "--data", str(folder), "--run", "r", "--serial", "--families", families, "--trials", "1"]
    assert [main(options), main(options)] == [0, 0]
    (first,) = Ledger("r").records()
    assert first.version.startswith("code-")
    path.write_text(path.read_text().replace("        pass", "        self.edited = True"))
    monkeypatch.delitem(sys.modules, "ij_m")
    capsys.readouterr()
    assert main(options) == 0
    assert "1 stored trials of other settings" in capsys.readouterr().out
    assert [record.number for record in Ledger("r").records()] == [0, 1]
