"""TensorBoard curves, in one small file per trial: losses by epoch, the objective at rungs and at the end.

``tensorboard --logdir RUN/tensorboard`` shows them while the search runs. The driver writes them from the events of the
trials. The ledger does not need them, and they may be removed at any time.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asd_ray._log import LOGGER, line
from asd_ray.ledger.record import LABELS
from asd_ray.storage.run_layout import RunLayout
from asd_ray.tuning.events import EpochsDone, ProgressEvent, RungReached
from asd_ray.tuning.watch._base import Watcher

if TYPE_CHECKING:
    from asd_ray.ledger import TrialRecord
    from asd_ray.tuning.running import RunningTrial

POINTS = 200  # of one curve, about: more would fill the disk and not be visible


@dataclass
class _Curve:
    """The file of a running trial."""

    path: str
    step: int  # epochs between two points of a loss
    epoch: int = 0  # the last that was reported
    values: dict[int, dict[str, float]] = field(default_factory=dict)  # epoch -> values that are not written yet
    begun: bool = False


class TensorBoardCurves(Watcher):
    """Writes points as they are reported, so that a long trial can be followed. Not on S3, which cannot append."""

    def __init__(self, layout: RunLayout, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._running: dict[str, _Curve] = {}
        self._given_up = layout.is_s3
        if layout.is_s3:
            say("no TensorBoard curves: the run is on S3, where no file can grow; the ledger holds the values at rungs")

    def began(self, run: RunningTrial) -> None:
        self._running.pop(run.spec.hash, None)  # of an attempt whose worker died

    def progressed(self, run: RunningTrial, event: ProgressEvent) -> None:
        if self._given_up or not isinstance(event, EpochsDone):
            return
        curve = self._running.get(run.spec.hash)
        if curve is None or min(event.losses) <= curve.epoch:  # it starts, or starts again with a smaller batch
            path = self._layout.curves_file(run.spec.name, run.spec.hash)
            curve = self._running[run.spec.hash] = _Curve(path, step=-(-(run.spec.epochs or 1) // POINTS))
        for epoch, losses in event.losses.items():
            if epoch % curve.step == 0 or epoch in (1, run.spec.epochs):
                curve.values[epoch] = {f"loss/{name}": value for name, value in losses.items()}
        if isinstance(event, RungReached):
            curve.values.setdefault(event.epoch, {})[_name(run)] = event.value
        curve.epoch = event.epoch
        self._write(curve)

    def ended(self, run: RunningTrial, record: TrialRecord) -> None:
        curve = self._running.pop(run.spec.hash, None)
        if curve is not None and curve.begun and record.status == "complete" and record.objective is not None:
            curve.values = {record.epochs: {_name(run): record.objective}}
            self._write(curve)

    def _write(self, curve: _Curve) -> None:
        if self._given_up or not curve.values:
            return
        now = time.time()
        events = [] if curve.begun else [_head(now)]
        events += [_event(now, epoch, values) for epoch, values in sorted(curve.values.items())]
        content = b"".join(map(_record, events))
        mode = os.O_APPEND if curve.begun else os.O_TRUNC
        try:
            os.makedirs(curve.path.rpartition("/")[0], exist_ok=True)
            descriptor = os.open(curve.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | mode, 0o666)
            try:
                if os.write(descriptor, content) < len(content):
                    raise OSError("disk full")
            finally:
                os.close(descriptor)
        except OSError as error:
            self._given_up = True
            why = str(error.strerror or error)
            LOGGER.warning(line("curves_not_written", path=curve.path, error=why, text="the search goes on without"))
            return
        curve.begun, curve.values = True, {}


def _name(run: RunningTrial) -> str:
    """The name of the objective's curve. Values on injected faults have another unit, so they have their own chart."""
    return "objective" if run.spec.settings.objective == LABELS else "objective_faults"


def _head(now: float) -> bytes:
    from tensorboardX.proto.event_pb2 import Event

    return bytes(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())


def _event(now: float, epoch: int, values: dict[str, float]) -> bytes:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    return bytes(Event(wall_time=now, step=epoch, summary=Summary(value=scalars)).SerializeToString())


def _record(data: bytes) -> bytes:
    """One framed record of a TFRecord file. tensorboardX's own writer cannot append and starts a thread per file."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))
