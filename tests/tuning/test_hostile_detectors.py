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
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.study import Study

from .good_detector import Good

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


def test_a_worker_that_ray_ends_stores_no_failure(trial: Trial, bench: Any) -> None:
    """Ray raises SystemExit in whatever runs when a worker has to go. The trial can run elsewhere, or later."""
    ended = SystemExit(0)
    ended.ray_terminate_msg = "The process receives a SIGTERM."  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        trial(raising(ended))
    assert bench.records == []


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
