"""One trial from its parameters to its files in the ledger: the same code in a Ray worker and with ``--serial``."""

from __future__ import annotations

import socket
import statistics
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from asd_ray._precision import full_float32
from asd_ray.clips.bank import ClipSet
from asd_ray.detectors import Context, Detector, Family, Scores
from asd_ray.detectors.parts.training import cpu_has_bfloat16
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.record import ORACLE
from asd_ray.tuning.contract import checked_progress, checked_scores, front_end_hash
from asd_ray.tuning.data import BySplit, DataSource, TrialData
from asd_ray.tuning.device import device_name, free, is_out_of_memory, peak_mb, reset_peak
from asd_ray.tuning.events import DataReady, EpochsDone, Outcome, ProgressEvent, RungReached, Waiting
from asd_ray.tuning.faults import NodeFault, TrialFailed, affects_every_trial, is_node_fault, reason
from asd_ray.tuning.judge import Verdict
from asd_ray.tuning.ledger_view import joint_record
from asd_ray.tuning.recording import commit, records_of
from asd_ray.tuning.saving import saved_state
from asd_ray.tuning.spec import TrialSpec, rungs
from asd_ray.tuning.state_policy import ALWAYS, NEVER

THREADS = 1024  # more only wait for each other, and torch takes no number beyond 32 bits
LOOK_AGAIN = 5.0  # seconds between two looks for clips that are not there yet
TRACEBACK = 20_000  # characters
REPORT_EVERY = 2.0  # seconds: a trial that reaches no rung for longer reports its epochs
NODE = socket.gethostname()
Learned = tuple[bytes, dict[str, pd.DataFrame]]  # the state of a trial, and its scores of each machine


@dataclass(frozen=True)
class Fitted:
    """A trained detector's scores of every clip, one verdict per machine, and its state if the trial keeps one."""

    scores: list[BySplit]  # of each machine
    verdicts: list[Verdict]  # of each machine; none where nothing is chosen by them
    state: bytes | None = None

    @property
    def objective(self) -> float:
        return _objective(self.verdicts)


