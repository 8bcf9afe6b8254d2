from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from asd_ray.deploy.result import ClipScore, Samples
from asd_ray.deploy.watch import Alarm, AlarmEnded, Drift, Event, Started, Stopped, Unreadable, Watch, WindowScored
from asd_ray.deploy.watch.cutting import Cutter, Cutting
from asd_ray.deploy.watch.events import Slow, UnlikeTraining
from asd_ray.deploy.watch.source import Broken, Window, window_of
from asd_ray.errors import AsdRayError
from benchmarks._band_scorer import BandScorer, fitted, noise, tone

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCORER = fitted()


@dataclass
class Recording:
    """A source in memory: one sound, perhaps with pauses or broken parts between its pieces."""

    sound: Samples
    before: Sequence[Broken | None] = ()
    live: bool = False
    description: str = "a recording"
    files: int = 0

    def windows(self, cutting: Cutting, stopping: threading.Event) -> Iterator[Window | Broken | None]:
        yield from self.before
        cutter = Cutter(cutting)
        for first, samples in (*cutter.push(self.sound), *cutter.finish()):
            if stopping.is_set():
                return
            yield window_of("x.wav", NOON, first, samples, cutting)


def fault(at: float, seconds: float, of: float) -> Samples:
    """Noise of `of` seconds with a tone from `at` on."""
    sound = noise(of)
    part = slice(round(at * 4_000), round((at + seconds) * 4_000))
    sound[part] += tone(seconds)
    return sound


def events(sound: Samples, scorer: BandScorer = SCORER, **how: object) -> list[Event]:
    return list(Watch(scorer, Recording(sound), **{"window": 1.0, **how}))  # type: ignore[arg-type]


def of_kind(found: Sequence[Event], *kinds: type[Event]) -> list[Event]:
    return [event for event in found if isinstance(event, kinds)]


def test_a_fault_is_one_alarm_with_its_place_and_its_end() -> None:
    found = events(fault(20.0, 5.0, 60.0))
    assert [event.kind for event in found] == ["started", "alarm", "alarm_ended", "stopped"]
    alarm, ended = found[1:3]
    assert isinstance(alarm, Alarm)
    assert 19.0 <= alarm.offset <= 20.5
    assert alarm.began == datetime.fromtimestamp(NOON.timestamp() + alarm.offset, UTC)
    assert alarm.score > alarm.threshold
    assert alarm.share_below == 1.0
    assert (alarm.machine, alarm.id, alarm.name) == ("fan", "00", "x.wav")
    assert isinstance(ended, AlarmEnded)
    assert 5.0 <= ended.seconds <= 8.0
    assert 20.0 <= ended.worst_offset <= 25.0
    assert ended.reason == "normal again"


def test_an_hour_of_normal_sound_has_no_more_alarms_than_expected() -> None:
    """The expectation is per day, for windows in any order."""
    started, *alarms, stopped = events(noise(3600.0, seed=5))
    assert isinstance(started, Started)
    assert isinstance(stopped, Stopped)
    assert stopped.windows == 7199
    assert stopped.alarms <= max(3.0, started.false_alarms.per_day_most / 24)
    assert len(of_kind(alarms, Alarm)) == stopped.alarms


def test_the_started_event_says_what_the_watch_does() -> None:
    started = events(noise(1.0))[0].to_json()
    assert started["event"] == "started"
    assert (started["window"], started["hop"], started["alarm_after"], started["of"]) == (1.0, 0.5, 2, 3)
    assert started["threshold"] == SCORER.threshold
    assert started["lower_threshold"] == pytest.approx(np.quantile(SCORER.normal, 0.75))
    assert started["false_alarms"]["exceeding"] == 2
    assert started["false_alarms"]["normal_clips"] == 200
    assert "expect" in started["false_alarms"]["words"]
    assert "median score of the last 240 windows" in started["drift"]


def test_every_event_is_strict_json() -> None:
    sound = np.concatenate([fault(2.0, 5.0, 10.0), np.zeros(8_000, np.int16)])
    found = list(Watch(replace(SCORER, warn_below=0.0), Recording(sound, [Broken("y", "z")]), window=1.0, windows=True))
    kinds = {event.kind for event in found}
    assert kinds >= {"started", "window", "alarm", "alarm_ended", "unlike_training", "unreadable", "stopped"}
    for event in found:
        line = json.loads(json.dumps(event.to_json(), allow_nan=False))
        assert next(iter(line)) == "event"
        times = [line[name] for name in ("at", "began", "ended") if name in line]
        assert times
        assert all(datetime.fromisoformat(time).utcoffset() is not None and time.endswith("Z") for time in times)


def test_windows_are_reported_on_request() -> None:
    windows = of_kind(events(noise(5.0), windows=True), WindowScored)
    assert [window.to_json()["offset"] for window in windows] == [at / 2 for at in range(9)]
    assert of_kind(events(noise(5.0)), WindowScored) == []


def test_the_end_of_the_input_ends_an_open_alarm() -> None:
    *_, ended, stopped = events(fault(5.0, 5.0, 10.0))
    assert isinstance(ended, AlarmEnded)
    assert ended.reason == "stopped"
    assert isinstance(stopped, Stopped)
    assert stopped.reason == "end of input"


def test_stop_ends_a_watch_and_its_alarm() -> None:
    watch = Watch(SCORER, Recording(fault(0.0, 600.0, 600.0)), window=1.0)
    found = []
    for event in watch:
        found.append(event)
        if isinstance(event, Alarm):
            watch.stop("SIGTERM")
    assert [event.kind for event in found] == ["started", "alarm", "alarm_ended", "stopped"]
    assert found[-1].to_json()["reason"] == "SIGTERM"
    assert found[-1].to_json()["windows"] < 100


