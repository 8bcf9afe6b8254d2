"""From the score of a window to events: an alarm, a drift, sound that is unlike training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from asd_ray.deploy.result import ClipScore
from asd_ray.deploy.watch.alarm_rule import AlarmRule, AlarmState
from asd_ray.deploy.watch.drift import DriftRule
from asd_ray.deploy.watch.events import Alarm, AlarmEnded, Drift, Event, UnlikeTraining, WindowScored
from asd_ray.deploy.watch.source import Window


class WindowEvents:
    """Follows the windows of one machine, in order. With `windows`, each of them is an event as well."""

    def __init__(self, machine: str, id: str, rule: AlarmRule, drift: DriftRule, windows: bool = False) -> None:
        self.machine, self.id, self.rule, self.drift = machine, id, rule, drift
        self.alarms = 0
        self._state = AlarmState(rule)
        self._report_windows = windows
        self._unlike = False  # a run of windows with warnings is open
        self._usual = 0  # windows without a warning since the last one with

    def add(self, window: Window, score: ClipScore) -> Iterator[Event]:
        scored = WindowScored(
            began=window.began,
            ended=window.began + timedelta(seconds=window.seconds),
            machine=self.machine,
            id=self.id,
            name=window.name,
            offset=window.offset,
            score=score.score,
            share_below=score.share_below,
            threshold=self.rule.threshold,
            warnings=score.warnings,
        )
        if self._report_windows:
            yield scored
        if self._becomes_unlike(scored):
            yield UnlikeTraining(
                at=scored.ended,
                machine=self.machine,
                id=self.id,
                name=scored.name,
                offset=scored.offset,
                warnings=scored.warnings,
            )
        if change := self._state.add(scored):
            self.alarms += isinstance(change, Alarm)
            yield change
        if self.drift.add(score.score):
            yield self._drifted(scored)

    def end(self) -> AlarmEnded | None:
        """End an open alarm, because the watch stops."""
        return self._state.end()

    def _becomes_unlike(self, scored: WindowScored) -> bool:
        """Whether a run of windows with warnings begins. It is over after `clear_after` windows without any."""
        if scored.warnings:
            begins, self._unlike, self._usual = not self._unlike, True, 0
            return begins
        self._usual += 1
        self._unlike = self._unlike and self._usual < self.rule.clear_after
        return False

    def _drifted(self, scored: WindowScored) -> Drift:
        drift = self.drift
        direction = "up" if drift.share_below > 0.5 else "down"
        return Drift(
            at=scored.ended,
            machine=self.machine,
            id=self.id,
            direction=direction,
            median=drift.median,
            share_below=drift.share_below,
            allowed=(0.5 - drift.allowed, 0.5 + drift.allowed),
            windows=drift.windows,
            words=(
                f"the level of the scores went {direction}: the median of the last {drift.windows} windows is above "
                f"{drift.share_below:.0%} of the normal clips, where 50% is expected. If the machine is sound, record "
                "new normal clips and start again with --recalibrate FOLDER"
            ),
        )
