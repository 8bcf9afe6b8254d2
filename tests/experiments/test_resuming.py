"""A table whose run ended early, by Ctrl-C or with failed trials: the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_ray import Run
from asd_ray.__main__ import main
from asd_ray.detectors.families.idnn import IDNN

LONGEST = 300.0  # seconds after which a process that hangs is ended
DRIVER = """
import sys, time
from pathlib import Path
from asd_ray.__main__ import main
from asd_ray.detectors.families.idnn import IDNN

notes, fit, fits = Path(sys.argv[1]), IDNN.fit, []


def waits(self, train):
    '''The second training waits until it may go on.'''
    fits.append(self)
    if len(fits) == 2:
        (notes / "second").touch()
        while not (notes / "go").exists():
            time.sleep(0.02)
    yield from fit(self, train)


IDNN.fit = waits
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def words(folder: Path, tmp_path: Path) -> list[str]:
    options = ["--data", str(folder), "--run", str(tmp_path / "run"), "--epochs-cap", "1", "--serial"]
    return ["paper", "liu2022", "--table", "2", "--row", "IDNN", *options]


@pytest.fixture
def interrupted(words: list[str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command at work on two seeds; its second training waits for the file ``go``."""
    command = [sys.executable, "-u", "-c", DRIVER, str(tmp_path), *words, "--seeds", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ended = threading.Timer(LONGEST, process.kill)
    ended.start()
    try:
        yield process
    finally:
        ended.cancel()
        process.kill()
        process.wait()


def seeds_of(tmp_path: Path) -> list[tuple[str, int, str]]:
    return sorted((each.machine, each.seed, each.status) for each in Run(tmp_path / "run").records())


def test_ctrl_c_finishes_the_trial_that_runs_and_the_same_command_goes_on(
    interrupted: subprocess.Popen[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interrupted.stdout is not None
    while not (tmp_path / "second").exists():
        assert interrupted.poll() is None, interrupted.stdout.read()
        time.sleep(0.05)
    assert len(seeds_of(tmp_path)) == 1, "one trial is stored, and the second one waits"
    os.kill(interrupted.pid, signal.SIGINT)
    said = next(line for line in interrupted.stdout if "Ctrl-C again to stop now" in line)  # the signal was handled
    assert "1 running trial will be finished" in said
    (tmp_path / "go").touch()
    rest, _ = interrupted.communicate()
    assert interrupted.returncode == 130, rest
    assert "what differs from the paper" not in rest, "no table is printed of half a run"
    first = seeds_of(tmp_path)
    assert first == [("fan", 0, "complete"), ("valve", 0, "complete")]

    assert main([*words, "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert "0 trials run now, 2 in all" in out
    assert "2 trials run now, 2 in all" in out
    assert "spread, 2 seeds" in out
    assert seeds_of(tmp_path) == sorted([*first, ("fan", 1, "complete"), ("valve", 1, "complete")])


def test_a_failed_trial_runs_again_when_it_is_asked_for(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(IDNN, "fit", _fails)
        assert main(words) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "failed: IDNN on fan, seed 0: trial fan-idnn-0000 did not end well: ValueError: no such sound" in out
    assert "--retry-failed runs it again" in out
    assert seeds_of(tmp_path) == [("fan", 0, "failed"), ("valve", 0, "failed")]

    assert main(words) == 1
    assert "did not end well" in capsys.readouterr().out
    assert seeds_of(tmp_path) == [("fan", 0, "failed"), ("valve", 0, "failed")]

    assert main([*words, "--retry-failed"]) == 0
    out = capsys.readouterr().out
    assert "did not end well" not in out
    assert "what differs from the paper" in out
    assert seeds_of(tmp_path) == [("fan", 0, "complete"), ("valve", 0, "complete")]
    stored = Run(tmp_path / "run").records()
    assert main([*words, "--retry-failed"]) == 0
    assert Run(tmp_path / "run").records() == stored, "nothing is left to run again"


def _fails(self: IDNN, train: object) -> Iterator[object]:
    raise ValueError("no such sound")
