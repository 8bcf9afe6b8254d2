"""Where files go: nothing foreign is replaced, and a message names the option of the path that failed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asd_ray.clips.demo import make_demo
from asd_ray.ensemble import main as ensemble
from tests.cli.ensemble.conftest import make_run
from tests.hostile import Verbs, bounded, unharmed


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("stored") / "run", objective=0.6, variant="mse")
    assert ensemble(["--run", str(run), "--recipe", "best_single", "--folds", "2", "--repeats", "1"]) == 0
    return run


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("data") / "demo", size="tiny", machines=["fan"], seconds=1.0)


@pytest.fixture
def place(tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, a file, folders of somebody else's files, and links."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(stored, "run")
    Path("file").write_text("mine")
    for folder, name in (("page", "report.html"), ("table", "summary.csv"), ("facts", "report.json"), ("sub", "x.txt")):
        Path(folder).mkdir()
        (Path(folder) / name).write_text("<html>mine</html>")
    Path("fifo").mkdir()
    os.mkfifo("fifo/report.html")
    Path("folder.csv").mkdir()
    os.symlink("page", "link")
    os.symlink("gone", "dangling")
    return tmp_path


RUN, OUT, CACHE = "name another run (--run RUN", "name another folder with --out", "--cache DIR or $ASD_RAY_CACHE"
DB, TABLE = "name another file with --optuna-db", "name another file as TABLE"
MLFLOW = "name another file, such as mlflow.db"
SEARCH = ("search", "fan", "--serial", "--trials", "1", "--epochs-cap", "1", "--families", "autoencoder")
CASES: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((*SEARCH, "--run", "file"), ("file", "is a file", RUN)),
    ((*SEARCH, "--run", "file/run"), ("file is a file", RUN)),
    ((*SEARCH, "--run", "dangling"), ("link to something that does not exist", RUN)),
    ((*SEARCH, "--cache", "file"), ("file: not a folder", CACHE)),
    ((*SEARCH, "--cache", "/proc/none"), ("/proc/none", CACHE)),
    ((*SEARCH, "--run", "gs:/bucket"), ("gs:/bucket", "gs:// is not read")),
    (("ledger", "export", "run", "gs://bucket/x.csv"), ("gs:/bucket/x.csv", "on a local disk")),
    (("report", "--run", "run", "--out", "gs:/bucket/x"), ("gs:/bucket/x", "s3://bucket/folder", OUT)),
    (("search", "--status", "file"), ("is a file", RUN)),
    (("ledger", "ls", "file"), ("is a file", "RUN of asd-ray ledger")),
    (("ledger", "compact", "file/x"), ("is a file", "RUN of asd-ray ledger")),
    (("ledger", "import", "file", "x.csv"), ("is a file", "RUN of asd-ray ledger")),
    (("ensemble", "--run", "file"), ("is a file", RUN)),
    (("report", "--run", "file"), ("is a file", RUN)),
    (("ledger", "show", "run", "nothing"), ("no trial is named 'nothing'", "asd-ray ledger ls run")),
    (("ensemble", "pump", "--run", "run"), ("unknown machine 'pump'", "known: fan")),
    (("report", "--run", "run", "--out", "file"), ("--out file", "is a file", OUT)),
    (("report", "--run", "run", "--out", "file/x"), ("file is a file", OUT)),
    (("report", "--run", "run", "--out", "/proc/none"), ("/proc/none/report.html", OUT)),
    (("report", "--run", "run", "--out", "dangling"), ("link to something that does not exist", OUT)),
    (("report", "--run", "run", "--out", "gs://bucket/x"), ("gs://bucket/x", "s3://bucket/folder", OUT)),
    (("report", "--run", "run", "--out", ""), ("--out is empty", "leave it out")),
    (("report", "--run", "run", "--out", "run/ledger"), ("keeps for its own files", OUT)),
    (("report", "--run", "run", "--out", "run/ledger/machine=fan/x"), ("keeps for its own files", OUT)),
    (("report", "--run", "run", "--out", "run/ensembles/fan"), ("keeps for its own files", OUT)),
    (("report", "--run", "run", "--out", "page"), ("page/report.html", "not written by asd-ray report", OUT)),
    (("report", "--run", "run", "--out", "link"), ("link/report.html", "not written by asd-ray report", OUT)),
    (("report", "--run", "run", "--out", "table"), ("table/summary.csv", "not written by asd-ray report", OUT)),
    (("report", "--run", "run", "--out", "facts"), ("facts/report.json", "not written by asd-ray report", OUT)),
    (("report", "--run", "run", "--out", "fifo"), ("fifo/report.html", "not written by asd-ray report", OUT)),
    (("report", "--run", "run", "--optuna-db", ""), ("--optuna-db is empty",)),
    (("report", "--run", "run", "--submission", ""), ("--submission is empty",)),
    (("report", "--run", "run", "--optuna-db", "file"), ("file exists and is not a study file", DB)),
    (("report", "--run", "run", "--optuna-db", "file/x.db"), ("file is a file", DB)),
    (("report", "--run", "run", "--optuna-db", "sub"), ("sub is not a file", DB)),
    (("report", "--run", "run", "--optuna-db", "/dev/null"), ("/dev/null is not a file", DB)),
    (("report", "--run", "run", "--optuna-db", "/proc/none.db"), ("/proc/none.db", DB)),
    (("report", "--run", "run", "--optuna-db", "run/status/x.db"), ("keeps for its own files", DB)),
    (("report", "--run", "run", "--optuna-db", "s3://bucket/x.db"), ("file on a local disk",)),
    (("report", "--run", "run", "--submission", "run/ledger/x"), ("keeps for its own files", "name another folder")),
    (("report", "--run", "run", "--submission", "s3://bucket/x"), ("a folder on a local disk",)),
    (("ledger", "export", "run", "file/x.csv"), ("file is a file", TABLE)),
    (("ledger", "export", "run", "folder.csv"), ("it is a folder", TABLE)),
    (("ledger", "export", "run", "/proc/none.csv"), ("/proc/none.csv", TABLE)),
    (("ledger", "export", "run", "run/ledger/x.parquet"), ("keeps for its own files", TABLE)),
    (("ledger", "mlflow", "run", "file"), ("file: exists and is not a file of MLflow", MLFLOW)),
    (("ledger", "mlflow", "run", "file/x.db"), ("file is a file", MLFLOW)),
    (("ledger", "mlflow", "run", "/proc/none.db"), ("/proc/none.db", MLFLOW)),
    (("ledger", "mlflow", "run", "run/ledger/x.db"), ("keeps for its own files", MLFLOW)),
    (("ledger", "mlflow", "run", "s3://bucket/x.db"), ("s3://bucket/x.db", "name a file such as mlflow.db")),
    (("data", "demo", "file", "--size", "tiny"), ("file is a file", "choose another folder")),
    (("data", "demo", "/proc/none", "--size", "tiny"), ("/proc/none", "choose another folder")),
    (("evaluate", "--year", "2023", "--truth", "none", "--submission", "sub"), ("none: no such folder", "--truth")),
    (("evaluate", "--year", "2023", "--truth", "file", "--submission", "sub"), ("file is a file", "--truth")),
]


@pytest.mark.parametrize("option", ["--cache", "--labels"])
def test_an_address_of_another_store_makes_no_folder(place: Path, demo: Path, verbs: Verbs, option: str) -> None:
    words = ("gs:/bucket", "must be on a disk of this computer")
    verbs.refused(*SEARCH, "--data", demo, option, "gs://bucket", words=words)
    assert not (place / "gs:").exists()


@pytest.mark.parametrize(("words", "said"), CASES, ids=lambda each: " ".join(each) if "said" not in each else "")
def test_a_place_that_cannot_be_is_refused_with_its_own_cure(
    words: tuple[str, ...], said: tuple[str, ...], place: Path, verbs: Verbs
) -> None:
    with unharmed_but_pipes(place):
        answer = verbs.refused(*words, words=said)
    if CACHE not in said:
        assert "--cache" not in answer.err
    if OUT in said:
        assert "run's folder writable" not in answer.err


@contextmanager
def unharmed_but_pipes(folder: Path) -> Iterator[None]:
    """`unharmed` would wait for a pipe to be written; it looks at files alone."""
    with unharmed(folder):
        yield
    assert (folder / "fifo/report.html").is_fifo()


@pytest.mark.parametrize("words", [("data", "bank", "set", "--cache", "file"), ("data", "check", "set", "--table")])
def test_a_cache_and_a_table_have_their_own_cures(
    words: tuple[str, ...], place: Path, demo: Path, verbs: Verbs
) -> None:
    words = tuple(str(demo) if word == "set" else word for word in words)
    if words[1] == "bank":
        verbs.refused(*words, words=("file is a file", CACHE))
        return
    for table, said in (("folder.csv", "it is a folder"), ("run/ledger/x.csv", "keeps for its own files")):
        verbs.refused(*words, table, "--headers", words=(said, "name another file with --table"))


@pytest.mark.parametrize("earlier", ["this version", "an earlier version", "only the page", "only the facts"])
def test_our_own_report_is_replaced(earlier: str, place: Path, verbs: Verbs) -> None:
    assert verbs("report", "--run", "run", "--out", "out").status == 0
    page = Path("out/report.html")
    if earlier == "an earlier version":  # which had no mark of its generator
        page.write_text("".join(line for line in page.read_text().splitlines(True) if "generator" not in line))
        assert "generator" not in page.read_text()
    for path in Path("out").iterdir():
        if earlier.startswith("only") and path.name != ("report.html" if "page" in earlier else "report.json"):
            path.unlink()
    assert verbs("report", "--run", "run", "--out", "out").status == 0
    assert 'content="asd_ray report"' in page.read_text()


def test_a_foreign_page_in_the_runs_own_report_folder_is_kept(place: Path, verbs: Verbs) -> None:
    Path("run/report").mkdir()
    Path("run/report/report.html").write_text("mine")
    with unharmed(place / "run"):
        verbs.refused("report", "--run", "run", words=("run/report/report.html", OUT))


def test_other_files_beside_a_report_are_left_alone(place: Path, verbs: Verbs) -> None:
    with unharmed(place):
        assert verbs("report", "--run", "run", "--out", "sub").status == 0


# -- full and read-only disks --------------------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As a full disk: no file grows beyond it. Python ignores the signal, so the write fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_under_the_studies_is_one_message_and_the_earlier_ones_stay(place: Path, verbs: Verbs) -> None:
    words = ("report", "--run", "run", "--optuna-db", "studies.db")
    for _ in range(2):  # without and with an earlier file
        with unharmed(place), files_of_at_most(40_000):
            verbs.refused(*words, words=("studies.db: cannot be written", "free some space", DB), lines=1)
        assert not list(place.glob(".studies*"))
        assert verbs(*words).status == 0
    with sqlite3.connect("studies.db") as stored:
        assert stored.execute("SELECT COUNT(*) FROM trials").fetchone() == (4,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report", "--run", "run", "--out", "out"), ("disk full", OUT)),
        (("ledger", "export", "run", "all.csv"), ("all.csv", "disk full", TABLE)),
        (("ledger", "export", "run", "all.parquet"), ("all.parquet", "disk full", TABLE)),
        (("data", "check", "set", "--headers", "--table", "all.csv"), ("disk full", "--table")),
        (("data", "bank", "set", "--cache", "cache"), ("disk full", CACHE)),
    ],
    ids=lambda each: each[0],
)
def test_a_full_disk_leaves_nothing_half_written(
    words: tuple[str, ...], said: tuple[str, ...], place: Path, demo: Path, verbs: Verbs
) -> None:
    words = tuple(str(demo) if word == "set" else word for word in words)
    with unharmed(place), files_of_at_most(2_000):
        verbs.refused(*words, words=said)
    assert not list(place.glob("**/*.tmp"))
    assert not list(place.glob("all.*"))


WITHOUT_RIGHTS = """
    import contextlib, ctypes, io, json, sys
    from asd_ray.__main__ import main

    libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    for at in (0, 1):  # effective and permitted: root, too, is held to the rights of files from here on
        sets[at] &= ~0b110
    assert libc.capset(header, sets) == 0
    answers = []
    for words in json.loads(sys.argv[1]):
        error = io.StringIO()
        with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
            status = main(words)
        answers.append((status, error.getvalue()))
    print(json.dumps(answers))
