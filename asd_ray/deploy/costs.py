"""Measure how long the detectors of a run take to score 10 s of sound on this computer: `--infer-limit` chooses by it.

One clip of 10 s at the run's rate is scored at a time, on the CPU and in one thread, by detectors that have scored
before; the numbers are medians. They are times of the processor, so they do not count how long other programs had it.
Reading a file is not part of them, nor the milliseconds that a bundle takes to check and standardise a clip.

Detectors of a bundle with the same front end compute their features once. So features are timed apart from detectors,
and the cost of an ensemble is the sum of its parts. That forecasts its time; caches of the processor make it differ a
little. What is reported, and compared with the limit, is the time of the whole ensemble, measured after it was chosen.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from asd_ray._progress import progress_bar
from asd_ray.clips.audio import ALL
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.deploy.detectors import make_detector
from asd_ray.detectors import Context, Detector
from asd_ray.detectors.state_file import from_bytes
from asd_ray.ensembling.costs import SECONDS, Costs
from asd_ray.errors import AsdRayError
from asd_ray.families.family import family
from asd_ray.features import DirectFeatures, FrontEnd
from asd_ray.features.extract import Features
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.states import States

WARM_UP = 2  # scores before the first one that counts
LEAST, MOST = 3, 9  # scores that are timed …
LONG = 1.0  # … until they took so many seconds
SLOW = 3.0  # … or fewer than the least where they took so many
LOUD = 3000  # deviation of the noise that is scored, of int16
NO_STATE = "the search kept no state of them; a search with --keep-states all keeps those of all its trials"


class TimedFeatures(DirectFeatures):
    """Direct features that remember how long each front end took."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, list[float]] = {}  # front end and type of its numbers -> seconds, each time

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features:
        before = len(self._computed)
        start = time.process_time()
        features = super().get(front_end, clips, device=device, dtype=dtype)
        if len(self._computed) > before:
            self.seconds.setdefault(f"{front_end.hash} {dtype}", []).append(time.process_time() - start)
        return features

    @property
    def spent(self) -> float:
        return sum(map(sum, self.seconds.values()))


class Stopwatch:
    """Times the detectors of one machine of a run. It is the `Timer` that `asd_ray.ensembling.choose` calls.

    `families` are classes that cannot be imported by their name.
    """

    def __init__(self, ledger: Ledger, machine: str, families: Sequence[type] = ()) -> None:
        self.machine = machine
        self.unmeasured: dict[str, str] = {}  # trial -> reason
        self._states = States(ledger)
        self._records = {record.trial: record for record in ledger.records(machine)}
        self._own = {known.target: known for known in map(family, families)}
        self._detectors: dict[str, float] = {}  # trial -> seconds without features
        self._uses: dict[str, tuple[str, ...]] = {}
        self._features: dict[str, list[float]] = {}  # front end -> seconds, each time
        self._wholes: dict[frozenset[str], float] = {}

    @cached_property
    def computer(self) -> str:
        """The processor's name."""
        try:
            lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        except OSError:  # not Linux
            lines = []
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return (names[0] if names else platform.processor() or platform.machine())[:200]

    def costs(self, trials: Sequence[str]) -> Costs:
        """The costs of the trials whose state can be loaded; `unmeasured` has the others."""
        new = [trial for trial in trials if trial not in self._detectors and trial not in self.unmeasured]
        with progress_bar("timing", things="detectors") as shown, _one_thread():
            for number, trial in enumerate(new):
                shown(number, len(new))
                try:
                    self._measure(self._records[trial])
                except AsdRayError as error:
                    self.unmeasured[trial] = str(error)
        known = [trial for trial in trials if trial in self._detectors]
        uses = {trial: self._uses[trial] for trial in known}
        names = sorted({name for own in uses.values() for name in own})
        return Costs(
            computer=self.computer,
            detectors={trial: self._detectors[trial] for trial in known},
            features={name: statistics.median(self._features[name]) for name in names},
            uses=uses,
        )

    def whole(self, trials: Sequence[str]) -> float:
        """Seconds of these trials together, as a bundle scores one clip."""
        key = frozenset(trials)
        if key not in self._wholes:
            features = TimedFeatures()
            records = [self._records[trial] for trial in trials]
            loaded = [self._load(record, features) for record in records]
            clips = loaded[0][1]

            def score() -> float:
                start = time.process_time()
                for record, (detector, _) in zip(records, loaded, strict=True):
                    _score(record, detector, clips)
                features.forget()
                return time.process_time() - start

            with _one_thread():
                self._wholes[key] = statistics.median(_repeated(score))
        return self._wholes[key]

    def _measure(self, record: TrialRecord) -> None:
        features = TimedFeatures()
        detector, clips = self._load(record, features)

        def score() -> float:
            before, start = features.spent, time.process_time()
            _score(record, detector, clips)
            seconds = time.process_time() - start - (features.spent - before)
            features.forget()
            return seconds

        own = _repeated(score)
        self._detectors[record.trial] = statistics.median(own)
        self._uses[record.trial] = tuple(sorted(features.seconds))
        for name, seconds in features.seconds.items():
            self._features.setdefault(name, []).extend(seconds[-len(own) :])  # without those of the warm-up

    def _load(self, record: TrialRecord, features: TimedFeatures) -> tuple[Detector, ClipSet]:
        """The detector of a trial, and the clip that it scores."""
        content = self._states.read(record.family, record.trial)
        if content is None:
            raise AsdRayError(NO_STATE)
        where = f"the state of {record.name}"
        state, about = from_bytes(content, where)
        context = Context(torch.device("cpu"), about["seed"], features, about["rate"])
        return make_detector(about, state, context, self._own, where), self._clip(about)

    def _clip(self, about: dict[str, Any]) -> ClipSet:
        """Noise, because the time does not depend on what is heard; of an id that the detector knows."""
        noise = np.random.default_rng(0).normal(0, LOUD, round(SECONDS * about["rate"])).astype(np.int16)
        ids = sorted(id for id in about["profiles"].get(self.machine, {}) if id)
        if about.get("channel") == ALL:
            channels = max(about["profiles"].get(self.machine, {}).get("", {}).get("channels", [1]))
            noise = np.stack([noise] * channels)
        bank = WaveBank([noise], machine=self.machine, rate=about["rate"], ids=ids[:1] or [""])
        return ClipSet(bank, np.arange(1))


def _score(record: TrialRecord, detector: Detector, clips: ClipSet) -> None:
    try:
        detector.score(clips)
    except Exception as error:  # of a user's class
        raise AsdRayError(f"{record.name} cannot score {SECONDS:g} s of noise ({error})") from error


def _repeated(score: Callable[[], float]) -> list[float]:
    """Times of a warm detector. Those of a slow one are fewer: they differ less, and choosing would take long."""
    start = time.process_time()
    for _ in range(WARM_UP):
        if time.process_time() - start < LONG:
            score()
    start = time.process_time()
    times = [score()]
    while len(times) < MOST and time.process_time() - start < (SLOW if len(times) < LEAST else LONG):
        times.append(score())
    return times


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # of numpy, scipy and scikit-learn
            yield
    finally:
        torch.set_num_threads(before)
