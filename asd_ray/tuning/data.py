"""The clips that a trial needs. Every process opens them once, from what the driver sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.clips.bank import Bank, ClipSet, open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.clips.faults import AlteredBank, FaultPlan, SourceClips, crops_of, plan_faults
from asd_ray.clips.hold_out import hold_out, set_unseen_apart
from asd_ray.clips.progress import ProgressCallback
from asd_ray.clips.sound_profile import SoundProfile, profiles_of
from asd_ray.clips.table import NORMAL, TEST, TRAIN, ClipTable
from asd_ray.detectors import Scores
from asd_ray.errors import AsdRayError
from asd_ray.families.weights import weights_files
from asd_ray.features import FeatureCache
from asd_ray.ledger import Settings, long_scores
from asd_ray.ledger.record import NORMAL_ONLY
from asd_ray.storage.caches import CACHE_CURE, cache_root
from asd_ray.storage.locks import locked
from asd_ray.storage.places import make_folder
from asd_ray.tuning.faults import TrialFailed
from asd_ray.tuning.judge import FaultJudge, Judge, LabelJudge, Verdict

SPLITS = ("test", "unseen", "held_out", "train", "fault", "crop")  # in the order in which a machine's scores are stored
BySplit = dict[str, Scores]


@dataclass(frozen=True)
class MachineData:
    """One machine's clips by split of the ledger, and who judges a detector's scores of them."""

    clips: Mapping[str, ClipSet]  # of all SPLITS
    judge: Judge

    @property
    def train(self) -> ClipSet:
        return self.clips["train"]

    @property
    def held_out(self) -> ClipSet:
        return self.clips["held_out"]

    @property
    def test(self) -> ClipSet:
        return self.clips["test"]

    @property
    def frame(self) -> pd.DataFrame:
        """The table of all clips, with the names of the ledger's splits."""
        return pd.concat([self.clips[split].frame.assign(split=split) for split in SPLITS], ignore_index=True)

    @cached_property
    def profiles(self) -> dict[str, SoundProfile]:
        """The sound profile of each id's training clips, and of all of them as ""."""
        return profiles_of(self.train)


class TrialData:
    """What a trial learns from and is judged on: the clips of one machine, or of several together."""

    def __init__(self, parts: Sequence[MachineData]) -> None:
        self.parts = tuple(parts)  # one per machine
        self.train = _joined([part.train for part in parts])

    def score(self, score: Callable[[ClipSet], Scores], splits: Sequence[str] = SPLITS) -> list[BySplit]:
        """The scores of each machine's clips by split.

        `score` is called once for the recordings of all machines, and once for the altered clips of each machine.
        """
        by_part: list[BySplit] = [{} for _ in self.parts]
        places: dict[int, list[tuple[int, str, ClipSet]]] = {}  # the clips of each bank
        for n, part in enumerate(self.parts):
            for split in splits:
                if len(clips := part.clips[split]):
                    places.setdefault(id(clips.bank), []).append((n, split, clips))
        variants: set[frozenset[str]] = set()
        for own in places.values():
            scores = score(_joined([clips for _, _, clips in own]))
            variants.add(frozenset(scores))
            for (n, split, _), piece in zip(own, _split(scores, [len(clips) for _, _, clips in own]), strict=True):
                by_part[n][split] = piece
        if len(variants) > 1:
            raise TrialFailed("score returned other variants for other clips; a detector always gives the same ones")
        return by_part

    def judge(self, scores: Sequence[BySplit]) -> list[Verdict]:
        """One verdict per machine."""
        return [part.judge(own) for part, own in zip(self.parts, scores, strict=True)]

    @property
    def judged_splits(self) -> tuple[str, ...]:
        """The splits whose scores `judge` needs."""
        return self.parts[0].judge.splits

    def tables(self, scores: Sequence[BySplit]) -> list[pd.DataFrame]:
        """The rows of each machine as the ledger stores them, from scores of all splits."""
        return [
            long_scores(part.frame, {variant: _in_order(own, variant) for variant in sorted(next(iter(own.values())))})
            for part, own in zip(self.parts, scores, strict=True)
        ]