"""
READ_ONLY: list[tuple[tuple[str, ...], str]] = [
    (("ensemble", "--run", "run", "--recipe", "best_single", "--folds", "2", "--repeats", "1"), RUN),
    (("report", "--run", "run"), OUT),
    (("report", "--run", "run", "--out", "run/out"), OUT),
    (("report", "--run", "run", "--optuna-db", "run/x.db"), DB),
    (("ledger", "export", "run", "run/x.csv"), TABLE),
    (("ledger", "compact", "run"), "RUN of asd-ray ledger"),
    (("ledger", "import", "run", "table.csv"), "RUN of asd-ray ledger"),
    (("search", "fan", "--serial", "--data", "DEMO", "--run", "run/new"), "name another run with --run"),
    (("data", "check", "DEMO", "--headers", "--table", "run/x.csv"), "name another file with --table"),
    (("data", "bank", "DEMO", "--cache", "run/cache"), CACHE),
    (("data", "demo", "run/demo", "--size", "tiny"), "choose another folder"),
]


@pytest.fixture(scope="module")
def read_only(
    tmp_path_factory: pytest.TempPathFactory, stored: Path, demo: Path
) -> Iterator[dict[tuple[str, ...], tuple[int, str]]]:
    """What each command says of a run that may be read alone; one process for all, since it loads a lot."""
    folder = tmp_path_factory.mktemp("read_only")
    shutil.copytree(stored, folder / "run")
    (folder / "table.csv").write_text("system,machine,id,clip,score\nx,fan,00,a.wav,1\n")
    folders = [path for path in (folder / "run", *(folder / "run").rglob("*")) if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    argv = json.dumps([[str(demo) if word == "DEMO" else word for word in words] for words, _ in READ_ONLY])
    environment = {**os.environ, "ASD_RAY_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", textwrap.dedent(WITHOUT_RIGHTS), argv]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    yield dict(zip((words for words, _ in READ_ONLY), json.loads(done.stdout), strict=True))
    for path in folders:
        path.chmod(0o755)


@pytest.mark.parametrize(("words", "said"), READ_ONLY, ids=lambda each: " ".join(each) if type(each) is tuple else "")
def test_a_read_only_place_is_named_with_its_own_cure(
    words: tuple[str, ...], said: str, read_only: dict[tuple[str, ...], tuple[int, str]]
) -> None:
    status, error = read_only[words]
    assert status == 2, error
    assert any(word in error for word in ("Permission denied", "readonly", "unable to open", "not writable")), error
    assert said in error
    assert ("--cache" in error) == (said == CACHE)


# -- a folder of somebody's submission -----------------------------------------------------------------------------

ROWS = st.lists(st.tuples(st.text(max_size=12), st.sampled_from(["0.5", "nan", "1e999", "-1", "x", "", "1_0", "=1"])))
CONTENTS = st.one_of(
    st.binary(max_size=80), ROWS.map(lambda rows: "\n".join(map(",".join, rows)).encode(errors="replace"))
)
FILES = st.sampled_from(
    ["anomaly_score_bandsaw_section_00_test.csv", "decision_result_bandsaw_section_00_test.csv", "x.csv", "\x1b[2J.csv"]
)


@given(given=st.dictionaries(FILES, CONTENTS, max_size=3))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_submission_is_answered(given: dict[str, bytes], tmp_path: Path, verbs: Verbs) -> None:
    folder = tmp_path / "sent"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in given.items():
        (folder / name).write_bytes(content)
    with bounded(), unharmed(folder):
        answer = verbs("report", "--check-submission", folder, "--year", "2023")
        assert answer.status == 2
        assert "\x1b" not in answer.text
        verbs("evaluate", "--year", "2023", "--truth", folder, "--submission", folder)
        verbs("ledger", "import", tmp_path / "run", folder, "--year", "2023")


def test_a_folder_with_other_files_takes_no_submission(place: Path, verbs: Verbs) -> None:
    from asd_ray.errors import AsdRayError
    from asd_ray.reporting.submission import _put

    with unharmed(place), pytest.raises(AsdRayError, match="sub holds files that this submission does not: x.txt"):
        _put(place / "sub", {"anomaly_score_fan_section_00_test.csv": "a,1\n"})


def test_names_that_no_output_encodes_end_no_command(place: Path) -> None:
    """As with LANG=C: the whole process, from its first line."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "C", "LC_ALL": "C"}
    os.rename("run", "rün → …")
    for words in (("ledger", "ls"), ("ledger", "ls", "--json")):
        command = [sys.executable, "-m", "asd_ray", *words[:2], "rün → …", *words[2:]]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        assert b"fan-idnn-0000" in done.stdout
