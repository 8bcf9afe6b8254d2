"""Detectors that break the contract while they run: their trials fail, with a message about the contract."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asd_ray.detectors import Family, Progress, Resources
from asd_ray.errors import AsdRayError, StorageError
from asd_ray.families import Space
from asd_ray.features import PRESETS
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.search import main
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.study import Study

from ..hostile import Verbs, unharmed


class Good:
    """Keeps to the contract, and detects nothing."""

    RESOURCES = Resources()
    VERSION = 1

    def __init__(self, context: Any) -> None:
        self.front_end: Any = PRESETS["baseline"]

    def fit(self, train: Any) -> Any:
        yield Progress(1, {"loss": 1.0})

    def score(self, clips: Any) -> Any:
        return {"level": np.arange(len(clips), dtype=float)}

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None: ...


Change = dict[str, Any]
Trial = Callable[[Change], tuple[Search, TrialRecord | None]]


@pytest.fixture
def trial(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """Run one trial of `Good` with changed attributes, from a user's module. Returns the search and the record."""

    def run(change: Change) -> tuple[Search, TrialRecord | None]:
        module = types.ModuleType("own_detector")
        module.Mine = type("Mine", (Good,), change)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "own_detector", module)
        family = Family("mine", "own_detector:Mine")
        space = Space("own_space.py", {}, lambda trial: {})
        study = Study(["fan"], family, space, bench.settings(), resources=Resources(), seed=0, wanted=1)
        search = Search([study], bench.source, bench.ledger)
        run_serially(search)
        return search, next(iter(bench.records), None)

    return run


def scores(make: Callable[[int], Any]) -> Change:
    return {"score": lambda self, clips: make(len(clips))}


def steps(*given: Any) -> Change:
    return {"fit": lambda self, train: iter(given)}


def raising(error: BaseException, method: str = "fit") -> Change:
    def act(self: Any, *what: Any) -> Any:
        raise error

    return {method: act}


def circular() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


ONCE = "fit must yield Progress(epoch, losses) once per epoch but"


