"""The candidates of one machine: the test scores of each, and its scores of normal clips."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray._terminal import typed
from asd_ray.ensembling.budget import Budget
from asd_ray.ensembling.costs import Costs
from asd_ray.ensembling.unseen import UnseenClips, unseen_clips
from asd_ray.errors import AsdRayError
from asd_ray.metrics import EvaluableClips, can_evaluate, evaluable_clips

if TYPE_CHECKING:
    from asd_ray.ledger import CandidateMatrix, Ledger, TrialRecord
    from asd_ray.ledger.matrix import Missing

Floats = npt.NDArray[np.float64]
BY = ("held_out", "train", "test")  # splits whose scores can standardise
CONSTANT = "constant scores"
TEST_OTHERS = "test scores of other clips"
UNTIMED = "time not measured"
RECENT = 64  # members and splits whose rows are remembered: an ensemble of 25 members needs 50


@dataclass(frozen=True)
class LeftOut:
    """A candidate that no recipe can choose, and the reason."""

    name: str
    family: str
    variant: str  # "" for all of the trial
    reason: str
    detail: str = ""  # more than the ensemble file keeps

    def __str__(self) -> str:
        return " ".join(filter(None, (self.name, self.variant, f"({self.reason})")))


@dataclass(frozen=True)
class AlteredClips:
    """The scores of altered held-out clips. A candidate of an earlier version has none: NaN throughout."""

    clips: pd.DataFrame  # clip, id, domain; a clip's name says how it is altered
    scores: npt.NDArray[np.float32]  # [candidates, clips]

    def take(self, rows: npt.NDArray[Any]) -> AlteredClips:
        return replace(self, scores=self.scores[rows])


@dataclass(frozen=True)
class Candidates:
    """Every candidate of one machine, over the same clips.

    `table` has one row per candidate: trial, variant, name, family, …, paper (whether it has its paper's setting),
    epochs (how many it trained), params, peeked (whether its epoch was chosen by test labels), guided (whether its
    search was led by test labels).
    `normal` holds the clips whose scores standardise: normal clips of the training data or held-out ones; where `by`
    is "test", the test clips themselves, without their labels.
    """

    machine: str
    table: pd.DataFrame
    clips: pd.DataFrame  # test clips: clip, id, domain, label; no row if the machine has none
    scores: npt.NDArray[np.float32]  # [candidates, test clips]
    normal: pd.DataFrame
    normal_scores: npt.NDArray[np.float32]  # [candidates, normal clips]
    by: str
    dataset: str
    fingerprint: str
    year: int | None
    left_out: tuple[LeftOut, ...] = ()
    run: str = ""  # the name that a user types
    targets: Mapping[str, str] = field(default_factory=dict)  # a user's family -> package.module:Class
    costs: Costs | None = None  # of every candidate's trial, where the time of an ensemble is limited
    limit: float = math.inf  # seconds that the costs of an ensemble's members may add up to
    objective: str = "labels"  # what the search compared its trials by: labels, or normal-only
    faults: AlteredClips | None = None  # None if no candidate was scored on injected faults
    crops: AlteredClips | None = None  # halves of clips; None if no candidate was scored on them
    unseen: UnseenClips | None = None  # labelled clips that were set aside; only for measuring
    memory: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)  # results, by name
    # trial, variant, split -> the rows of its scores: splits that only some questions about an ensemble's members need
    rows_of: Callable[[str, str, str], pd.DataFrame] | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: npt.ArrayLike) -> Candidates:
        at = np.asarray(rows)
        return replace(
            self,
            table=self.table.iloc[at].reset_index(drop=True),
            scores=self.scores[at],
            normal_scores=self.normal_scores[at],
            faults=self.faults and self.faults.take(at),
            crops=self.crops and self.crops.take(at),
            unseen=self.unseen and self.unseen.take(np.arange(len(self))[at]),
        )

    def of_split(self, split: str) -> tuple[pd.DataFrame, Floats] | None:
        """The clips of a split that all of these candidates scored, and their scores; None if there are none.

        For the few members of an ensemble: it reads the rows of one member after the other.
        """
        if self.rows_of is None:
            return None
        shared: pd.DataFrame | None = None
        for row, (trial, variant) in enumerate(self.pairs):
            own = self.rows_of(trial, variant, split)
            column = own.set_index(own["clip"].astype(str))["score"].rename(row)
            if shared is None:
                shared, first = column.to_frame(), own
            else:
                shared = shared.join(column, how="inner")
        if shared is None or not len(shared):
            return None
        clips = first.set_index(first["clip"].astype(str)).loc[shared.index, ["id", "domain", "label"]].astype(str)
        return clips.reset_index(names="clip"), shared.to_numpy(np.float64).T

    def search(self, families: Sequence[str] = (), *options: str) -> str:
        """The command that searches more candidates, for a message. It is for all machines where `machine` is ""."""
        if families:
            options = ("--families", ",".join(self.targets.get(name, name) for name in families), *options)
        where = ("--run", self.run) if self.run else ()
        return typed("asd-ray", "search", *filter(None, (self.machine,)), *options, *where)

    @property
    def judged(self) -> EvaluableClips:
        return evaluable_clips(self.machine, self.clips, self.year)

    @property
    def labelled(self) -> bool:
        """Whether an id has known normal and anomalous test clips. Without such an id nothing can be measured."""
        return can_evaluate(self.clips)

    @property
    def normal_only(self) -> bool:
        """Whether the search used no label, so that none may choose among its ensembles unless a user asks for it."""
        from asd_ray.ledger.record import NORMAL_ONLY

        return self.objective == NORMAL_ONLY

    @property
    def digest(self) -> str:
        """A digest of the candidates. Ensembles are compared only if they were chosen from the same candidates."""
        digest = hashlib.blake2b(digest_size=8)
        for trial, variant in self.pairs:
            digest.update(f"{trial} {variant}\n".encode())
        return digest.hexdigest()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Trial and variant of each candidate."""
        return _pairs(self.table)

    @property
    def budget(self) -> Budget:
        return Budget.of(self.table["trial"].tolist(), self.costs, self.limit)

    def label(self, row: int) -> str:
        """A candidate's name in messages."""
        return f"{self.table['name'].iat[row]} {self.table['variant'].iat[row]}"


def load(
    ledger: Ledger,
    machine: str,
    by: str = "held_out",
    *,
    only: Mapping[str, Sequence[str]] | None = None,
    drop: bool = False,
) -> Candidates:
    """All complete candidates of `machine`, or those of `only`, trial -> variants.

    A candidate without scores of the clips that standardise is left out and named; these are the clips that most
    candidates share. A candidate that lacks test clips is an error, or with `drop` it is left out, too.
    """
    from asd_ray.ledger.record import LABELS, ORACLE

    records = {record.trial: record for record in ledger.records(machine) if record.status == "complete"}
    _one_dataset(ledger, machine, list(records.values()))
    asked = None if only is None else {(trial, variant) for trial, those in only.items() for variant in those}
    if _has_test(ledger, machine):
        test = _matrix(ledger, machine, "test", asked, "drop" if drop else "raise")
        normal = test if by == "test" else _normals(ledger, machine, by, asked)
    else:
        normal = _normals(ledger, machine, by, asked)
        test = _without_clips(normal)
    place = {pair: row for row, pair in enumerate(_pairs(normal.candidates))}
    pairs = _pairs(test.candidates)
    usable = [row for row, pair in enumerate(pairs) if pair in place and (asked is None or pair in asked)]
    has = {entry.record.trial for entry in ledger.entries(machine) if entry.splits.get(by) is not None}
    left_out = [
        LeftOut(records[t].name, records[t].family, v, f"{by} scores of other clips" if t in has else f"no {by} scores")
        for t, v in pairs
        if (t, v) not in place
    ]
    shown = {trial for trial, _ in pairs}
    left_out += [
        LeftOut(record.name, record.family, "", TEST_OTHERS)
        for trial, record in records.items()
        if drop and trial not in shown
    ]
    if asked is not None and len(usable) < len(asked):
        missing = sorted(asked - {pairs[row] for row in usable})
        raise AsdRayError(
            f"{machine}: the ledger has no complete scores of {missing[0][0]} variant {missing[0][1]!r}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; they were removed or never finished: search again, or choose a new ensemble"
        )
    if not usable:
        raise AsdRayError(_without_normals(machine, by))
    frame = test.candidates.iloc[usable].reset_index(drop=True)
    own = [records[trial] for trial in frame["trial"]]
    # searched trials have one dataset; imported ones do not record their clips
    of_dataset = next((record for record in records.values() if record.source == "search"), own[0])
    return Candidates(
        machine,
        frame.assign(
            paper=np.array([record.paper for record in own]),
            epochs=np.array([record.epochs for record in own]),
            peeked=np.array([bool(record.settings and record.settings.checkpoint == ORACLE) for record in own]),
            guided=np.array([bool(record.settings and record.settings.objective == LABELS) for record in own]),
            params=pd.Series([record.params for record in own], dtype=object),
        ),
        test.clips,
        test.scores[usable],
        normal.clips,
        normal.scores[[place[pairs[row]] for row in usable]],
        by,
        of_dataset.dataset,
        of_dataset.data_fingerprint,
        year_of(list(records.values())),
        tuple(left_out),
        ledger.layout.root,
        _targets(records.values()),
        objective=objective_of_search(records.values()),
        faults=_altered(ledger, machine, "fault", asked, [pairs[row] for row in usable]),
        crops=_altered(ledger, machine, "crop", asked, [pairs[row] for row in usable]),
        rows_of=_rows_of(ledger, records),
        unseen=unseen_clips(ledger, machine, [pairs[row] for row in usable], test.clips["clip"].tolist()),
    )


def _rows_of(ledger: Ledger, records: Mapping[str, TrialRecord]) -> Callable[[str, str, str], pd.DataFrame]:
    """The function that reads the rows of one variant of a trial. Recipes share members, so it remembers `RECENT`.

    It remembers no other variant: 19 of them on the 6,000 training clips of a DCASE machine take 17 MB per trial.
    """

    @lru_cache(RECENT)
    def read(trial: str, variant: str, split: str) -> pd.DataFrame:
        table = ledger.scores(records[trial], [split])
        return table[table["variant"] == variant]

    return read


def objective_of_search(records: Iterable[TrialRecord]) -> str:
    """normal-only if no searched trial was compared by labels, else labels; imported systems may have seen some."""
    from asd_ray.ledger.record import LABELS, NORMAL_ONLY
    from asd_ray.ledger.units import objective_of

    return NORMAL_ONLY if set(map(objective_of, records)) == {NORMAL_ONLY} else LABELS


def _has_test(ledger: Ledger, machine: str) -> bool:
    complete = [entry for entry in ledger.entries(machine) if entry.record.status == "complete"]
    return any(entry.splits.get("test") is not None for entry in complete)


def _without_clips(normal: CandidateMatrix) -> CandidateMatrix:
    """The same candidates on no test clip."""
    scores = np.zeros((len(normal.candidates), 0), np.float32)
    return replace(normal, split="test", scores=scores, clips=normal.clips.iloc[:0])


def _targets(records: Iterable[TrialRecord]) -> dict[str, str]:
    """The name of each user's family in `asd-ray search --families`."""
    targets = {record.family: record.target for record in records if record.target}
    return {family: target for family, target in targets.items() if not target.startswith("asd_ray.")}


def year_of(records: Sequence[TrialRecord]) -> int | None:
    """The DCASE year whose cells the search used, or the year of an imported system, or None."""
    for record in sorted(records, key=lambda record: record.source != "search"):
        if record.settings is not None and record.settings.year is not None:
            return record.settings.year
    names = {record.dataset for record in records}
    years = {int(name.removeprefix("dcase")) for name in names if name.startswith("dcase") and name[5:].isdecimal()}
    return years.pop() if len(years) == 1 else None


def only_test_scores(ledger: Ledger, machine: str) -> bool:
    """Whether no complete trial has scores of normal clips, as in a run of imported systems."""
    splits = [entry.splits for entry in ledger.entries(machine) if entry.record.status == "complete"]
    scored = {split for by_split in splits for split, scores in by_split.items() if scores is not None}
    return "test" in scored and not scored & {"held_out", "train"}


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["trial"], table["variant"], strict=True))


