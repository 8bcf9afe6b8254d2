"""Faults of the computer while a trial runs: they give the trial back, and are never stored as its failure."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from asd_ray.detectors import FAMILIES
from asd_ray.errors import AsdRayError, StorageError
from asd_ray.ledger import Ledger, RunLayout
from asd_ray.ledger.trial_file import FileError, _cannot_read
from asd_ray.search import main
from asd_ray.storage.open_files import open_files
from asd_ray.tuning import faults
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.events import Outcome
from asd_ray.tuning.search import ATTEMPTS, Search

from ..hostile import Unlucky, Verbs

pytestmark = pytest.mark.usefixtures("elsewhere")


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


FAULTS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError(errno.EROFS, "Read-only file system"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ESTALE, "Stale file handle"),
    ModuleNotFoundError("No module named 'faiss'", name="faiss"),
    ImportError("libcudart.so.12: cannot open shared object file", name="torch._C"),
    ImportError("please install faiss"),
    StorageError("S3 is away"),
    caused(ValueError("no backend"), ModuleNotFoundError("No module named 'faiss'", name="faiss")),
    caused(AsdRayError("cannot be kept"), OSError(errno.ENOSPC, "No space left on device")),
]


@pytest.mark.parametrize("method", ["fit", "score"])
@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_a_fault_of_the_node_is_not_stored_and_stops_the_search(
    bench: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(f"families_for_tests.Tiny.{method}", Unlucky(error))
        search = bench.search(bench.study(3))
    assert bench.records == []
    assert (search.stopping, search.ended, search.over) == ("no node can run the trials", 0, True)
    assert "fan-tiny-0000 was not stored: " in search.error
    assert str(error) in search.error
    if method == "fit" and error is FAULTS[0]:  # what was given back runs with the same command
        assert bench.search(bench.study(3)).ended == 3
        assert [record.number for record in bench.records] == [0, 1, 2]


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/weights.pt"),
        FileNotFoundError(errno.ENOENT, "No such file", "/weights.pt"),
        OSError("pyarrow says so"),
        ImportError("cannot import name 'x'", name="families_for_tests"),
        ModuleNotFoundError("No module named 'families_for_tests.more'", name="families_for_tests.more"),
    ],
    ids=repr,
)
def test_what_a_users_own_code_cannot_open_is_its_trials_failure(
    bench: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("families_for_tests.Tiny.fit", Unlucky(error))
    search = bench.search(bench.study(1))
    assert [record.status for record in bench.records] == ["failed"]
    assert (search.error, search.ended) == ("", 1)


def test_what_a_shipped_detector_cannot_open_is_the_nodes_fault(
    verbs: Verbs, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/x")
    monkeypatch.setattr("asd_ray.detectors.families.twfr_gmm.TwfrGmm.fit", Unlucky(error))
    words = ("fan-twfr_gmm-0000 was not stored", "Permission denied: '/x'", "all 0 stored trials are kept; fix that")
    answer = verbs.refused(*options, words=words)
    assert answer.err.count("Permission denied") == 2  # the message, and the line of the search's end
    assert Ledger("r").records() == []


@pytest.mark.parametrize("where", ["trial", "features"])
@pytest.mark.parametrize(
    "error", [ValueError("a torn bank"), OSError(errno.ENOENT, "gone"), MemoryError(), AsdRayError("x")]
)
def test_data_that_a_trial_cannot_open_is_the_nodes_fault(
    bench: Any, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    unlucky: Any = Unlucky(error) if where == "trial" else property(Unlucky(error))
    monkeypatch.setattr(DataSource, where, unlucky)
    search = bench.search(bench.study(2))
    assert bench.records == []
    assert "fan-tiny-0000 was not stored" in search.error


def test_a_class_that_a_worker_cannot_import_is_the_nodes_fault(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study = bench.study(2)
    monkeypatch.setitem(sys.modules, "families_for_tests", None)  # type: ignore[arg-type]
    search = bench.search(study)
    assert bench.records == []
    assert "families_for_tests" in search.error


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (ModuleNotFoundError("No module named 'faiss'", name="faiss"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (StorageError("S3 is away"), False),
    ],
    ids=repr,
)
def test_a_fault_of_one_family_leaves_the_others_their_trials(
    verbs: Verbs,
    small_machine: DataSource,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    goes_on: bool,
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr("families_for_tests.Tiny.fit", Unlucky(error))
    families = "families_for_tests:Tiny,twfr_gmm"
    options = ("search", "fan", "--data", small_machine.table.root, "--families", families, "--trials", 2)
    answer = verbs.refused(*options, "--serial", "--run", "r", words=("fan-tiny-0000 was not stored: ", str(error)))
    assert "fault of the computer, not of the trial" in answer.err
    found = [(record.family, record.status) for record in Ledger("r").records()]
    assert found == ([("twfr_gmm", "complete")] * 2 if goes_on else [])


@pytest.mark.parametrize(
    ("words", "of_the_node"),
    [
        ("CUDA error: all CUDA-capable devices are busy or unavailable", True),
        ("can't start new thread", True),
        ("unable to open shared memory object </torch_1> in read-write mode: Too many open files (24)", True),
        ("CUDA error: device-side assert triggered", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_torch_says_of_the_node_is_the_nodes_fault_for_shipped_detectors(words: str, of_the_node: bool) -> None:
    assert faults.is_node_fault(RuntimeError(words), FAMILIES["idnn"]) == of_the_node
    assert not faults.is_node_fault(RuntimeError(words), "own_detector:Mine")


def test_a_read_that_s3_does_not_answer_is_a_fault_of_the_store_and_no_smaller_ledger() -> None:
    error = _cannot_read(open_files(RunLayout("s3://b/r")), "s3://b/r/x", OSError("timeout"))
    assert isinstance(error, StorageError)
    assert not isinstance(error, FileError)


def at_fault() -> Outcome:
    record: Any = None
    return Outcome(record, node_fault="node7 cannot run it: its disk is full")


def test_a_trial_that_no_node_can_run_is_never_stored_as_failed(bench: Any) -> None:
    search = Search([bench.study(2)], bench.source, bench.ledger, other_nodes=True)
    for n in range(ATTEMPTS):
        assert search.error == ""
        run = search.next()
        assert run is not None
        assert run.spec.number == 0 or n == 0
        search.finished(run, at_fault())
    assert search.over
    assert bench.records == []
    assert "its disk is full" in search.error


def test_trials_that_run_when_a_node_is_at_fault_are_finished_and_stored(bench: Any) -> None:
    search = Search([bench.study(3)], bench.source, bench.ledger)
    one, two = search.next(), search.next()
    assert one is not None
    assert two is not None
    search.finished(one, at_fault())
    assert search.next() is None
    search.pruned(two)
    assert search.over
    assert [record.number for record in bench.records] == [1]


def test_a_read_only_cache_costs_time_and_no_trial(
    verbs: Verbs, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*what: Any, **how: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    assert main([*map(str, options[1:-1]), "first"]) == 0
    for path in (tmp_path / "cache" / "features").glob("*.feat"):
        path.unlink()
    monkeypatch.setattr(os, "posix_fallocate", read_only)
    assert verbs(*options).status == 0
    assert [record.status for record in Ledger("r").records()] == ["complete"]