class LooksLikeAnArray:
    def __array__(self, *what: Any) -> Any:
        raise RuntimeError("only looks like one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (scores(lambda n: None), "score must return a dictionary variant -> scores but returned NoneType"),
        (scores(lambda n: np.zeros(n)), "score must return a dictionary variant -> scores but returned ndarray"),
        (scores(lambda n: [0.0] * n), "score must return a dictionary variant -> scores but returned list"),
        (scores(lambda n: {}), "score returned no variant; return {name: scores}"),
        (scores(lambda n: {"": np.zeros(n)}), "the name of a variant must be text of 1 to 200 characters but is ''"),
        (scores(lambda n: {" ": np.zeros(n)}), "the name of a variant must be text of 1 to 200 characters but is ' '"),
        (scores(lambda n: {5: np.zeros(n)}), "the name of a variant must be text of 1 to 200 characters but is 5"),
        (scores(lambda n: {None: np.zeros(n)}), "the name of a variant must be text"),
        (scores(lambda n: {"v" * 201: np.zeros(n)}), "the name of a variant must be text of 1 to 200 characters"),
        (scores(lambda n: {"\ud800": np.zeros(n)}), "the name of a variant must be text"),
        (scores(lambda n: {str(i): np.zeros(n) for i in range(1001)}), "score returned 1001 variants; at most 1000"),
        (scores(lambda n: {"a": None}), "variant 'a' has scores of shape () for 48 clips; a detector returns"),
        (scores(lambda n: {"a": 1.0}), "variant 'a' has scores of shape () for 48 clips"),
        (scores(lambda n: {"a": "text"}), "variant 'a' has scores of shape () for 48 clips"),
        (scores(lambda n: {"a": np.zeros(n - 1)}), "variant 'a' has scores of shape (47,) for 48 clips"),
        (scores(lambda n: {"a": np.zeros(n + 1)}), "variant 'a' has scores of shape (49,) for 48 clips"),
        (scores(lambda n: {"a": np.zeros(0)}), "variant 'a' has scores of shape (0,) for 48 clips"),
        (scores(lambda n: {"a": np.zeros((n, 1))}), "variant 'a' has scores of shape (48, 1) for 48 clips"),
        (scores(lambda n: {"a": np.zeros(n), "b": np.zeros(3)}), "variant 'b' has scores of shape (3,) for 48 clips"),
        (scores(lambda n: {"a": [[0.0], *[[0.0, 1.0]] * (n - 1)]}), "variant 'a' are not an array (ValueError"),
        (scores(lambda n: {"a": circular()}), "scores of variant 'a' are"),
        (scores(lambda n: {"a": LooksLikeAnArray()}), "are not an array (RuntimeError: only looks like one)"),
        (scores(lambda n: {"a": np.array(["x"] * n)}), "scores of variant 'a' are of type <U1; return floats"),
        (scores(lambda n: {"a": np.array([None] * n)}), "scores of variant 'a' are of type object; return floats"),
        (scores(lambda n: {"a": np.zeros(n, complex)}), "scores of variant 'a' are of type complex128; return floats"),
        (scores(lambda n: {"a": np.full(n, np.nan)}), "48 of 48 scores of variant 'a' are not finite"),
        (scores(lambda n: {"a": np.full(n, -np.inf)}), "48 of 48 scores of variant 'a' are not finite"),
        (scores(lambda n: {"a": np.full(n, 1e39)}), "48 of 48 scores of variant 'a' exceed the range of float32"),
        (scores(lambda n: {"a": [10**400] * n}), "scores of variant 'a' are"),
        (steps(1), f"{ONCE} yielded int"),
        (steps(None), f"{ONCE} yielded NoneType"),
        (steps((1, {})), f"{ONCE} yielded tuple"),
        ({"fit": lambda self, train: None}, f"{ONCE} returned NoneType"),
        ({"fit": lambda self, train: 7}, f"{ONCE} returned int"),
        ({"fit": lambda self, train: "fitted"}, f"{ONCE} yielded str"),
        (steps(Progress(0, {})), "fit yielded epoch 0 after epoch 0; epochs count from 1, each once"),
        (steps(Progress(1, {}), Progress(1, {})), "fit yielded epoch 1 after epoch 1; epochs count from 1, each once"),
        (steps(Progress(2, {}), Progress(1, {})), "fit yielded epoch 1 after epoch 2"),
        (steps(Progress(10**10, {})), "fit yielded epoch 10000000000; epochs count from 1 to 1000000000 at most"),
        (steps(Progress(10**5000, {})), "fit yielded epoch of type int; epochs count from 1 to 1000000000 at most"),
        (steps(Progress("1", {})), "the epoch of Progress must be a whole number but is '1'"),  # type: ignore[arg-type]
        (steps(Progress(1.0, {})), "the epoch of Progress must be a whole number but is 1.0"),  # type: ignore[arg-type]
        (steps(Progress(1, None)), "the losses of Progress must be a dictionary"),  # type: ignore[arg-type]
        (steps(Progress(1, {"loss": None})), "its loss 'loss' is None after epoch 1, which is not a number"),  # type: ignore[dict-item]
        (steps(Progress(1, {"loss": "low"})), "its loss 'loss' is 'low' after epoch 1, which is not a number"),  # type: ignore[dict-item]
        (steps(Progress(1, {"loss": torch.zeros(3)})), "its loss 'loss' is tensor"),  # type: ignore[dict-item]
        (steps(Progress(1, {"loss": np.inf})), "its loss 'loss' is inf after epoch 1; a lower lr may help"),
        (steps(Progress(1, {"loss": 10**400})), "which is not a number"),
        (raising(SystemExit(0)), "it calls sys.exit(0), which would end the search, "),
        (raising(SystemExit("done"), "score"), "it calls sys.exit('done'), which would end the search, "),
        (raising(SystemExit(), "__init__"), "it calls sys.exit(None), which would end the search, "),
        (raising(ValueError("no such setting"), "__init__"), "ValueError: no such setting, "),
        (raising(RecursionError("too deep")), "RecursionError: too deep, "),
        (raising(KeyError(3), "score"), "KeyError: 3, "),
        (raising(StopIteration()), "RuntimeError: generator raised StopIteration"),
        (raising(type("Odd", (BaseException,), {})("off")), "Odd: off, "),
        (raising(ImportError("no", name="own_detector.more")), "ImportError: no, "),
        (raising(FileNotFoundError(2, "No such file", "my.txt")), "FileNotFoundError: [Errno 2] No such file: 'my"),
        (raising(PermissionError(13, "Permission denied", "my.txt")), "PermissionError: [Errno 13] "),
        (raising(ValueError("x" * 40_000_000)), "ValueError: xxx"),
        (raising(ValueError("\ud800" + "x" * 10**6)), "ValueError: \\ud800xxx"),
        ({"front_end": property(lambda self: None, lambda self, value: None)}, "front_end must be a front end of "),
        ({"__init__": lambda self: None}, "TypeError: "),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_detector_that_breaks_the_contract_fails_its_trial(trial: Trial, change: Change, message: str) -> None:
    search, record = trial(change)
    assert record is not None
    assert (record.status, search.error, search.ended) == ("failed", "", 1)
    assert message in record.error
    assert len(record.error) < 1000
    assert search.studies[0].only_failures


@pytest.mark.parametrize(
    "change",
    [
        scores(lambda n: {"a": [float(i) for i in range(n)]}),
        scores(lambda n: {"a": range(n)}),
        scores(lambda n: {"a": torch.arange(n, requires_grad=False)}),
        scores(lambda n: {"a": torch.arange(float(n), requires_grad=True)}),
        scores(lambda n: {"a": np.arange(n, dtype=np.float16)}),
        scores(lambda n: {"a": np.arange(n) % 2 == 0}),
        scores(lambda n: {"a": np.full(n, 3.4e38)}),
        scores(lambda n: {"v" * 200: np.zeros(n)}),
        steps(),
        steps(Progress(1, {})),
        steps(Progress(1, {"loss": torch.zeros(1, requires_grad=True)}), Progress(np.int64(5), {"loss": 3})),  # type: ignore
        {"fit": lambda self, train: [Progress(1, {})]},
        {"RESOURCES": Resources(cpu=100_000)},
    ],
)
def test_unusual_but_valid_results_are_accepted(trial: Trial, change: Change) -> None:
    search, record = trial(change)
    assert record is not None
    assert (record.status, record.error, search.error) == ("complete", "", "")


def test_the_traceback_of_an_exit_is_stored_and_its_line_is_named(trial: Trial) -> None:
    _, record = trial(raising(SystemExit(3)))
    assert record is not None
    assert "test_hostile_detectors.py" in record.extra["traceback"]
    assert f"{Path(__file__).name}:" in record.error


@pytest.mark.parametrize("error", [ValueError("x" * 40_000_000), AsdRayError("x" * 40_000_000)])
def test_long_exceptions_are_shortened_in_the_record(trial: Trial, error: Exception) -> None:
    _, record = trial(raising(error))
    assert record is not None
    assert record.status == "failed"
    assert len(record.error) < 5_000
    assert 10_000 < len(record.extra["traceback"]) < 21_000
    assert record.extra["traceback"].startswith("Traceback (most recent call last)")


def test_a_failure_that_the_ledger_refuses_is_stored_without_the_odd_fields(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Ledger.commit

    def refuses(self: Ledger, record: TrialRecord, table: Any = None, **how: Any) -> bool:
        if record.number == 1 and record.params:
            raise AsdRayError("it is odd")
        return commit(self, record, table, **how)

    monkeypatch.setattr(Ledger, "commit", refuses)
    search = bench.search(bench.study(3, epochs=2))
    assert (search.error, search.ended) == ("", 3)
    assert [record.status for record in bench.records] == ["complete", "failed", "complete"]
    assert (bench.records[1].params, bench.records[1].extra) == ({}, {})
    assert bench.records[1].error == "it is odd (it is odd)"


def test_ctrl_c_that_a_detector_raises_stays_ctrl_c(trial: Trial, bench: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        trial(raising(KeyboardInterrupt()))
    assert bench.records == []


# -- what the ledger cannot hold ---------------------------------------------------------------------------------------


def test_scores_that_the_ledger_refuses_fail_the_trial_and_the_search_goes_on(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else a record or scores may be that the ledger's own rules refuse."""
    commit, calls = Ledger.commit, []

    def refuses_one(self: Ledger, record: TrialRecord, table: Any = None, **how: Any) -> bool:
        calls.append(record.status)
        if len(calls) == 2:
            raise ValueError("row 3 is no row")
        return commit(self, record, table, **how)

    monkeypatch.setattr(Ledger, "commit", refuses_one)
    search = bench.search(bench.study(3, epochs=2))
    assert (search.error, search.ended) == ("", 3)
    assert [record.status for record in bench.records] == ["complete", "failed", "complete"]
    assert "ValueError: row 3 is no row" in bench.records[1].error
    assert bench.records[1].objective is None


@pytest.mark.parametrize("error", [StorageError("the disk is full"), StorageError("S3 is away")])
def test_only_a_storage_error_ends_the_command(
    bench: Any, monkeypatch: pytest.MonkeyPatch, error: StorageError
) -> None:
    def refuses(*what: Any, **how: Any) -> bool:
        raise error

    monkeypatch.setattr(Ledger, "commit", refuses)
    search = bench.search(bench.study(3))
    assert (search.error, search.stopping, search.ended) == (str(error), "a trial could not be stored", 0)


# -- a study whose trials all failed -----------------------------------------------------------------------------------


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
            f"from {__name__} import Good\nPAPER = {{}}\nx = 1.0\n\n\ndef space(trial):\n    return {{}}\n\n\n"
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