def _normals(ledger: Ledger, machine: str, by: str, asked: set[tuple[str, str]] | None) -> CandidateMatrix:
    try:
        return _matrix(ledger, machine, by, asked, "drop")
    except AsdRayError as error:
        if any(entry.splits.get(by) is not None for entry in ledger.entries(machine)):
            raise
        raise AsdRayError(_without_normals(machine, by)) from error


def _altered(
    ledger: Ledger, machine: str, split: str, asked: set[tuple[str, str]] | None, pairs: Sequence[tuple[str, str]]
) -> AlteredClips | None:
    """The scores of altered clips of the candidates `pairs`, over the clips that all who have such scores share.

    If that is less than half of the clips that most of them have, the others count as without such scores.
    """
    scored = {entry.record.trial for entry in ledger.entries(machine) if entry.splits.get(split) is not None}
    if not scored & {trial for trial, _ in pairs}:
        return None
    found = _matrix(ledger, machine, split, asked, "drop")
    if {pair for pair in pairs if pair[0] in scored} - set(_pairs(found.candidates)):
        shared = _matrix(ledger, machine, split, set(pairs), "drop")
        found = shared if 2 * len(shared.clips) >= len(found.clips) else found
    place = {pair: row for row, pair in enumerate(_pairs(found.candidates))}
    scores = np.full((len(pairs), len(found.clips)), np.nan, np.float32)
    rows = [row for row, pair in enumerate(pairs) if pair in place]
    scores[rows] = found.scores[[place[pairs[row]] for row in rows]]
    return AlteredClips(found.clips[["clip", "id", "domain"]], scores)


