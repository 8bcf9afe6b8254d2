"""One trial from its parameters to its file in the ledger: the same code in a Ray worker and with ``--serial``."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import math
import resource
import socket
import statistics
import time
import traceback
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from asd_ray.detectors import Context, Detector, Family, Scores
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord, long_scores
from asd_ray.ledger.files import FULL
from asd_ray.tuning.data import DataSource, TrialData
from asd_ray.tuning.judge import PROTOCOL, Verdict
from asd_ray.tuning.spec import ORACLE, TrialSpec, rungs
from asd_ray.tuning.stored import as_one, held

ASK_AGAIN = 5.0  # seconds
PATIENCE = 2.0  # seconds after which a trial that has reached no rung gives a sign of life
NODE = socket.gethostname()
PACKAGES = ("asd_ray", "torch", "torchaudio", "numpy", "scikit-learn", "ray", "optuna")


@dataclass(frozen=True)
class Reached:
    """A sign of life; at a rung with the value that the study compares."""

    epoch: int
    value: float | None
    seconds: float
    node: str = ""
    clips: int = 0  # that an epoch learns from
    losses: dict[int, dict[str, float]] = field(default_factory=dict)  # epoch -> losses, since the last sign of life


@dataclass(frozen=True)
class Outcome:
    """How a trial ended, complete or failed: in the ledger when this is given, unless it says why not."""

    record: TrialRecord
    unstored: str = ""
    fault: str = ""  # of the node, not of the trial: nothing is stored, and the trial may run elsewhere


Scored = tuple[Scores, list[Verdict]]  # of every clip, and a verdict a machine


class TrialFailed(Exception):
    """This trial cannot be scored: the message is its record's error."""


class NodeFault(Exception):
    """This node cannot run the trial, another may: it lacks the data or the run's folder, or its disk is full."""


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

    def records(self, status: str, each: Sequence[dict[str, Any]] | None = None, **what: Any) -> list[TrialRecord]:
        """A record a machine; `each` says what differs between them."""
        return records_of(
            self.spec,
            self.source,
            status,
            each,
            epochs=self.epochs,
            intermediate=self.intermediate,
            seconds=round(self.seconds, 3),
            peak_memory_mb=_peak_mb(self.device),
            device=_device_name(self.device),
            front_end=self.front_end,
            extra={**record_extra(self.spec), "node": NODE, **self.extra, **what.pop("extra", {})},
            **what,
        )


def run_trial(
    spec: TrialSpec,
    source: DataSource,
    ledger: Ledger,
    device: torch.device,
    *,
    patience: float = 0.0,
    faults: Sequence[str] = (),
) -> Generator[Reached | Outcome, None, None]:
    """Train, score and commit; the last thing yielded is the Outcome. Closing the iterator ends the trial at once.

    One thread a CPU that the trial was given, whatever the driver: so the same trial gives the same scores anywhere.
    `patience` is how many seconds a node may lack what a trial needs before it gives the trial back; `faults` says why
    other nodes did. A trial's seconds begin when its clips are at hand.
    """
    threads = max(1, int(spec.cpu))
    torch.set_num_threads(threads)
    _forget_peak(device)
    run = _Run(spec, source, device, extra={"faults": list(faults)} if faults else {})
    blas = threadpool_limits(threads)  # of numpy, scipy and scikit-learn
    yield Reached(0, None, 0.0, NODE)
    try:
        try:
            data = yield from _data(run, ledger, patience)
            run.started = time.perf_counter()
            yield Reached(0, None, 0.0, NODE, len(data.train))
            scores, verdicts = yield from _with_less_memory(run, data)
            own = zip(data.parts, data.by_machine(scores), strict=True)
            tables = [long_scores(part.frame, of_machine) for part, of_machine in own]
        except NodeFault as error:
            why = f"{NODE} cannot run it: {error}"
            yield Outcome(as_one(run.records("failed", error=why)), fault=why)
            return
        except Exception as error:  # whatever a detector raises ends this trial, not the search
            why, trace = _told(error), {"traceback": traceback.format_exc(limit=-8)}
            if patience and _is_full_disk(error):
                yield Outcome(as_one(run.records("failed", error=why)), fault=f"{NODE} cannot run it: {why}")
                return
            yield commit(ledger, run.records("failed", error=why, extra=trace))
            return
        found = [{"variant": v.variant, "objective": v.objective, "objective_parts": v.parts} for v in verdicts]
        yield commit(ledger, run.records("complete", found), tables)
    finally:
        blas.restore_original_limits()
        free(device)


