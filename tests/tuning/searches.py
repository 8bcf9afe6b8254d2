"""Searches as a user starts them, each in its own process, which a test waits for or kills; and a dataset for them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from asd_ray.ledger import TrialRecord

Begin = Callable[..., subprocess.Popen[str]]


def loud_set(root: Path, gain: float = 1.1, seconds: float = 0.5) -> Path:
    """A dataset in the layout of DCASE 2022 whose anomalies are `gain` times as loud."""
    draw = np.random.default_rng(0)
    plan = [("train", "normal", 8, 1.0), ("test", "normal", 6, 1.0), ("test", "anomaly", 6, gain)]
    for split, label, count, level in plan:
        for domain in ("source", "target"):
            for i in range(count):
                path = root / "fan" / split / f"section_00_{domain}_{split}_{label}_{i:04d}_vel_{i}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                wave = draw.normal(0, 0.1, round(16_000 * seconds))
                soundfile.write(path, wave * level * draw.uniform(0.9, 1.1), 16_000)
    return root


def tree(pid: int) -> list[psutil.Process]:
    """A process and all processes that it started; [] if it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        own = psutil.Process(pid)
        return [*own.children(recursive=True), own]
    return []


def kill_tree(pid: int) -> list[psutil.Process]:
    killed = tree(pid)
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return killed


@contextmanager
def processes() -> Iterator[Begin]:
    """`begin(arguments, environment)` starts Python in its own session. What still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(
        arguments: Sequence[object], environment: Mapping[str, str], stdin: int | None = None
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        started.append(process)
        return process

    try:
        yield begin
    finally:
        for process in started:
            if process.poll() is None:
                kill_tree(process.pid)
            process.wait()


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    output = process.communicate(timeout=150)[0]
    assert process.returncode == status, output
    return output


def wait(
    condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 150, every: float = 0.05
) -> Any:
    """Wait until the condition is true, while the process is alive. Returns its value."""
    limit = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < limit, "it did not happen"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(every)
    return value


def statuses(records: Iterable[TrialRecord]) -> Counter[tuple[str, str]]:
    return Counter((record.family, record.status) for record in records)
