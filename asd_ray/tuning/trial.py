"""One trial from its parameters to its file in the ledger: the same code in a Ray worker and with ``--serial``."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import math
import resource
import time
import traceback
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from asd_ray.detectors import Context, Detector, Family, Scores
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord, long_scores
from asd_ray.tuning.data import DataSource, MachineData
from asd_ray.tuning.judge import PROTOCOL, Verdict
from asd_ray.tuning.spec import ORACLE, TrialSpec, rungs

PATIENCE = 2.0  # seconds after which a trial that has reached no rung gives a sign of life
PACKAGES = ("asd_ray", "torch", "torchaudio", "numpy", "scikit-learn", "ray", "optuna")


@dataclass(frozen=True)
class Reached:
    """A sign of life; at a rung with the value that the study compares."""

    epoch: int
    value: float | None
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """How a trial ended, complete or failed: in the ledger when this is given, unless it says why not."""

    record: TrialRecord
    unstored: str = ""


Scored = tuple[Scores, Verdict]


class TrialFailed(Exception):
    """This trial cannot be scored: the message is its record's error."""


@dataclass
class _Run:
    """What is known of a trial while it runs."""

    spec: TrialSpec
    source: DataSource
    device: torch.device
    started: float = field(default_factory=time.perf_counter)
    epochs: int = 0
    intermediate: dict[int, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    front_end: str = ""

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def record(self, status: str, **what: Any) -> TrialRecord:
        return record_of(
            self.spec,
            self.source,
            status,
            epochs=self.epochs,
            intermediate=self.intermediate,
            seconds=round(self.seconds, 3),
            peak_memory_mb=_peak_mb(self.device),
            device=_device_name(self.device),
            front_end=self.front_end,
            extra={**record_extra(self.spec), **self.extra, **what.pop("extra", {})},
            **what,
        )


def run_trial(
    spec: TrialSpec, source: DataSource, ledger: Ledger, device: torch.device
) -> Generator[Reached | Outcome, None, None]:
    """Train, score and commit; the last thing yielded is the Outcome. Closing the iterator ends the trial at once.

    One thread a CPU that the trial was given, whatever the driver: so the same trial gives the same scores anywhere.
    """
    torch.set_num_threads(max(1, int(spec.cpu)))
    _forget_peak(device)
    run = _Run(spec, source, device)
    try:
        try:
            data = source.machine(spec.machine, spec.settings)
            scores, verdict = yield from _with_less_memory(run, data)
            table = long_scores(data.frame, scores)
        except Exception as error:  # whatever a detector raises ends this trial, not the search
            why, trace = _told(error), {"traceback": traceback.format_exc(limit=-8)}
            yield _commit(ledger, run.record("failed", error=why, extra=trace), None)
            return
        kept = {"variant": verdict.variant, "objective": verdict.objective, "objective_parts": verdict.parts}
        yield _commit(ledger, run.record("complete", **kept), table)
    finally:
        free(device)


def record_of(spec: TrialSpec, source: DataSource, status: str, **what: Any) -> TrialRecord:
    return TrialRecord(
        trial=spec.hash,
        name=spec.name,
        machine=spec.machine,
        family=spec.family,
        number=spec.number,
        params=spec.params,
        seed=spec.seed,
        status=status,
        protocol=PROTOCOL,
        versions=_versions(),
        dataset=source.name,
        data_fingerprint=spec.settings.fingerprint,
        **what,
    )


def record_extra(spec: TrialSpec) -> dict[str, Any]:
    return {"settings": spec.settings.told(), "target": spec.target, "paper": spec.paper}


def _with_less_memory(run: _Run, data: MachineData) -> Generator[Reached, None, Scored]:
    """Out of memory once: the trial starts again with half the batch, which is recorded. Twice: it fails."""
    params = run.spec.effective
    try:
        return (yield from _fit_and_score(run, data, params))
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not _is_out_of_memory(error):
            raise
        size, why = params.get("batch_size"), str(error)
    free(run.device)  # after the except: its traceback held the tensors
    if not isinstance(size, int) or size < 2:
        raise TrialFailed(f"out of memory on {run.device}, and there is no batch to halve ({why})")
    run.extra["out_of_memory"] = f"batch_size {size} halved to {size // 2}"
    run.epochs, run.intermediate = 0, {}
    try:
        return (yield from _fit_and_score(run, data, {**params, "batch_size": size // 2}))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise TrialFailed(
            f"out of memory on {run.device} with batch_size {size} and again with {size // 2} ({error})"
        ) from error


def _fit_and_score(run: _Run, data: MachineData, params: dict[str, Any]) -> Generator[Reached, None, Scored]:
    spec = run.spec
    context = Context(run.device, spec.seed, run.source.features)
    detector = Family(spec.family, spec.target).detector(context, **params)
    run.front_end = detector.front_end.hash
    compared, looked_at = set(rungs(spec.epochs)), _looked_at(spec)
    best: tuple[float, int, Scored] | None = None
    spoke = time.perf_counter()
    for progress in detector.fit(data.train):
        epoch = run.epochs = progress.epoch
        for name, loss in progress.losses.items():
            if not math.isfinite(loss):
                raise TrialFailed(f"its loss {name!r} is {loss} after epoch {epoch}; a lower lr may help")
        if epoch in looked_at:
            scored = _score_all(detector, data)
            if best is None or scored[1].objective > best[0]:
                best = scored[1].objective, epoch, scored
        if epoch in compared and epoch != spec.epochs:
            value = data.judge(_finite(detector.score(data.test))).objective
            run.intermediate[epoch] = value
            yield Reached(epoch, value, run.seconds)
            spoke = time.perf_counter()
        elif time.perf_counter() - spoke > PATIENCE:
            yield Reached(epoch, None, run.seconds)
            spoke = time.perf_counter()
    if best is None:
        return _score_all(detector, data)
    run.extra["checkpoint_epoch"] = best[1]
    return best[2]


def _looked_at(spec: TrialSpec) -> set[int]:
    """With the checkpoint chosen by test labels: every twentieth of the epochs, and the last."""
    if spec.settings.checkpoint != ORACLE or not spec.epochs:
        return set()
    step = max(1, spec.epochs // 20)
    return {*range(step, spec.epochs + 1, step), spec.epochs}


def _score_all(detector: Detector, data: MachineData) -> Scored:
    scores = _finite(detector.score(data.everything))
    return scores, data.judge({variant: values[: len(data.test)] for variant, values in scores.items()})


def _finite(scores: Scores) -> Scores:
    for variant, values in scores.items():
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise TrialFailed(f"{bad} of {len(values)} scores of variant {variant!r} are not finite")
    return scores


def _commit(ledger: Ledger, record: TrialRecord, table: Any) -> Outcome:
    try:
        ledger.commit(record, table)
    except AsdRayError as error:
        return Outcome(record, unstored=str(error))
    return Outcome(record)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, TrialFailed) else f"{type(error).__name__}: {error}"


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "can't allocate memory" in str(error) or "CUBLAS_STATUS_ALLOC_FAILED" in str(error)


def free(device: torch.device) -> None:
    """A reused worker keeps its memory otherwise, which the next trial may need."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # Linux: the peak of resident memory starts anew


def _peak_mb(device: torch.device) -> float:
    """Peak memory of this trial: of the GPU where it had one, else of its process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}