def _matrix(
    ledger: Ledger, machine: str, split: str, asked: set[tuple[str, str]] | None, missing: Missing
) -> CandidateMatrix:
    """The scores of all candidates, or of those `asked` for over the clips that they share.

    Candidates that were added later do not change the latter.
    """
    from asd_ray.ledger import candidate_matrix

    if asked is None:
        return candidate_matrix(ledger, machine, split, missing=missing)
    every = candidate_matrix(ledger, machine, split, missing="nan")
    rows = [row for row, pair in enumerate(_pairs(every.candidates)) if pair in asked]
    shared = np.flatnonzero(np.isfinite(every.scores[rows]).all(axis=0))
    clips, table = every.clips.iloc[shared].reset_index(drop=True), every.candidates.iloc[rows].reset_index(drop=True)
    return replace(every, scores=every.scores[rows][:, shared], clips=clips, candidates=table)


def _without_normals(machine: str, by: str) -> str:
    cures = {"held_out": "--by train, or search with --held-out 0.1", "train": "--by held_out"}
    if by == "test":
        return f"{machine}: it has no test clips, whose scores could standardise; use --by held_out"
    return (
        f"{machine}: no candidate has scores of {by} clips, whose statistics standardise; use "
        f"{cures.get(by, '--by train')}, or --by test for imported systems (transductive: every output says so)"
    )


def _one_dataset(ledger: Ledger, machine: str, records: Sequence[TrialRecord]) -> None:
    if not records:
        raise AsdRayError(
            f"{machine}: {ledger.layout.root} holds no complete trial of it; search with --run "
            f"{typed(ledger.layout.root)}, or see what there is: {typed('asd-ray', 'ledger', 'ls', ledger.layout.root)}"
        )
    sets = sorted({(record.dataset, record.data_fingerprint) for record in records if record.source == "search"})
    if len(sets) > 1:
        names = " and ".join(f"{name} ({fingerprint[:8]})" for name, fingerprint in sets)
        raise AsdRayError(
            f"{machine}: the trials of {ledger.layout.root} are of {len(sets)} datasets, {names}; their clips differ, "
            "so keep one dataset per run"
        )
