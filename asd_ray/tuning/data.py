"""The clips that a trial needs. Every process opens them once, from what the driver sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from asd_ray.clips.bank import Bank, ClipSet, open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.clips.hold_out import hold_out
from asd_ray.clips.sound_profile import SoundProfile, profiles_of
from asd_ray.clips.table import NORMAL, TEST, TRAIN, ClipTable
from asd_ray.detectors import Scores
from asd_ray.errors import AsdRayError
from asd_ray.features import FeatureCache
from asd_ray.ledger import Settings
from asd_ray.storage.caches import CACHE_CURE, cache_root
from asd_ray.storage.locks import locked
from asd_ray.storage.places import make_folder
from asd_ray.tuning.judge import Judge, Verdict


@dataclass(frozen=True)
class MachineData:
    """One machine's clips: those to train on, those held out, and those to be judged on."""

    train: ClipSet
    held_out: ClipSet
    test: ClipSet
    judge: Judge

    @property
    def everything(self) -> ClipSet:
        """All clips that a trained detector scores: test, held out, train."""
        return ClipSet(self.test.bank, np.concatenate([self.test.rows, self.held_out.rows, self.train.rows]))

    @property
    def frame(self) -> pd.DataFrame:
        """The table of `everything`, with the names of the ledger's splits."""
        parts = (("test", self.test), ("held_out", self.held_out), ("train", self.train))
        return pd.concat([clips.frame.assign(split=split) for split, clips in parts], ignore_index=True)

    @cached_property
    def profiles(self) -> dict[str, SoundProfile]:
        """The sound profile of each id's training clips, and of all of them as ""."""
        return profiles_of(self.train)


class TrialData:
    """What a trial learns from and is judged on: the clips of one machine, or of several together."""

    def __init__(self, parts: Sequence[MachineData]) -> None:
        self.parts = tuple(parts)  # one per machine
        self.train = _joined([part.train for part in parts])
        self.test = _joined([part.test for part in parts])
        everything = [part.everything for part in parts]
        self.everything = _joined(everything)
        self._test_sizes, self._sizes = [len(part.test) for part in parts], [len(clips) for clips in everything]

    def split_all(self, scores: Scores) -> list[Scores]:
        """Scores of `everything` as one dictionary per machine."""
        return _split(scores, self._sizes)

    def judge_all(self, scores: Scores) -> list[Verdict]:
        """One verdict per machine from scores of `everything`, where the test clips of each machine come first."""
        return self._judge(
            [
                {variant: values[:size] for variant, values in own.items()}
                for own, size in zip(self.split_all(scores), self._test_sizes, strict=True)
            ]
        )

    def judge_test(self, scores: Scores) -> list[Verdict]:
        """One verdict per machine from scores of `test`."""
        return self._judge(_split(scores, self._test_sizes))

    def _judge(self, of_test: Sequence[Scores]) -> list[Verdict]:
        return [part.judge(scores) for part, scores in zip(self.parts, of_test, strict=True)]


def _joined(sets: Sequence[ClipSet]) -> ClipSet:
    return ClipSet(sets[0].bank, np.concatenate([clips.rows for clips in sets]))


def _split(scores: Scores, sizes: Sequence[int]) -> list[Scores]:
    ends = np.cumsum(sizes)[:-1]
    pieces = {variant: np.split(values, ends) for variant, values in scores.items()}
    return [{variant: arrays[n] for variant, arrays in pieces.items()} for n in range(len(sizes))]


@dataclass
class DataSource:
    """Where the audio is and how it is decoded. It is small and can be pickled, so it is sent to every node.

    A node downloads what is on S3, and creates the demo set itself.
    """

    table: ClipTable
    rate: int = 16_000
    channel: int | str = 0
    cache: str | None = None
    is_demo: bool = False
    run_id: str = ""  # the mark of the run, from Ledger.marked; "" where the search runs on this computer only
    fingerprints: dict[str, str] = field(
        default_factory=dict
    )  # machine -> fingerprint, on the computer that started the search
    _bank: Bank | None = field(default=None, repr=False)
    _machines: dict[tuple[str, float, int | None], MachineData] = field(default_factory=dict, repr=False)
    _trials: dict[tuple[tuple[str, ...], float, int | None], TrialData] = field(default_factory=dict, repr=False)
    _features: FeatureCache | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, object]:
        closed: dict[str, object] = {"_bank": None, "_machines": {}, "_trials": {}, "_features": None}
        return {**self.__dict__, **closed}  # a process opens its own

    @property
    def name(self) -> str:
        return self.table.root.name

    @property
    def bank(self) -> Bank:
        if self._bank is None:
            self._bank = open_bank(self._table_here(), rate=self.rate, channel=self.channel, cache=self.cache)
        return self._bank

    def use(self, bank: Bank) -> None:
        """Take a bank that is open already: the search opens it with a progress bar."""
        self._bank, self.fingerprints = bank, dict(bank.fingerprints)

    def fingerprint(self, machine: str) -> str:
        """As the search knows it: a node that lacks the clips can still name them in a record."""
        return self.fingerprints.get(machine) or self.bank.fingerprints[machine]

    def _table_here(self) -> ClipTable:
        """The table with its root on this node."""
        if not self.is_demo or self.table.root.is_dir():
            return self.table
        root = cache_root(self.cache) / self.table.root.name
        make_folder(root.parent, "the demo set", CACHE_CURE)
        with locked(root.with_name(f"{root.name}.lock")):
            make_demo(root, machines=self.table.machines, grow=True, cure=CACHE_CURE)
        return replace(self.table, root=root)

    @property
    def features(self) -> FeatureCache:
        """One per process, so that the digest of an entry is checked once and not in every trial."""
        if self._features is None:
            self._features = FeatureCache(self.cache)
        return self._features

    def trial(self, machines: Sequence[str], settings: Settings) -> TrialData:
        key = (tuple(machines), settings.held_out, settings.year)
        if key not in self._trials:
            self._trials[key] = TrialData([self.machine(machine, settings) for machine in machines])
        return self._trials[key]

    def machine(self, machine: str, settings: Settings) -> MachineData:
        key = (machine, settings.held_out, settings.year)
        if key not in self._machines:
            train = self.bank.select(machine, split=TRAIN)
            train = train.take((train.frame["label"] == NORMAL).to_numpy())
            test = self.bank.select(machine, split=TEST)
            if self.bank.fingerprints[machine] != self.fingerprint(machine):
                raise AsdRayError(
                    f"{self.bank.table.root} holds other clips of {machine} here than where the search was started; "
                    "bring the same dataset to every node, or a folder that all of them share"
                )
            fitted, held_out = hold_out(train, settings.held_out)
            self._machines[key] = MachineData(fitted, held_out, test, Judge(machine, test.frame, settings.year))
        return self._machines[key]
