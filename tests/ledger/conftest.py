"""Clips, records and ledgers small enough to read, and a real S3 protocol on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray.ledger import Ledger, TrialRecord, long_scores, trial_hash

Trial = tuple[TrialRecord, pd.DataFrame]


def make_clips(count: int = 8, split: str = "test", start: int = 0) -> pd.DataFrame:
    rows = range(start, start + count)
    return pd.DataFrame(
        {
            "clip": [f"{'normal' if i % 2 == 0 else 'anomaly'}_id_{i % 2:02d}_{i:08d}.wav" for i in rows],
            "id": [f"{i % 2:02d}" for i in rows],
            "domain": ["source" if i % 3 else "target" for i in rows],
            "split": split,
            "label": ["normal" if i % 2 == 0 or split != "test" else "anomaly" for i in rows],
        }
    )


def make_record(number: int = 0, **changes: object) -> TrialRecord:
    machine, family = str(changes.get("machine", "fan")), str(changes.get("family", "ae"))
    made: dict[str, object] = {
        "trial": trial_hash(family=family, number=number),
        "name": f"{machine}-{family}-{number:04d}",
        "machine": machine,
        "family": family,
        "number": number,
        "params": {"lr": 1e-3 * (number + 1), "norm": "batch", "deep": True},
        "objective": 0.5 + number / 1000,
        "variant": "mse",
        "epochs": 2,
        "intermediate": {1: 0.4, 2: 0.5},
    }
    return TrialRecord(**(made | changes))  # type: ignore[arg-type]


def make_trial(
    number: int = 0, variants: tuple[str, ...] = ("mahala", "mse"), count: int = 8, **changes: object
) -> Trial:
    rng = np.random.default_rng(number)
    clips = pd.concat([make_clips(count), make_clips(4, "train", 100)], ignore_index=True)
    return make_record(number, **changes), long_scores(clips, {name: rng.normal(size=len(clips)) for name in variants})


def kill_at_step(step: int) -> None:
    """This process is killed before it renames or removes a file after `step` times."""
    done = iter(range(step))

    def killed(act: Callable[..., None]) -> Callable[..., None]:
        def one_more(*args: object) -> None:
            if next(done, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            act(*args)

        return one_more

    os.replace, os.unlink = killed(os.replace), killed(os.unlink)


@pytest.fixture
def trial() -> Callable[..., Trial]:
    return make_trial


@pytest.fixture
def record() -> Callable[..., TrialRecord]:
    return make_record


@pytest.fixture
def clips() -> Callable[..., pd.DataFrame]:
    return make_clips


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def ledger(run: Path) -> Ledger:
    return Ledger(run)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Six trials: five complete, one failed."""
    for number in range(5):
        ledger.commit(*make_trial(number))
    ledger.commit(make_record(5, status="failed", objective=None, variant="", error="out of memory"))
    return ledger


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python process that has this file's helpers; whatever is left of it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *args: object) -> subprocess.Popen[str]:
        prelude = f"""
            import importlib.util, os, signal, sys, time
            spec = importlib.util.spec_from_file_location("ledger_conftest", {__file__!r})
            helpers = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(helpers)
            make_trial, make_record, Ledger = helpers.make_trial, helpers.make_record, helpers.Ledger
            kill_at_step = helpers.kill_at_step
        """
        program = textwrap.dedent(prelude) + textwrap.dedent(code)
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
