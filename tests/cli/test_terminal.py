"""What verbs print on a terminal of 80 columns fits, and of 60 columns as well no number, word or path is broken."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from importlib.util import find_spec
from pathlib import Path

import pytest

from asd_ray.ledger import Ledger
from tests.reporting.conftest import choose, fill
from tests.tables import rows_below
from tests.truth_2020 import write_truth

READING = ("data check", "status", "ledger ls", "ledger show", "ledger verify", "evaluate", "paper", "report --compare")
MARK = "\x07"  # a bell: no verb rings it
# One process for all verbs: starting one takes seconds.
CHILD = """
import shlex, sys
from asd_ray.__main__ import main
for line in sys.stdin.read().splitlines():
    print(f"\\x07{line}", flush=True)
    print(f"\\x07{main(shlex.split(line))}", flush=True)
"""
RECIPES = "--recipe best_single --recipe label_free --folds 2 --repeats 1"
CLIP = "demo/dev_data/fan/test/section_00_source_test_anomaly_0000_vel_2_loc_A.wav"
VERBS = [
    "data demo demo --size tiny --machine fan",
    "data check demo",
    "data bank demo --cache cache",
    "search fan --data demo --run found --families twfr_gmm --trials 1 --serial --cache cache",
    "status found",
    f"ensemble fan --run found {RECIPES}",
    "report --run found",
    "bundle fan --run found",
    "score fan.bundle demo/dev_data/fan/test",
    f"explain fan.bundle {CLIP} --bands 4",
    "onnx fan.bundle",
    "submission write found files",
    "submission check files --year 2022 --run found",
    "status run",
    "ledger ls run",
    "ledger ls run --wide",
    "ledger show run ToyConveyor-stgram-0000",
    "ledger verify run",
    f"ensemble --run run {RECIPES}",
    f"ensemble fan --run run {RECIPES} --wide",
    "ledger export run scores.csv",
    "ledger import imported scores.csv",
    "ledger ls imported",
    "ledger forget imported fan-knn-0000 --dry-run",
    "ledger forget imported fan-knn-0000",
    "ledger compact imported",
    *(["ledger mlflow imported sqlite:///tracked.db"] if find_spec("mlflow") else []),
    "verify run",
    "report --compare run found",
    "evaluate --year 2020 --truth truth --submission system --scores-only",
    "paper --list",
    "paper liu2022",
    "conformance twfr_gmm",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with ensembles, and a ground truth with one system's scores."""
    folder = tmp_path_factory.mktemp("terminal")
    for machine in ("fan", "ToyConveyor"):
        fill(Ledger(folder / "run"), machine, trials=8)
    choose(folder / "run", "best_single")
    write_truth(folder)
    return folder


@pytest.fixture(scope="module")
def on_80(folder: Path) -> dict[str, str]:
    """What each verb prints on a terminal of 80 columns."""
    return on_terminal(80, VERBS, folder)


@pytest.fixture(scope="module")
def on_60(folder: Path, on_80: dict[str, str]) -> dict[str, str]:
    """The same on 60 columns, of the verbs that only read."""
    return on_terminal(60, [verb for verb in VERBS if verb.startswith(READING)], folder)


def on_terminal(width: int, verbs: list[str], folder: Path) -> dict[str, str]:
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(folder), "TERM": "xterm"}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=end,
        stderr=end,
        cwd=folder,
        env=environment,
        text=True,
    )
    os.close(end)
    assert child.stdin is not None
    child.stdin.write("\n".join(verbs))
    child.stdin.close()
    output = bytearray()
    try:
        while part := os.read(terminal, 1 << 16):
            output += part
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode()).replace("\r\n", "\n")
    assert child.wait() == 0, text
    _, *parts = text.split(MARK)
    answers: dict[str, str] = {}
    for verb, status in zip(parts[::2], parts[1::2], strict=True):
        name, _, answer = verb.partition("\n")
        assert status.strip() == "0", f"{name}: {answer}"
        answers[name] = answer
    return answers


