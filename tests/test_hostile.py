"""Every path, name and number of every command, given as something it is not: one property holds for all of them."""

from __future__ import annotations

import contextlib
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asd_ray.ledger import Ledger

from .cli.ensemble.conftest import make_run
from .deploy.conftest import SmallRun, small
from .hostile import Verbs, bounded

__all__ = ["small"]  # a fixture
TEXTS = {  # what stands for {x}
    "empty": "",
    "blank": " ",
    "dots": "..",
    "markup": "[/x]",
    "half_a_tag": "[",
    "undecodable": "\udcff",
    "escape": "\x1b[2Jx",
    "long": "a" * 300,
    "bare_s3": "s3://",
    "no_bucket": "s3:///x",
    "http": "http://127.0.0.1:9/x",
    "absent": "no/such/thing",
    "null_device": "/dev/null",
    "process": "/proc/self/mem",
    "a_file": "FILE",
    "a_folder": "FOLDER",
    "a_fifo": "FIFO",
    "a_loop": "LOOP",
    "minus": "-1",
    "zero": "0",
    "nan": "nan",
    "infinite": "inf",
    "huge": "9" * 30,
    "beyond_float": "1e400",
    "formula": "=1+1",
}
SEARCH = "search fan --data DATA --run NEW --families twfr_gmm --trials 1 --serial"
OPTIONS = {  # a command that works -> options that are given {x}
    "data check DATA": "layout labels machine split-seed rate channel workers cache table",
    "data bank DATA": "layout labels machine rate channel",
    "data demo NEW --size tiny --machine fan": "size machine seconds seed",
    SEARCH: "data run families space trials time seed rate epochs-cap held-out cpus-per-trial memory-per-trial "
    "checkpoint log-level layout labels channel cache",
    "ensemble fan --run RUN": "run recipe maximise by folds repeats seed threshold percentile missing verify",
    "report --run RUN": "run out submission optuna-db",
    "report --check-submission FOLDER": "year",
    "submission check FOLDER --year 2023": "year run",
    "submission write RUN NEW": "year",
    "ledger ls RUN": "machine family status sort limit",
    "ledger show RUN fan-idnn-0000": "machine",
    "ledger export RUN NEW.csv": "machine family status split",
    "ledger mlflow RUN NEW": "machine family status",
    "ledger import NEW FOLDER": "year",
    "ledger import NEW FOLDER --year 2023": "truth",
    "ledger compact RUN": "trials",
    "ledger forget RUN --dry-run": "machine family",
    "evaluate --truth FOLDER --submission FOLDER": "year",
    "evaluate --year 2023 --submission FOLDER": "truth",
    "evaluate --year 2023 --truth FOLDER": "submission",
    "search": "status",
    "score BUNDLE CLIP": "threshold false-alarms device id layout",
    "bundle fan --run RUN --out NEW": "run out recipe data address layout labels split-seed rate channel cache",
}
PLACES = [
    *("{x}", "data {x}", "data check {x}", "data bank {x}", "data demo {x} --size tiny --machine fan --seconds 0.2"),
    SEARCH.replace("fan", "{x}"),
    *("ensemble {x} --run RUN", "report --check-submission {x} --year 2023"),
    *(
        f"ledger {verb} {{x}}"
        for verb in ("ls", "verify", "compact", "forget", "show {x}", "export {x}", "import {x}", "mlflow {x} NEW")
    ),
    *("status {x}", "verify {x}", "submission write {x} NEW", "submission write RUN {x}"),
    "submission check {x} --year 2023",
    *("score {x} CLIP", "score BUNDLE {x}", "score BUNDLE CLIP {x}", "bundle {x} --run RUN --out NEW"),
    *("explain {x} CLIP", "explain BUNDLE {x}", "onnx {x} --out NEW", "serve {x}", "watch {x} FOLDER"),
    *("ledger show RUN {x}", "ledger export RUN {x}", "ledger import NEW {x}", "ledger forget RUN {x}"),
]
COMMANDS = PLACES + [f"{base} --{option} {{x}}" for base, options in OPTIONS.items() for option in options.split()]
ALLOWED = {(f"{SEARCH} --trials {{x}}", "huge")}  # it would run so many


def test_how_much_is_tried() -> None:
    assert len(COMMANDS) * len(TEXTS) > 1_500


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_is_given_ends_with_a_status_and_no_traceback(
    command: str,
    verbs: Verbs,
    tmp_path: Path,
    dataset: Callable[..., Path],
    small: SmallRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "run")
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    places = {"DATA": dataset(4), "RUN": run, "FILE": "file", "FOLDER": "folder", "FIFO": "fifo", "LOOP": "loop"}
    places |= {"BUNDLE": small.folder, "CLIP": small.clips[0]}
    wrong = []
    for name, text in TEXTS.items():
        if (command, name) in ALLOWED:
            continue
        new = {"NEW": tmp_path / f"new_{name}", "NEW.csv": tmp_path / f"new_{name}.csv"}
        known = {key: str(value) for key, value in {**places, **new}.items()}
        argv = [known.get(text, text) if word == "{x}" else known.get(word, word) for word in command.split()]
        try:
            with the_same_trials(run), bounded(30), nobody_waits_for(tmp_path / "fifo"):
                answer = verbs(*argv)
            if answer.status == 2:
                assert 0 < len(answer.err.strip().splitlines()) <= 40, answer
        except Exception as error:
            wrong.append(f"{argv}: {type(error).__name__}: {str(error)[:300]} ({where(error)})")
    assert not wrong, "\n".join(wrong)


@contextmanager
def the_same_trials(run: Path) -> Iterator[None]:
    """What is stored can be read as before; `compact` may have moved it into other files."""
    before = scores_of(run)
    yield
    assert scores_of(run) == before


def scores_of(run: Path) -> dict[str, str]:
    ledger = Ledger(run)
    return {record.to_json(): ledger.scores(record).to_csv() for record in ledger.records()}


@contextmanager
def nobody_waits_for(fifo: Path, seconds: float = 20.0) -> Iterator[None]:
    """A command that opened the FIFO is let go after `seconds`, and counts as hung."""
    hung = []

    def let_go() -> None:
        with contextlib.suppress(OSError):  # nobody reads it
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
            hung.append(fifo)

    timer = threading.Timer(seconds, let_go)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    assert not hung, "it waited for a FIFO that nobody writes to"


def where(error: BaseException) -> str:
    """The line of ours that raised."""
    lines = [each for each in traceback.extract_tb(error.__traceback__) if "/asd_ray/" in each.filename]
    return f"{Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else ""