def test_broken_sound_is_reported_in_its_place() -> None:
    found = list(Watch(SCORER, Recording(noise(1.0), [None, Broken("y.wav", "truncated"), None]), window=1.0))
    assert [event.kind for event in found] == ["started", "unreadable", "stopped"]
    assert found[1].to_json()["reason"] == "truncated"


@dataclass(frozen=True)
class Counting(BandScorer):
    sizes: list[int] = field(default_factory=list)

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        self.sizes.append(len(waves))
        return super().score_waves(waves, id, names)


def counting() -> Counting:
    return Counting(SCORER.normal, SCORER.threshold)


def test_fast_input_is_scored_in_batches() -> None:
    scorer = counting()
    events(noise(25.0), scorer)
    assert scorer.sizes[1:] == [16, 16, 16, 1]  # the first one is the check of the window


def test_live_input_is_scored_at_once() -> None:
    @dataclass
    class Live(Recording):
        def windows(self, cutting: Cutting, stopping: threading.Event) -> Iterator[Window | Broken | None]:
            for window in super().windows(cutting, stopping):
                yield from (window, None, None)

    scorer = counting()
    list(Watch(scorer, Live(noise(5.0)), window=1.0))
    assert scorer.sizes[1:] == [1] * 9


def test_a_file_that_is_too_short_is_named_and_the_rest_of_its_batch_is_scored() -> None:
    @dataclass
    class Files(Recording):
        def windows(self, cutting: Cutting, stopping: threading.Event) -> Iterator[Window | Broken | None]:
            for name, seconds in (("short", 0.01), ("good", 1.0), ("tiny", 0.02)):
                yield window_of(name, NOON, 0, noise(seconds), cutting)

    found = list(Watch(SCORER, Files(noise(0.1)), window=1.0, windows=True))
    assert [(event.kind, getattr(event, "name", "")) for event in found[1:-1]] == [
        ("unreadable", "short"),
        ("window", "good"),
        ("unreadable", "tiny"),
    ]
    assert "0.1 s are needed" in found[1].to_json()["reason"]


def test_windows_that_no_detector_can_take_are_refused_at_the_start() -> None:
    with pytest.raises(AsdRayError, match=r"a window of 0.05 s: .*0.1 s are needed; choose another --window"):
        Watch(SCORER, Recording(noise(5.0)), window=0.05)


@dataclass(frozen=True)
class Picky(BandScorer):
    """Cannot score silence."""

    answer: float | None = None

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        scores = super().score_waves(waves, id, names)
        if self.answer is None and not all(wave.any() for wave in waves):
            raise AsdRayError("silence has no score")
        return [
            score if wave.any() else replace(score, score=self.answer)
            for wave, score in zip(waves, scores, strict=True)
        ]


@pytest.mark.parametrize(("answer", "words"), [(None, "silence has no score"), (np.nan, "its score is nan")])
def test_a_part_of_a_stream_without_a_score_is_reported_once(answer: float | None, words: str) -> None:
    sound = np.concatenate([noise(10.0), np.zeros(40_000, np.int16)] * 2 + [noise(5.0)])
    found = events(sound, Picky(SCORER.normal, SCORER.threshold, answer=answer), windows=True)
    assert [event.to_json()["reason"] for event in of_kind(found, Unreadable)] == [words] * 2
    assert 50 < len(of_kind(found, WindowScored)) < 70  # those of 25 s of noise


def test_a_shift_of_the_level_is_a_drift_and_normal_sound_is_none() -> None:
    quieter = noise(200.0, level=350.0)
    (drift,) = of_kind(events(np.concatenate([noise(200.0, seed=9), quieter])), Drift)
    assert isinstance(drift, Drift)
    assert (drift.direction, drift.windows) == ("down", 240)
    assert drift.share_below < drift.allowed[0]
    assert "--recalibrate" in drift.words
    assert of_kind(events(noise(400.0, seed=10)), Drift) == []


def test_silence_is_reported_once_until_it_is_over() -> None:
    silence = np.zeros(10 * 4_000, np.int16)
    sound = np.concatenate([noise(10.0), silence, noise(10.0), silence])
    found = of_kind(events(sound, replace(SCORER, warn_below=0.0)), UnlikeTraining)
    assert [round(event.to_json()["offset"]) for event in found] == [10, 30]
    assert found[0].to_json()["warnings"] == ["it is silent"]


def test_scoring_that_is_slower_than_the_sound_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0, 1e6, 20.0))  # a batch of 16 takes 20 s
    monkeypatch.setattr("asd_ray.deploy.watch.watch.time.perf_counter", lambda: next(clock))
    found = list(Watch(SCORER, Recording(noise(60.0), live=True), window=1.0))
    (slow,) = of_kind(found, Slow)
    assert slow.to_json()["share_of_real_time"] == 40 / (32 * 0.5)
    assert of_kind(list(Watch(SCORER, Recording(noise(60.0)), window=1.0)), Slow) == []


def test_the_id_is_the_only_one_or_the_given_one(tmp_path: Path) -> None:
    several = replace(SCORER, ids=("00", "02"))
    assert Watch(SCORER, Recording(noise(1.0))).id == "00"
    assert Watch(several, Recording(noise(1.0)), id="02").id == "02"
    assert Watch(several, Recording(noise(1.0))).id == ""


def test_no_normal_scores_are_refused() -> None:
    with pytest.raises(AsdRayError, match="--recalibrate FOLDER"):
        Watch(replace(SCORER, normal=np.zeros(0)), Recording(noise(1.0)))


def test_a_lower_threshold_of_ones_own() -> None:
    watch = Watch(SCORER, Recording(noise(1.0)), lower_threshold=float(SCORER.normal[3]))
    assert watch.rule.lower_threshold == SCORER.normal[3]