@dataclass
class _Attempt:
    """What is known of a trial while it runs in this process."""

    spec: TrialSpec
    family: Family
    source: DataSource
    device: torch.device
    keep_from: float = NEVER  # the objective from which its state is kept
    compared: bool = True  # with other trials; if not, it is judged only where verdicts choose its epoch
    started: float = field(default_factory=time.perf_counter)
    epochs: int = 0
    intermediate: dict[int, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    front_end: str = ""

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def records(
        self, status: str, per_machine: Sequence[dict[str, Any]] | None = None, **fields: Any
    ) -> list[TrialRecord]:
        """One record per machine. `per_machine` has the fields that differ between them."""
        return records_of(
            self.spec,
            self.source,
            status,
            per_machine,
            epochs=self.epochs,
            intermediate=self.intermediate,
            seconds=round(self.seconds, 3),
            peak_memory_mb=peak_mb(self.device),
            device=device_name(self.device),
            front_end=self.front_end,
            node=NODE,
            extra={**self.extra, **fields.pop("extra", {})},
            **fields,
        )


def run_trial(
    spec: TrialSpec,
    family: Family,
    source: DataSource,
    ledger: Ledger,
    device: torch.device,
    *,
    keep_from: float = NEVER,
    max_wait: float = 0.0,
    faults: Sequence[str] = (),
) -> Generator[ProgressEvent | Outcome, None, None]:
    """Train, score and store a trial. The last event is its Outcome; closing the iterator ends the trial at once.

    It computes in one thread per CPU that the trial was given, so a trial gives the same scores on Ray and without.
    What the detector has learned is stored with the trial if its objective is `keep_from` or more.
    `max_wait` is how many seconds the trial waits for its clips and for the run's folder before it counts as a fault of
    the node. `faults` are the faults of other nodes that this trial met before.
    """
    threads = max(1, min(int(spec.resources.cpu), THREADS))
    torch.set_num_threads(threads)
    reset_peak(device)
    extra: dict[str, Any] = {"faults": list(faults)} if faults else {}
    attempt = _Attempt(spec, family, source, device, keep_from, extra=extra)
    blas = threadpool_limits(threads)  # of numpy, scipy and scikit-learn
    yield Waiting(seconds=0.0, node=NODE)
    try:
        try:
            data = yield from _data(attempt, ledger, max_wait)
            attempt.started = time.perf_counter()
            yield DataReady(seconds=0.0, node=NODE, clips=len(data.train))
            fitted = yield from _with_less_memory(attempt, data)
            tables = data.tables(fitted.scores)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # what a detector raises, SystemExit too, ends this trial and not the search
            if hasattr(error, "ray_terminate_msg"):
                raise  # Ray ends this worker, which says nothing about the trial
            yield _outcome_of_error(attempt, ledger, error)
            return
        results = [
            {"variant": v.variant, "objective": v.objective, "objective_parts": v.parts} for v in fitted.verdicts
        ]
        try:
            outcome = commit(ledger, attempt.records("complete", results), tables, fitted.state)
        except Exception as error:  # the ledger cannot hold these scores: the trial fails
            outcome = _failed(attempt, ledger, error)
        yield outcome
    finally:
        blas.restore_original_limits()
        free(device)


def _outcome_of_error(attempt: _Attempt, ledger: Ledger, error: BaseException) -> Outcome:
    """A fault of the node is reported and not stored; any other error is stored as this trial's failure."""
    if not is_node_fault(error, attempt.spec.target):
        return _failed(attempt, ledger, error)
    why = f"{NODE} cannot run it: {reason(error)}"
    record = joint_record(attempt.records("failed", error=why))
    return Outcome(record, node_fault=why, affects_all=affects_every_trial(error))


def _failed(attempt: _Attempt, ledger: Ledger, error: BaseException) -> Outcome:
    trace = {"traceback": _shortened("".join(traceback.format_exception(error, limit=-8)))}
    return commit(ledger, attempt.records("failed", error=reason(error), extra=trace))


def _shortened(text: str) -> str:
    """The begin and the end of a traceback; the text of an exception may have any length."""
    half = TRACEBACK // 2
    return text if len(text) <= TRACEBACK else f"{text[:half]}\n…\n{text[-half:]}"


def _data(attempt: _Attempt, ledger: Ledger, max_wait: float) -> Generator[ProgressEvent, None, TrialData]:
    """The clips of the trial, as soon as this node sees them and the run's folder, which may be mounted late.

    Nothing here depends on the trial's parameters, and the search itself has opened all of it. So every error here is a
    fault of the node, also a class that cannot be imported or a wrong environment variable. The wait keeps a broken
    node from failing one trial after another while the other nodes work.
    """
    limit = time.monotonic() + max_wait
    while True:
        try:
            ledger.check_seen(attempt.source.run_id)
            _ = attempt.source.features, attempt.family.detector
            return attempt.source.trial(attempt.spec.machines, attempt.spec.settings)
        except Exception as error:
            if time.monotonic() >= limit:
                raise NodeFault(reason(error)) from error
        yield Waiting(seconds=attempt.seconds, node=NODE)
        time.sleep(LOOK_AGAIN)


def _with_less_memory(attempt: _Attempt, data: TrialData) -> Generator[ProgressEvent, None, Fitted]:
    """Out of memory once: start again with half the batch, and record that. Out of memory twice: the trial fails."""
    params = attempt.spec.effective_params
    try:
        return (yield from _fit_and_score(attempt, data, params))
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not is_out_of_memory(error):
            raise
        size, why = params.get("batch_size"), str(error)
    free(attempt.device)  # here and not in the except block, where the traceback still holds the tensors
    if not isinstance(size, int) or size < 2:
        raise TrialFailed(f"out of memory on {attempt.device}, and there is no batch to halve ({why})")
    attempt.extra["out_of_memory"] = f"batch_size {size} halved to {size // 2}"
    attempt.epochs, attempt.intermediate = 0, {}
    try:
        return (yield from _fit_and_score(attempt, data, {**params, "batch_size": size // 2}))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrialFailed(
            f"out of memory on {attempt.device} with batch_size {size} and again with {size // 2} ({error})"
        ) from error


def _fit_and_score(
    attempt: _Attempt, data: TrialData, params: dict[str, Any]
) -> Generator[ProgressEvent, None, Fitted]:
    spec = attempt.spec
    source = attempt.source
    context = Context(attempt.device, spec.seed, source.features, source.rate, source.weights, spec.bfloat16)
    if spec.bfloat16 and attempt.device.type == "cpu" and cpu_has_bfloat16():
        attempt.extra["bfloat16"] = True
    detector = attempt.family.detector(context, **params)
    attempt.front_end = front_end_hash(detector)
    rung_epochs, checkpoint_epochs = set(rungs(spec.epochs)), _checkpoint_epochs(spec)
    best: tuple[int, Fitted] | None = None
    reported = time.perf_counter()
    losses: dict[int, dict[str, float]] = {}  # since the last event
    for progress in checked_progress(detector.fit(data.train)):
        epoch = attempt.epochs = progress.epoch
        losses[epoch] = progress.losses
        if epoch in checkpoint_epochs:
            fitted = _score_all(detector, data, judged=True)
            if best is None or fitted.objective > best[1].objective:
                best = epoch, _with_state(attempt, detector, data, params, fitted)
        event: EpochsDone | None = None
        if attempt.compared and epoch in rung_epochs and epoch != spec.epochs:
            value = _objective(data.judge(data.score(_checked(detector), data.judged_splits)))
            attempt.intermediate[epoch] = value
            event = RungReached(
                seconds=attempt.seconds, node=NODE, epoch=epoch, losses=losses, clips=len(data.train), value=value
            )
        elif spec.epochs in (None, epoch) or time.perf_counter() - reported > REPORT_EVERY:
            event = EpochsDone(seconds=attempt.seconds, node=NODE, epoch=epoch, losses=losses, clips=len(data.train))
        if event is not None:
            yield event
            reported, losses = time.perf_counter(), {}
    if best is None:
        return _with_state(attempt, detector, data, params, _score_all(detector, data, attempt.compared))
    attempt.extra["checkpoint_epoch"] = best[0]
    return best[1]


def _checkpoint_epochs(spec: TrialSpec) -> set[int]:
    """The epochs that compete where test labels choose the checkpoint: every twentieth of them all, and the last."""
    if spec.settings.checkpoint != ORACLE or not spec.epochs:
        return set()
    step = max(1, spec.epochs // 20)
    return {*range(step, spec.epochs + 1, step), spec.epochs}


def _score_all(detector: Detector, data: TrialData, judged: bool) -> Fitted:
    scores = data.score(_checked(detector))
    return Fitted(scores, data.judge(scores) if judged else [])


def _checked(detector: Detector) -> Callable[[ClipSet], Scores]:
    """The detector's `score` in full float32, whose answer is checked."""

    def score(clips: ClipSet) -> Scores:
        with full_float32():
            scores = detector.score(clips)
        return checked_scores(scores, len(clips))

    return score


def _with_state(
    attempt: _Attempt, detector: Detector, data: TrialData, params: dict[str, Any], fitted: Fitted
) -> Fitted:
    """Add the detector's state, if the trial keeps it. A detector that cannot give one keeps its scores all the same.

    The scores are those of this moment, so the state must be taken before training goes on.
    """
    if attempt.keep_from != ALWAYS and fitted.objective < attempt.keep_from:
        return fitted
    try:
        state = saved_state(detector, attempt.spec, params, attempt.source, data, data.tables(fitted.scores))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a user's own `state` may raise anything, SystemExit too
        attempt.extra["state_error"] = reason(error)[:TRACEBACK]
        return fitted
    return replace(fitted, state=state)


def _objective(verdicts: Sequence[Verdict]) -> float:
    return statistics.fmean(verdict.objective for verdict in verdicts)


def learn_again(spec: TrialSpec, family: Family, source: DataSource, device: torch.device) -> Learned:
    """Train a stored trial once more: its state, and its scores of each machine. Nothing is written.

    It is compared with no other trial. So it needs no injected faults, and no held-out clips.
    """
    threads, before = max(1, min(int(spec.resources.cpu), THREADS)), torch.get_num_threads()
    torch.set_num_threads(threads)
    attempt = _Attempt(spec, family, source, device, ALWAYS, compared=False)
    try:
        with threadpool_limits(threads):
            data = source.trial(spec.machines, spec.settings)
            fitted = _returned(_with_less_memory(attempt, data))
        if fitted.state is None:
            raise TrialFailed(f"{spec.name}: its state cannot be stored: {attempt.extra.get('state_error')}")
        return fitted.state, dict(zip(spec.machines, data.tables(fitted.scores), strict=True))
    finally:
        torch.set_num_threads(before)
        free(device)


def _returned(steps: Generator[ProgressEvent, None, Fitted]) -> Fitted:
    """Run a generator to its end, and give what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            fitted: Fitted = ended.value
            return fitted


def store_overdue(spec: TrialSpec, source: DataSource, ledger: Ledger, limit: float) -> None:
    """Store a trial that hangs as failed. Called from another thread of its worker."""
    why = f"it ran longer than --trial-time {limit:g} s on {NODE} and was ended"
    commit(ledger, records_of(spec, source, "failed", epochs=0, seconds=limit, error=why, node=NODE))
