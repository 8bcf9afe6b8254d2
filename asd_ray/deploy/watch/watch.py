"""Watch one machine: windows of sound in, alarms out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite

import numpy as np

from asd_ray.deploy.result import ClipScore, Scorer, on_every_channel
from asd_ray.deploy.watch.alarm_rule import ALARM_AFTER, CLEAR_AFTER, OF, AlarmRule, low_level
from asd_ray.deploy.watch.cutting import WINDOW, Cutting
from asd_ray.deploy.watch.drift import WINDOWS, DriftRule
from asd_ray.deploy.watch.events import (
    Event,
    Slow,
    Started,
    Stopped,
    Unreadable,
)
from asd_ray.deploy.watch.false_alarms import expected_false_alarms
from asd_ray.deploy.watch.source import Broken, Source, Window
from asd_ray.deploy.watch.window_events import WindowEvents
from asd_ray.errors import AsdRayError

BATCH = 16  # windows that are scored together when sound comes faster than real time
END_OF_INPUT, INTERRUPTED = "end of input", "interrupted"
SLOW_AFTER = 20  # windows, over which the time of scoring is averaged


class Watch:
    """Iterate over it to get events, from `Started` to `Stopped`; `stop` ends it from another thread or a signal.

    All defaults are in the modules that use them: alarm_rule.py, cutting.py, drift.py. Events of single windows are
    given only with `windows`.
    """

    def __init__(
        self,
        scorer: Scorer,
        source: Source,
        *,
        id: str | None = None,
        window: float = WINDOW,
        hop: float | None = None,
        alarm_after: int = ALARM_AFTER,
        of: int = OF,
        clear_after: int = CLEAR_AFTER,
        lower_threshold: float | None = None,
        drift_windows: int = WINDOWS,
        windows: bool = False,
    ) -> None:
        self.scorer, self.source = scorer, source
        self.id = id if id is not None else (scorer.ids[0] if len(scorer.ids) == 1 else "")
        self.cutting = Cutting(scorer.rate, window, window / 2 if hop is None else hop)
        normal = scorer.normal_scores(self.id)
        if not len(normal):
            raise AsdRayError(
                f"{scorer.machine}: no scores of normal clips are known; calibrate with --recalibrate FOLDER"
            )
        lower = low_level(normal, scorer.threshold) if lower_threshold is None else lower_threshold
        self.rule = AlarmRule(scorer.threshold, lower, alarm_after, of, clear_after)
        self.rule.check_it_ends(normal)
        self.false_alarms = expected_false_alarms(normal, self.rule, self.cutting.hop)
        drift = DriftRule(normal, drift_windows, self.cutting.overlap)
        self._window_events = WindowEvents(scorer.machine, self.id, self.rule, drift, windows)
        self._check_window()
        self._stopping = threading.Event()
        self._reason = END_OF_INPUT
        self._windows = self._last_windows = 0
        self._busy = self._last_busy = 0.0  # seconds of scoring: of all windows, of the last ones
        self._was_slow = False
        self._failing: str | None = None  # the name of the sound whose last window could not be scored

    def stop(self, reason: str = INTERRUPTED) -> None:
        """End after the windows that are being scored. An open alarm is reported as ended with "stopped"."""
        self._reason = reason
        self._stopping.set()

    def __iter__(self) -> Iterator[Event]:
        """The events. A watch can be iterated once."""
        yield self._started()
        failure: Exception | None = None
        try:
            yield from self._events()
        except (AsdRayError, OSError) as error:
            failure, self._reason = error, str(error)
        self._stopping.set()  # ends the reader of a stream
        if ended := self._window_events.end():
            yield ended
        yield self._stopped()
        if failure:
            raise failure

    def _events(self) -> Iterator[Event]:
        batch: list[Window] = []
        for found in self.source.windows(self.cutting, self._stopping):
            if isinstance(found, Window):
                batch.append(found)
            if batch and (len(batch) == BATCH or not isinstance(found, Window)):
                yield from self._scored(batch)
                batch = []
            if isinstance(found, Broken):
                yield Unreadable(at=_now(), name=found.name, reason=found.reason)
        if batch:
            yield from self._scored(batch)

    def _scored(self, batch: list[Window]) -> Iterator[Event]:
        began = time.perf_counter()
        scores = self._scores(batch)
        seconds = time.perf_counter() - began
        self._busy += seconds
        for window, score in zip(batch, scores, strict=True):
            if isinstance(score, AsdRayError):
                if window.name != self._failing:  # once until a window of it can be scored again
                    yield Unreadable(at=_now(), name=window.name, reason=str(score))
                self._failing = window.name
            else:
                self._failing = None
                self._windows += 1
                yield from self._window_events.add(window, score)
        yield from self._slow(seconds, len(batch))

    def _slow(self, seconds: float, windows: int) -> Iterator[Slow]:
        """Whether the last windows of a stream took longer than their sound lasts. Reported once."""
        self._last_busy, self._last_windows = self._last_busy + seconds, self._last_windows + windows
        if self._last_windows < SLOW_AFTER:
            return
        share = self._last_busy / (self._last_windows * self.cutting.hop)
        self._last_busy, self._last_windows = 0.0, 0
        if self.source.live and share > 1 and not self._was_slow:
            self._was_slow = True
            words = "scoring takes longer than the sound lasts, so the recorder may lose sound; choose a longer --hop"
            yield Slow(at=_now(), share_of_real_time=round(share, 3), words=words)

    def _scores(self, batch: list[Window]) -> list[ClipScore | AsdRayError]:
        """One score per window; an error for one that cannot be scored, such as a file that is too short."""
        try:
            scores = self.scorer.score_waves([w.samples for w in batch], self.id, [w.name for w in batch])
            return [s if isfinite(s.score) else AsdRayError(f"its score is {s.score}") for s in scores]
        except AsdRayError as error:
            if len(batch) > 1:
                return [self._scores([window])[0] for window in batch]
            return [error]

    def _check_window(self) -> None:
        """Score a window of faint noise: AsdRayError if windows are too short. It also loads libraries."""
        noise = np.random.default_rng(0).normal(0, 100, self.cutting.size).astype(np.int16)
        try:
            sound = on_every_channel(noise, self.scorer)
            self.scorer.score_waves([sound], self.id, [f"a window of {self.cutting.window:g} s"])
        except AsdRayError as error:
            raise AsdRayError(f"{error}; choose another --window") from error

    def _started(self) -> Started:
        return Started(
            at=_now(),
            machine=self.scorer.machine,
            id=self.id,
            source=self.source.description,
            window=self.cutting.window,
            hop=self.cutting.hop,
            threshold=self.rule.threshold,
            lower_threshold=self.rule.lower_threshold,
            alarm_after=self.rule.alarm_after,
            of=self.rule.of,
            clear_after=self.rule.clear_after,
            false_alarms=self.false_alarms,
            drift=self._window_events.drift.words,
        )

    def _stopped(self) -> Stopped:
        return Stopped(
            at=_now(),
            machine=self.scorer.machine,
            id=self.id,
            reason=self._reason,
            windows=self._windows,
            alarms=self._window_events.alarms,
            files=self.source.files,
            sound_seconds=round(self._windows * self.cutting.hop, 3),
            scoring_seconds=round(self._busy, 3),
        )


def _now() -> datetime:
    return datetime.now(UTC)
