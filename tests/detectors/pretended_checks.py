"""Every family on the pretended device: ``python pretended_checks.py FOLDER`` prints what it found, as JSON.

`test_pretended_device.py` starts it, in a process of its own, and judges what it prints.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pretended_device
import torch
from conformance_setups import SETUPS, WithSupplementalClips
from pretended_device import NAME, OPERATORS, WAITS

from asd_ray.clips.bank import ClipSet
from asd_ray.conformance.workspace import fit_on
from asd_ray.detectors import FAMILIES, Detector, Scores
from asd_ray.detectors.parts import training
from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.families.family import family

EPOCHS = 2
BACKENDS = "knn_ldn,kmeans,gmm,pca,knn_mix,knn_dn,bands,knn_exit"
MASKED: dict[str, Any] = {"spec_masks": 1, "balance": 0.5}
MORE: dict[str, tuple[str, dict[str, Any]]] = {  # settings with code of their own: name -> family, parameters
    "aegan_ad, batch norm": ("aegan_ad", {"norm": "batch", "matching": "mean_std", "backends": "pca,knn_dn"}),
    "autoencoder, less noise": ("autoencoder", {"subtract_noise": 1.0}),
    "embedding_knn, supplemental": (
        "embedding_knn",
        {"noise_mix": 0.5, "supplemental_class": True, "supplemental_bank": True, "branches": "fft"},
    ),
    "complex_net, mixed": ("complex_net", {"encoder": "log_mel", "mix": True}),
    "embedding_knn, adaproj": ("embedding_knn", {"head": "adaproj", "backends": BACKENDS}),
    "embedding_knn, multi": ("embedding_knn", {"branches": "multi", "featex": 0.5, "branch_losses": 1.0, **MASKED}),
    "embedding_knn, clustered": ("embedding_knn", {"labels": "ward", "clusters": 3, "backends": "knn"}),
    "flow_aff, glow": ("flow_aff", {"flow": "glow", "glow_width": 8, "glow_steps": 2}),
    "id_classifier, warped": ("id_classifier", {"warps": 2, "mix": "both", "head": "arcface"}),
    "id_classifier, resampled": ("id_classifier", {"warps": 2, "warp": "time"}),
    "stgram, noisy": ("stgram", {"inputs": "sgram+tgram+attention", "picture": "noisy_arcmix", "mix": "noisy_arcmix"}),
}


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


def check(name: str, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit, score, state and load of a family on the device; `settings` are beside those of the conformance suite."""
    setup = {key: value for key, value in SETUPS.get(name, {}).items() if key in ("seconds", "smaller")}
    setup["smaller"] = setup.get("smaller", {}) | settings
    on_device, on_cpu = (WithSupplementalClips(folder / device, device=device, **setup) for device in (NAME, "cpu"))
    tested, test = family(name), on_device.bank("plain").select(split="test")
    detector = on_device.new(tested, epochs=EPOCHS)
    OPERATORS.clear()
    with WaitsOfSteps() as steps:
        losses = [progress.losses for progress in detector.fit(on_device.bank("plain").select(split="train"))]
    scores = detector.score(test)
    operators = OPERATORS.total()
    state = from_bytes(to_bytes(detector.state(), {}), name)[0]
    others = {
        "loaded on the device": _loaded(on_device.new(tested), state),
        "loaded on the CPU": _loaded(on_cpu.new(tested), state),
    }
    if not settings:
        others["learned on the CPU"] = fit_on(on_cpu.new(tested, epochs=EPOCHS), on_cpu.bank("plain"))
    return {
        "clips": len(test),
        "steps": steps.count,
        "waits": sorted(set(steps.waits)),
        "operators": operators,
        "losses_are_numbers": all(isinstance(loss, float) for each in losses for loss in each.values()),
        "finite_maps": [bool(np.isfinite(each).all()) for each in _maps(detector, test)],
        "finite_embeddings": [bool(np.isfinite(each).all()) for each in _embeddings(detector, test).values()],
        "differences": {how: _difference(other.score(test), scores) for how, other in others.items()},
    }


def _loaded(detector: Detector, state: dict[str, Any]) -> Detector:
    detector.load(state)
    return detector


def _maps(detector: Detector, clips: ClipSet) -> list[Any]:
    return list(detector.error_map(clips)) if hasattr(detector, "error_map") else []


def _embeddings(detector: Detector, clips: ClipSet) -> dict[str, Any]:
    return detector.embeddings(clips) if hasattr(detector, "embeddings") else {}


class WaitsOfSteps:
    """Collects the waits within steps of training, but for the first, which makes what is made once."""

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
            if self.count:
                self.waits += WAITS
            self.count += 1
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
    for run in names or runs():
        name, settings = runs()[run]
        try:
            report["families"][run] = check(name, folder / run, settings)
        except Exception:
            report["families"][run] = {"error": traceback.format_exc()}
    print(json.dumps(report))


def runs() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name of a run -> its family and settings."""
    return {name: (name, {}) for name in FAMILIES} | MORE


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