def _in_order(scores: BySplit, variant: str) -> npt.NDArray[np.floating]:
    return np.concatenate([scores[split][variant] for split in SPLITS if split in scores])


def _joined(sets: Sequence[ClipSet]) -> ClipSet:
    return ClipSet(sets[0].bank, np.concatenate([clips.rows for clips in sets]), sets[0].channel)


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
    skip_broken: bool = False  # leave out clips that cannot be read
    # net -> the file of the user's pretrained weights; every node needs it at this path
    weights: dict[str, str] = field(default_factory=weights_files)
    run_id: str = ""  # the mark of the run, from Ledger.marked; "" where the search runs on this computer only
    fingerprints: dict[str, str] = field(
        default_factory=dict
    )  # machine -> fingerprint, on the computer that started the search
    _bank: Bank | None = field(default=None, repr=False)
    faults: dict[str, FaultPlan] = field(default_factory=dict)  # machine -> the faults that its trials score
    _machines: dict[tuple[str, Settings], MachineData] = field(default_factory=dict, repr=False)
    _trials: dict[tuple[tuple[str, ...], Settings], TrialData] = field(default_factory=dict, repr=False)
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
            self._bank = self.open(self._table_here())
        return self._bank

    def open(self, table: ClipTable, progress: ProgressCallback | None = None) -> Bank:
        """The bank of a table of this dataset, decoded as this source says; broken clips are left out if it says so."""
        return open_bank(
            table,
            rate=self.rate,
            channel=self.channel,
            cache=self.cache,
            progress=progress,
            skip_broken=self.skip_broken,
        )

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
        key = tuple(machines), settings
        if key not in self._trials:
            self._trials[key] = TrialData([self.machine(machine, settings) for machine in machines])
        return self._trials[key]

    def machine(self, machine: str, settings: Settings) -> MachineData:
        key = machine, settings
        if key not in self._machines:
            train, held_out = self._training(machine, settings.held_out)
            test = self.bank.select(machine, split=TEST)
            if self.bank.fingerprints[machine] != self.fingerprint(machine):
                raise AsdRayError(
                    f"{self.bank.table.root} holds other clips of {machine} here than where the search was started; "
                    "bring the same dataset to every node, or a folder that all of them share"
                )
            test, unseen = set_unseen_apart(test, settings.unseen)
            faults, crops = self._altered(machine, held_out)
            judge: Judge
            if settings.objective == NORMAL_ONLY:
                judge = FaultJudge(held_out.frame, faults.frame)
            else:
                judge = LabelJudge(machine, test.frame, settings.year)
            normal = {"held_out": held_out, "train": train, "fault": faults, "crop": crops}
            self._machines[key] = MachineData({"test": test, "unseen": unseen, **normal}, judge)
        return self._machines[key]

    def _altered(self, machine: str, held_out: ClipSet) -> tuple[ClipSet, ClipSet]:
        """Held-out clips with faults, and halves of held-out clips; none if no faults are planned."""
        sources, faults = SourceClips(held_out), self.faults.get(machine, FaultPlan(())).faults
        bank = AlteredBank(sources, (*faults, *(crops_of(sources) if faults else ())))
        return bank.clips(0, len(faults)), bank.clips(len(faults))

    def plan_faults(self, machine: str, held_out: float) -> None:
        """Plan the faults of a machine, once, on the computer that starts the search."""
        if machine not in self.faults:
            self.faults[machine] = plan_faults(*self._training(machine, held_out))

    def _training(self, machine: str, held_out: float) -> tuple[ClipSet, ClipSet]:
        """The normal training clips, and those of them that are held out."""
        train = self.bank.select(machine, split=TRAIN)
        return hold_out(train.take((train.frame["label"] == NORMAL).to_numpy()), held_out)
