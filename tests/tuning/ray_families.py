"""Detectors for tests on Ray. They train at once and misbehave, each in its own way. Named as module:Class."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors import Context, Progress, Resources, Scores, State
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, FrontEnd

NOTES = "ASD_RAY_TEST_NOTES"  # a folder: every fit writes a file into it
NODE = "ASD_RAY_TEST_NODE"  # the name of this node in a cluster of the tests
PAPER = {"x": 0.5, "epochs": 1, "batch_size": 256}


def space(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0.0, 1.0)}


class Loud:
    """The power of a clip, and a little of `x`."""

    RESOURCES: ClassVar[Resources] = Resources(cpu=1)
    SECONDS = 0.0

    def __init__(self, context: Context, *, x: float = 0.5, epochs: int = 1, batch_size: int = 256) -> None:
        self.context, self.x, self.epochs, self.batch_size = context, x, epochs, batch_size
        self._fitted = False

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["raw"]

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        if notes := os.environ.get(NOTES):
            name = f"{time.time_ns()}-{os.getpid()}-{os.environ.get(NODE, 'own')}.txt"
            written = Path(notes) / f"{name}.part"
            written.write_text(f"{type(self).__name__} {self.x}")
            written.rename(Path(notes) / name)  # tests read the notes that they count
        self._fitted = True
        for epoch in range(1, self.epochs + 1):
            time.sleep(self.SECONDS)
            self.act(epoch)
            yield Progress(epoch, {"train": self.loss(epoch)})

    def act(self, epoch: int) -> None:
        """Called in every epoch: what goes wrong in this family."""

    def loss(self, epoch: int) -> float:
        return 1.0 / epoch

    def score(self, clips: ClipSet) -> Scores:
        if not self._fitted:
            raise AsdRayError("score before fit")
        power = np.array([np.square(clips.samples(i).astype(np.float64)).mean() for i in range(len(clips))])
        noise = torch.rand(len(clips), generator=self.context.generator()).numpy()
        return {"power": np.log(power + 1) + self.x * noise}

    def state(self) -> State:
        return {"fitted": self._fitted}

    def load(self, state: State) -> None:
        self._fitted = bool(state["fitted"])


class Slow(Loud):
    SECONDS = 1.0


class Slower(Loud):
    SECONDS = 3.0


class Waits(Loud):
    """Waits in every epoch until the test creates the file `go`."""

    def act(self, epoch: int) -> None:
        while not (Path(os.environ[NOTES]) / "go").exists():
            time.sleep(0.05)


class Held(Loud):
    """Waits in every epoch while the file `hold` exists."""

    SECONDS = 0.3

    def act(self, epoch: int) -> None:
        while (Path(os.environ[NOTES]) / "hold").exists():
            time.sleep(0.05)


class HeldOnGpu(Held):
    RESOURCES: ClassVar[Resources] = Resources(cpu=1, gpu=0.5)


class Hangs(Loud):
    """Hangs in its first trial, which has the paper's parameters."""

    def act(self, epoch: int) -> None:
        while self.x == PAPER["x"]:
            time.sleep(60)


class HangsInC(Loud):
    """Hangs like `Hangs`, in a library that never releases Python's global lock."""

    def act(self, epoch: int) -> None:
        while self.x == PAPER["x"]:
            ctypes.PyDLL(None).sleep(60)


class Diverges(Loud):
    def loss(self, epoch: int) -> float:
        return float("nan")


class Raises(Loud):
    def act(self, epoch: int) -> None:
        raise ValueError("this family is broken")


class Hungry(Loud):
    def act(self, epoch: int) -> None:
        if self.batch_size > 128:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")


class Insatiable(Loud):
    def act(self, epoch: int) -> None:
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")


class DiesOnce(Loud):
    """Kills its own process in the first of all fits, as the kernel does when memory runs out."""

    def act(self, epoch: int) -> None:
        mark = Path(os.environ[NOTES]) / "died"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class FillsTheDisk(Loud):
    """Behaves like a full disk: from its third trial on no file of this process may exceed 100 bytes."""

    def act(self, epoch: int) -> None:
        if len(list(Path(os.environ[NOTES]).glob("*.txt"))) >= 3:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


class Steps(Loud):
    """For trials of nine epochs, which have two rungs. A larger x gives a lower objective."""

    SECONDS = 0.05

    def score(self, clips: ClipSet) -> Scores:
        power = super().score(clips)["power"]
        return {"power": power + 30 * self.x * np.sin(1e4 * power)}
