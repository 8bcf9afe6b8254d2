"""Every family on the pretended device, in a process of its own: ``python pretended_checks.py FOLDER`` prints JSON.

It is no module of tests: `test_pretended_device.py` starts it once and tests what it prints.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import pretended_device
from conformance_setups import SETUPS
from pretended_device import NAME, OPERATORS, WAITS

from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import FAMILIES, Detector, Scores
from asd_ray.detectors.parts import training
from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.families.family import family

EPOCHS = 2


def refusals() -> dict[str, str]:
    """What must fail on this device, and how it does; "" for what does not."""
    rows = torch.ones(3, 2).to(NAME)
    attempts: dict[str, Callable[[], object]] = {
        "a tensor of the CPU": lambda: rows + torch.ones(2),
        "a matrix of the CPU": lambda: rows @ torch.ones(2, 2),
        "positions on the CPU": lambda: rows[torch.tensor([0, 1])],
        "a generator of the CPU": lambda: torch.rand(3, device=NAME, generator=torch.Generator()),
        "numpy()": lambda: rows.numpy(),
        "np.asarray": lambda: np.asarray(rows),
        "a net of the CPU": lambda: torch.nn.Linear(2, 2)(rows),
    }
    return {what: _error_of(attempt) for what, attempt in attempts.items()}


def _error_of(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def waits() -> dict[str, list[str]]:
    """What counts as waiting for the device, and what does not."""
    rows, positions = torch.ones(3, 2).to(NAME), torch.tensor([0, 1])
    return {
        "item": _noted(lambda: rows.sum().item()),
        "float": _noted(lambda: float(rows.sum())),
        "bool": _noted(lambda: bool(rows.sum() > 0)),
        "cpu": _noted(lambda: rows.cpu()),
        "tolist": _noted(lambda: rows.tolist()),
        "mask": _noted(lambda: rows[rows.sum(1) > 0]),
        "copy": _noted(lambda: positions.to(NAME)),
        "none": _noted(lambda: rows.index_select(0, positions.to(NAME, non_blocking=True)).sum()),
    }


def _noted(attempt: Callable[[], object]) -> list[str]:
    WAITS.clear()
    attempt()
    return [*WAITS]


def check(name: str, folder: Path) -> dict[str, Any]:
    """Fit, score, state and load of a family on the device, beside the same on the CPU."""
    setup = {key: value for key, value in SETUPS.get(name, {}).items() if key in ("seconds", "smaller")}
    tested = family(name)
    found: dict[str, Any] = {}
    detectors: dict[str, Detector] = {}
    scores: dict[str, Scores] = {}
    for device in (NAME, "cpu"):  # each with a cache of its own, so that the device makes its features
        workspace = Workspace(folder / device / name, device=device, **setup)
        train, test = (workspace.bank("plain").select(split=split) for split in ("train", "test"))
        detector = detectors[device] = workspace.new(tested, epochs=EPOCHS)
        OPERATORS.clear()
        with WaitsOfSteps() as steps:
            losses = [progress.losses for progress in detector.fit(train)]
        scores[device] = detector.score(test)
        if device == NAME:
            found |= {"steps": steps.count, "waits": sorted(set(steps.waits)), "operators": OPERATORS.total()}
            found["losses_are_numbers"] = all(isinstance(loss, float) for each in losses for loss in each.values())
            if hasattr(detector, "error_map"):
                found["maps"] = len(detector.error_map(test))
            state = from_bytes(to_bytes(detector.state(), {}), name)[0]
            loaded = workspace.new(tested, epochs=EPOCHS)
            loaded.load(state)
            found["loaded"] = _difference(loaded.score(test), scores[NAME])
            on_cpu = Workspace(workspace.folder, device="cpu", **setup).new(tested, epochs=EPOCHS)
            on_cpu.load(state)
            found["loaded_on_cpu"] = _difference(on_cpu.score(test), scores[NAME])
    found["trained_on_cpu"] = _difference(scores["cpu"], scores[NAME])
    return found


class WaitsOfSteps:
    """Collects the waits within steps of training, wherever a family trains in steps."""

    def __enter__(self) -> WaitsOfSteps:
        self.count, self.waits, self._original = 0, list[str](), training.run_epochs
        training.run_epochs = self._run_epochs
        return self

    def __exit__(self, *_: object) -> None:
        training.run_epochs = self._original

    def _run_epochs(self, nets: Any, step: training.Step, *rest: Any, **named: Any) -> Any:
        def watched(positions: torch.Tensor) -> dict[str, torch.Tensor]:
            WAITS.clear()
            losses = step(positions)
            self.count += 1
            self.waits += WAITS
            return losses

        return self._original(nets, watched, *rest, **named)


def _difference(first: Scores, second: Scores) -> dict[str, float]:
    """The largest difference of each variant, in deviations of its scores."""
    return {
        variant: float(np.abs(first[variant] - values).max() / (values.std() or 1.0))
        for variant, values in second.items()
    }


def main(folder: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    pretended_device.register()
    report: dict[str, Any] = {"refusals": refusals(), "waits": waits(), "families": {}}
    for name in names or FAMILIES:
        try:
            report["families"][name] = check(name, folder)
        except Exception:
            report["families"][name] = {"error": traceback.format_exc()}
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
