"""One trial from its parameters to its file in the ledger: the same code in a Ray worker and with ``--serial``."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import resource
import socket
import statistics
import time
import traceback
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from asd_ray.detectors import Context, Detector, Family, Scores
from asd_ray.errors import AsdRayError, StorageError
from asd_ray.ledger import Ledger, TrialRecord, long_scores
from asd_ray.tuning.contract import checked_progress, checked_scores, front_end_hash
from asd_ray.tuning.data import DataSource, TrialData
from asd_ray.tuning.faults import NodeFault, TrialFailed, affects_every_trial, is_node_fault, reason
from asd_ray.tuning.judge import PROTOCOL, Verdict
from asd_ray.tuning.ledger_view import find_trial, joint_record
from asd_ray.tuning.spec import ORACLE, TrialSpec, rungs

THREADS = 1024  # more only wait for each other, and torch takes no number beyond 32 bits
ASK_AGAIN = 5.0  # seconds
TRACEBACK = 20_000  # characters
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
    storage_error: str = ""
    fault: str = ""  # of the node, not of the trial: nothing is stored, and the trial may run elsewhere
    affects_all: bool = False  # the fault is one of every trial, not only of this family's


Scored = tuple[Scores, list[Verdict]]  # of every clip, and a verdict a machine


@dataclass
class _Run:
    """What is known of a trial while it runs."""

    spec: TrialSpec
    family: Family
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
            node=NODE,
            extra={**self.extra, **what.pop("extra", {})},
            **what,
        )


def run_trial(
    spec: TrialSpec,
    family: Family,
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
    threads = max(1, min(int(spec.cpu), THREADS))
    torch.set_num_threads(threads)
    _forget_peak(device)
    run = _Run(spec, family, source, device, extra={"faults": list(faults)} if faults else {})
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
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # whatever a detector raises ends this trial, not the search; SystemExit too
            if is_node_fault(error, spec.target):
                why = f"{NODE} cannot run it: {reason(error)}"
                yield Outcome(
                    joint_record(run.records("failed", error=why)), fault=why, affects_all=affects_every_trial(error)
                )
            else:
                yield _failed(run, ledger, error)
            return
        found = [{"variant": v.variant, "objective": v.objective, "objective_parts": v.parts} for v in verdicts]
        try:
            outcome = commit(ledger, run.records("complete", found), tables)
        except Exception as error:  # what the ledger cannot hold is this trial's failure
            outcome = _failed(run, ledger, error)
        yield outcome
    finally:
        blas.restore_original_limits()
        free(device)


def _failed(run: _Run, ledger: Ledger, error: BaseException) -> Outcome:
    trace = {"traceback": _cut("".join(traceback.format_exception(error, limit=-8)))}
    return commit(ledger, run.records("failed", error=reason(error), extra=trace))


def _cut(text: str) -> str:
    """A traceback's begin and end: what an exception says may be of any length."""
    half = TRACEBACK // 2
    return text if len(text) <= TRACEBACK else f"{text[:half]}\n…\n{text[-half:]}"


def _data(run: _Run, ledger: Ledger, patience: float) -> Generator[Reached, None, TrialData]:
    """The clips of the trial, once this node sees them and the run; what is mounted late is waited for.

    Nothing here depends on the trial's parameters, and the search itself has opened it all. So whatever fails here is
    the node's fault, be it a class that cannot be imported or a variable of its environment. The wait also keeps a
    node that can do nothing from failing trial after trial while others work.
    """
    limit = time.monotonic() + patience
    while True:
        try:
            ledger.check_seen(run.source.run_id)
            _ = run.source.features, run.family.detector
            return run.source.trial(run.spec.machines, run.spec.settings)
        except Exception as error:
            if time.monotonic() >= limit:
                raise NodeFault(reason(error)) from error
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
            paper=spec.paper,
            machines=spec.machines,
            target=spec.target,
            version=spec.version,
            settings=spec.settings,
            **what,
            **own,
        )
        for machine, own in zip(spec.machines, each or [{}] * len(spec.machines), strict=True)
    ]


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
    detector = run.family.detector(context, **params)
    run.front_end = front_end_hash(detector)
    compared, looked_at = set(rungs(spec.epochs)), _looked_at(spec)
    best: tuple[float, int, Scored] | None = None
    spoke = time.perf_counter()
    losses: dict[int, dict[str, float]] = {}
    for progress in checked_progress(detector.fit(data.train)):
        epoch = run.epochs = progress.epoch
        losses[epoch] = progress.losses
        if epoch in looked_at:
            scored = _score_all(detector, data)
            if best is None or _objective(scored[1]) > best[0]:
                best = _objective(scored[1]), epoch, scored
        if epoch in compared and epoch != spec.epochs:
            value = _objective(data.judge(checked_scores(detector.score(data.test), len(data.test))))
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
    scores = checked_scores(detector.score(data.everything), len(data.everything))
    return scores, data.judge(scores)


def _objective(verdicts: Sequence[Verdict]) -> float:
    return statistics.fmean(each.objective for each in verdicts)


def store_overdue(spec: TrialSpec, source: DataSource, ledger: Ledger, limit: float) -> None:
    """Store a trial that hangs as failed, by name, from beside it."""
    why = f"it ran longer than --trial-time {limit:g} s on {NODE} and was ended"
    commit(ledger, records_of(spec, source, "failed", epochs=0, seconds=limit, error=why, node=NODE))


def commit(ledger: Ledger, records: Sequence[TrialRecord], tables: Sequence[Any] | None = None) -> Outcome:
    """Store a trial; its study is told what the ledger then holds, which may be better than what was offered.

    A disk or S3 that refuses it is told by the Outcome. Scores that the ledger cannot hold are an AsdRayError.
    """
    held_now = joint_record(records)
    try:
        taken = [ledger.commit(*each) for each in zip(records, tables or [None] * len(records), strict=True)]
        if not all(taken):
            with contextlib.suppress(AsdRayError):  # the trial is stored, only S3 does not say how
                machines = [record.machine for record in records]
                held_now = find_trial(ledger, machines, held_now.family, held_now.trial) or held_now
    except StorageError as error:
        return Outcome(held_now, storage_error=str(error))
    except AsdRayError as error:
        if tables is not None:
            raise
        bare = [
            replace(record, params={}, extra={}, intermediate={}, error=f"{record.error} ({error})")
            for record in records
        ]
        return _commit_bare(ledger, bare)
    return Outcome(held_now)


def _commit_bare(ledger: Ledger, records: Sequence[TrialRecord]) -> Outcome:
    """Store a failure of which the ledger refused the rest, so that one odd trial does not end a search."""
    try:
        for record in records:
            ledger.commit(record)
    except AsdRayError as error:
        return Outcome(joint_record(records), storage_error=str(error))
    return Outcome(joint_record(records))


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
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # Ray, where all searches are serial
            versions[name] = importlib.metadata.version(name)
    return versions