def lines_of(answer: str) -> list[str]:
    """All lines that were shown, those of live displays as well."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", answer) if line.strip()]


def may_be_long(line: str) -> bool:
    """Whether a line holds a command or a path to copy, which are never broken."""
    return "asd-ray " in line or "/" in line or ".wav" in line


def test_no_line_is_longer_than_the_terminal_is_wide(on_80: dict[str, str]) -> None:
    assert list(on_80) == VERBS
    too_long = [
        f"{verb}: {line}"
        for verb, answer in on_80.items()
        for line in lines_of(answer)
        if "--wide" not in verb and len(line) > 80 and not may_be_long(line)
    ]
    assert not too_long, "\n".join(too_long)


def test_no_number_and_no_word_is_cut(on_80: dict[str, str], on_60: dict[str, str]) -> None:
    answers = [*on_80.values(), *on_60.values()]
    cut = [line for answer in answers for line in lines_of(answer) if re.search(r"\S…", line)]
    assert not cut, "\n".join(cut)


def test_every_objective_is_whole(on_80: dict[str, str], on_60: dict[str, str], folder: Path) -> None:
    records = Ledger(folder / "run").records()
    objectives = {f"{record.objective:.4f}" for record in records if record.objective is not None}
    assert len(objectives) > 10
    for answers in (on_80, on_60):
        assert objectives <= set(answers["ledger ls run"].split())
    rows = rows_below(on_60["ledger ls run --wide"], "machine")
    assert [row[1] for row in rows] == [record.name for record in records], "one line per row"


def test_compared_runs_have_short_names_and_whole_words(on_80: dict[str, str], on_60: dict[str, str]) -> None:
    for answers in (on_80, on_60):
        rows = [line.split() for line in lines_of(answers["report --compare run found"])]
        rows = [row for row in rows if row[-1] in ("high", "medium", "low")]
        assert sorted(row[0] for row in rows) == ["found", "run", "run"]
        assert all(row[-2] in ("nested", "crossval", "label_free") for row in rows)


def test_paths_are_not_broken(on_80: dict[str, str], folder: Path) -> None:
    assert f"{folder}/run/ensembles/ToyConveyor/final.json" in on_80[f"ensemble --run run {RECIPES}"]
    assert f"{folder}/found/report/report.html" in on_80["report --run found"]
    assert f"{folder}/files\n" in on_80["submission write found files"]
    layout = Ledger(folder / "imported").layout
    assert layout.url(layout.set_aside) in on_80["ledger forget imported fan-knn-0000"]
    assert f"  picture: {Path(CLIP).stem}.explain.png\n" in on_80[f"explain fan.bundle {CLIP} --bands 4"]


def test_a_search_shows_a_bar_its_studies_and_its_trials(on_80: dict[str, str]) -> None:
    [answer] = [answer for verb, answer in on_80.items() if verb.startswith("search ")]
    assert " 0/1 trials, " in answer
    assert " 1/1 trials, " in answer
    assert rows_below(answer, "#")[0][1] == "fan-twfr_gmm-0000"


def test_the_choice_of_an_ensemble_and_the_report_show_a_bar(on_80: dict[str, str]) -> None:
    assert re.search(r"choosing recipes .* \d+/6 ", on_80[f"ensemble --run run {RECIPES}"])
    assert "measuring machines" in on_80["report --run found"]


PIPED = """
from asd_ray._progress import progress_bar
from asd_ray._terminal import say
with progress_bar("scoring") as progress:
    progress(1, 2)
    say("a row for a program")
"""


def test_piped_output_does_not_go_to_the_bar_of_a_terminal(tmp_path: Path) -> None:
    terminal, end = os.openpty()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", PIPED], stdout=subprocess.PIPE, stderr=end, env=environment, check=True, text=True
    )
    os.close(end)
    assert done.stdout == "a row for a program\n"
    assert b"scoring clips" in os.read(terminal, 1 << 16)
    os.close(terminal)