def _data(run: _Run, ledger: Ledger, patience: float) -> Generator[Reached, None, TrialData]:
    """The clips of the trial, once this node sees them and the run; what is mounted late is waited for.

    The wait also keeps a node that can do nothing from failing trial after trial while others work.
    """
    limit = time.monotonic() + patience
    while True:
        try:
            ledger.check_seen(run.source.run_id)
            return run.source.trial(run.spec.machines, run.spec.settings)
        except (AsdRayError, OSError) as error:
            if not patience:
                raise
            if time.monotonic() >= limit:
                raise NodeFault(_told(error)) from error
        yield Reached(0, None, run.seconds, NODE)
        time.sleep(ASK_AGAIN)


def records_of(
    spec: TrialSpec, source: DataSource, status: str, each: Sequence[dict[str, Any]] | None = None, **what: Any
) -> list[TrialRecord]:
    """A record for each machine of a trial; `each` says what differs between them."""
    return [
        TrialRecord(
            trial=spec.hash,
            name=spec.name,
            machine=machine,
            family=spec.family,
            number=spec.number,
            params=spec.params,
            seed=spec.seed,
            status=status,
            protocol=PROTOCOL,
            versions=_versions(),
            dataset=source.name,
            data_fingerprint=source.fingerprint(machine),
            **what,
            **own,
        )
        for machine, own in zip(spec.machines, each or [{}] * len(spec.machines), strict=True)
    ]


def record_extra(spec: TrialSpec) -> dict[str, Any]:
    told = {"settings": spec.settings.told(), "target": spec.target, "paper": spec.paper}
    return told if len(spec.machines) == 1 else {**told, "machines": list(spec.machines)}


def _with_less_memory(run: _Run, data: TrialData) -> Generator[Reached, None, Scored]:
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


def _fit_and_score(run: _Run, data: TrialData, params: dict[str, Any]) -> Generator[Reached, None, Scored]:
    spec = run.spec
    context = Context(run.device, spec.seed, run.source.features, run.source.rate)
    detector = Family(spec.family, spec.target).detector(context, **params)
    run.front_end = detector.front_end.hash
    compared, looked_at = set(rungs(spec.epochs)), _looked_at(spec)
    best: tuple[float, int, Scored] | None = None
    spoke = time.perf_counter()
    losses: dict[int, dict[str, float]] = {}
    for progress in detector.fit(data.train):
        epoch = run.epochs = progress.epoch
        for name, loss in progress.losses.items():
            if not math.isfinite(loss):
                raise TrialFailed(f"its loss {name!r} is {loss} after epoch {epoch}; a lower lr may help")
        losses[epoch] = dict(progress.losses)
        if epoch in looked_at:
            scored = _score_all(detector, data)
            if best is None or _objective(scored[1]) > best[0]:
                best = _objective(scored[1]), epoch, scored
        if epoch in compared and epoch != spec.epochs:
            value = _objective(data.judge(_finite(detector.score(data.test))))
            run.intermediate[epoch] = value
        else:
            value = None
        if value is not None or spec.epochs in (None, epoch) or time.perf_counter() - spoke > PATIENCE:
            yield Reached(epoch, value, run.seconds, NODE, len(data.train), losses)
            spoke, losses = time.perf_counter(), {}
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


def _score_all(detector: Detector, data: TrialData) -> Scored:
    scores = _finite(detector.score(data.everything))
    return scores, data.judge(scores)


def _objective(verdicts: Sequence[Verdict]) -> float:
    return statistics.fmean(each.objective for each in verdicts)


def _finite(scores: Scores) -> Scores:
    for variant, values in scores.items():
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise TrialFailed(f"{bad} of {len(values)} scores of variant {variant!r} are not finite")
    return scores


def over_time(spec: TrialSpec, source: DataSource, ledger: Ledger, limit: float) -> None:
    """Store a trial that hangs as failed, by name, from beside it."""
    why = f"it ran longer than --trial-time {limit:g} s on {NODE} and was ended"
    extra = {**record_extra(spec), "node": NODE}
    commit(ledger, records_of(spec, source, "failed", epochs=0, seconds=limit, error=why, extra=extra))


def commit(ledger: Ledger, records: Sequence[TrialRecord], tables: Sequence[Any] | None = None) -> Outcome:
    """Store a trial; its study is told what the ledger then holds, which may be better than what was offered."""
    told = as_one(records)
    try:
        taken = [ledger.commit(*each) for each in zip(records, tables or [None] * len(records), strict=True)]
        if not all(taken):
            with contextlib.suppress(AsdRayError):  # the trial is stored, only S3 does not say how
                told = held(ledger, [record.machine for record in records], told.family, told.trial) or told
    except AsdRayError as error:
        return Outcome(told, unstored=str(error))
    return Outcome(told)


def _is_full_disk(error: BaseException | None) -> bool:
    while error is not None and not (isinstance(error, OSError) and error.errno in FULL):
        error = error.__cause__
    return error is not None


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, TrialFailed | AsdRayError) else f"{type(error).__name__}: {error}"


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
