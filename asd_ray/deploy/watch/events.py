"""What a watch reports. Each event is one line of JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """`to_json` gives a dictionary that begins with the event's kind. Times are in UTC."""

    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        return {"event": self.kind, **{field.name: _plain(getattr(self, field.name)) for field in fields(self)}}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """How many alarms a day normal sound would raise, judged from the scores of normal clips."""

    windows_per_day: float
    normal_clips: int
    exceeding: int  # normal clips whose score is above the threshold
    per_day: float  # if windows were independent of each other
    per_day_most: float  # whatever the order of the windows is
    resolution: float  # per_day_most of a single exceeding clip: what is rarer cannot be seen in so few clips
    words: str


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    kind = "started"
    at: datetime
    machine: str
    id: str
    source: str
    window: float  # seconds
    hop: float  # seconds
    threshold: float
    lower_threshold: float
    alarm_after: int  # windows above the threshold …
    of: int  # … among so many in a row begin an alarm
    clear_after: int  # windows in a row at or below the lower threshold end it
    false_alarms: FalseAlarms
    drift: str  # the rule in words


@dataclass(frozen=True, kw_only=True)
class WindowScored(Event):
    """The score of one window. Reported only on request."""

    kind = "window"
    began: datetime
    ended: datetime
    machine: str
    id: str
    name: str  # path of the file, relative to the folder; "-" for a stream
    offset: float  # seconds from the start of the file or the stream
    score: float
    share_below: float
    threshold: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Alarm(Event):
    """Reported once, when the alarm begins."""

    kind = "alarm"
    at: datetime  # end of the window that completed the rule
    began: datetime  # start of the first window that counted
    machine: str
    id: str
    name: str  # where that first window is
    offset: float
    score: float  # of the window that completed the rule
    share_below: float
    threshold: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AlarmEnded(Event):
    kind = "alarm_ended"
    began: datetime  # as in the `Alarm`
    ended: datetime  # end of the last window above the lower threshold
    seconds: float
    machine: str
    id: str
    worst: float  # the highest score
    worst_name: str  # where it is
    worst_offset: float
    reason: str  # "normal again", or "stopped": the watch ended before the alarm did


@dataclass(frozen=True, kw_only=True)
class Drift(Event):
    """The scores of many windows differ in level from those of the normal clips. Reported once until it is over."""

    kind = "drift"
    at: datetime
    machine: str
    id: str
    direction: str  # "up" or "down"
    median: float  # of the scores of the last windows
    share_below: float  # the share of normal clips that score lower than this median; 0.5 is expected
    allowed: tuple[float, float]  # the range of that share which is no drift
    windows: int
    words: str


@dataclass(frozen=True, kw_only=True)
class UnlikeTraining(Event):
    """Sound unlike all training sound, such as silence: its score may mean nothing. Reported once until it ends."""

    kind = "unlike_training"
    at: datetime
    machine: str
    id: str
    name: str
    offset: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Unreadable(Event):
    """A file, or a part of it, that was not scored. The watch goes on."""

    kind = "unreadable"
    at: datetime
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Slow(Event):
    """Scoring takes longer than the sound lasts, so that a recorder may lose sound. Reported once."""

    kind = "slow"
    at: datetime
    share_of_real_time: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    kind = "stopped"
    at: datetime
    machine: str
    id: str
    reason: str  # "end of input", "interrupted", …
    windows: int
    alarms: int
    files: int  # of a folder that were scored, wholly or in part
    sound_seconds: float
    scoring_seconds: float
