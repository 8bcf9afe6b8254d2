"""docs/tutorials: the commands of each page run in order, as they stand but on less sound and with fewer trials.

A block marked `bash` is run; what needs a cluster, a microphone or an evaluation set is in plain blocks.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.__main__ import main

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*.md"))
SERIAL = ["--serial", "--trials", "2", "--epochs-cap", "1"]  # the last of an option counts
ADDED = {
    "search": SERIAL,
    "data demo": ["--size", "tiny", "--seconds", "2"],
    "ensemble": ["--folds", "2", "--repeats", "1"],
    "explain": ["--bands", "4"],
    "bundle": ["--serial"],
}
ELSEWHERE = {"conformance", "onnx"}  # run by tests/test_docs.py on the same file, and by tests/deploy/onnx


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page.read_text())


def lines(page: Path) -> list[str]:
    return [line for block in blocks(page, "bash") for line in block.splitlines() if line]


def words(line: str) -> list[str]:
    """The arguments of `asd-ray` as a shell gives them, with what makes a command short."""
    own = [name for word in shlex.split(line)[1:] for name in (sorted(glob.glob(word)) or [word])]
    for verb, options in ADDED.items():
        if " ".join(own).startswith(verb):
            own += options
    if own[0] == "search":
        own += [] if any(":" in word for word in own) else ["--families", "twfr_gmm"]
        own += [] if "--data" in own else ["--data", "demo"]
        # With so few trials every state would be kept. A page whose bundle takes states must ask for all of them.
        own += [] if "--keep-states" in own else ["--keep-states", "none"]
    return own


def run(line: str) -> None:
    """Run one line; an error fails the test."""
    line, _, standard_input = line.partition(" < ")
    if not line.startswith("asd-ray"):
        subprocess.run(["bash", "-c", line], check=True)
    elif standard_input:  # a watch reads file descriptor 0
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(standard_input, "rb") as sound:
            subprocess.run([sys.executable, "-m", "asd_ray", *words(line)], stdin=sound, check=True, env=env)
    else:
        assert main(words(line)) == 0, line


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo set that a search without --data uses."""
    made = tmp_path_factory.mktemp("made") / "demo"
    run(f"asd-ray data demo {made} --machine fan")
    return made


@pytest.fixture
def folder(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing but this demo set."""
    monkeypatch.setenv("ASD_RAY_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    shutil.copytree(demo, work / "demo")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    return work


def put_files(page: Path, folder: Path) -> None:
    """The files that a page tells its reader to save."""
    text = page.read_text()
    for name in re.findall(r"[Ss]ave (?:this|it|the example of \[[^]]*\]\([^)]*\)) as `([^`]+)`", text):
        source = ROOT / "docs" / "own-detector.md" if name == "nearest.py" else page
        language = {".py": "python", ".toml": "toml"}[Path(name).suffix]
        (folder / name).write_text(blocks(source, language)[0])


def printed_by(script: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(script, {})
    return printed.getvalue()


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_run_in_order(page: Path, folder: Path) -> None:
    put_files(page, folder)
    for line in lines(page):
        if shlex.split(line)[1] not in ELSEWHERE:
            run(line)
    if page.stem == "own-criterion":
        header, *rows = printed_by(blocks(page, "python")[1]).splitlines()
        assert header.split() == ["name", "variant", "compact", "injected_faults"]
        assert len(rows) >= 2


def test_the_tutorials_have_commands_to_run() -> None:
    assert {page.stem: len(lines(page)) > 0 for page in TUTORIALS} == {
        "cluster": False,  # tests/cluster runs a cluster
        **dict.fromkeys(["dcase", "deployment", "first-search", "own-criterion", "own-detector"], True),
        **dict.fromkeys(["own-recordings", "watching"], True),
    }
