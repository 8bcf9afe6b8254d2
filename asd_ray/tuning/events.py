"""What a trial reports while it runs, and how it ended. A worker sends these events to the search."""

from __future__ import annotations

from dataclasses import dataclass

from asd_ray.ledger import TrialRecord


@dataclass(frozen=True, kw_only=True)
class ProgressEvent:
    """A sign of life. Its subclasses say which."""

    seconds: float  # since the trial's clips were ready; while it waits for them, since it was started
    node: str  # host name


@dataclass(frozen=True, kw_only=True)
class Waiting(ProgressEvent):
    """The trial is on its node and waits for its clips: the first event, and one every few seconds until they come."""


@dataclass(frozen=True, kw_only=True)
class DataReady(ProgressEvent):
    """The clips are there and the trial begins to train. Sent once; the trial's time limit counts from here."""

    clips: int  # that every epoch learns from


@dataclass(frozen=True, kw_only=True)
class EpochsDone(ProgressEvent):
    """Epochs were trained since the last event. A trial that starts again with a smaller batch counts from 1 again."""

    epoch: int  # the last of them
    losses: dict[int, dict[str, float]]  # epoch -> name -> loss, of each of them
    clips: int  # that every epoch learns from


@dataclass(frozen=True, kw_only=True)
class RungReached(EpochsDone):
    """The last of these epochs is a rung, where the study may stop the trial."""

    value: float  # the objective at this epoch, which the study compares


@dataclass(frozen=True)
class Outcome:
    """How a trial ended, complete or failed: the last event. The trial is stored unless one of the reasons is set."""

    record: TrialRecord
    storage_error: str = ""  # why a disk or S3 refused to store it
    node_fault: str = ""  # why this node could not run it: another node may, so nothing is stored
    affects_all: bool = False  # whether this fault keeps the node from running any trial, of other families too
