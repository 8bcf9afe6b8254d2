"""The numbers of a row from stored trials: its scores, combined as the row says, and the measures of the table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError
from asd_ray.experiments.plan import PlannedRow, Training
from asd_ray.experiments.training_ids import ids_of
from asd_ray.families import family
from asd_ray.ledger import Ledger, Settings, TrialRecord
from asd_ray.ledger.record import LAST
from asd_ray.metrics import cells_batch, evaluable_clips
from asd_ray.papers import PaperRow, PaperTable
from asd_ray.tuning.spec import effective

PAPERS_OWN = Standardiser("z", "id", floor=0.0)  # Giri et al. have no least deviation
Floats = npt.NDArray[np.float64]
OfVariant = dict[tuple[str, str], pd.DataFrame]  # (split, variant) -> rows of the ledger, sorted by clip
Scored = tuple[Training, OfVariant]
BEST = 3  # settings of a member with alternatives that count; Giri et al. do not say how many they took


@dataclass(frozen=True)
class Conditions:
    """What all trials of an experiment share; other trials of the run do not count."""

    epochs_cap: int | None = None
    held_out: float = 0.1
    year: int | None = None  # of the dataset


@dataclass(frozen=True)
class Measured:
    values: tuple[float, ...]  # one per measure of the table, in per cent
    variants: tuple[str, ...]  # of each member
    clips: int  # test clips that were measured
    chosen: tuple[tuple[Training, ...], ...] = ()  # of each member: what entered, the best by test labels first
    missing: tuple[str, ...] = ()  # why a setting with alternatives does not count: its trial failed


def measure(
    ledger: Ledger, table: PaperTable, planned: PlannedRow, machine: str, seed: int, conditions: Conditions
) -> Measured:
    """The numbers of one machine and seed. AsdRayError says why there are none.

    Where the authors took the best of several variants, each is measured, and the best one by test labels counts here,
    too. Where a member has several settings, those whose trial failed are missing, and the others count.
    """
    members, missing = [], []
    for own in planned.trainings_of(machine):
        scored, reasons = _stored(ledger, own, machine, seed, conditions)
        if not scored:
            raise AsdRayError(reasons[0])
        members.append(scored)
        missing += reasons
    candidates = [
        _measure_variants(table, planned.row, machine, members, variants, conditions)
        for variants in itertools.product(*(member.variants_on(machine) for member in planned.row.members))
    ]
    best = max(candidates, key=lambda candidate: sum(candidate.values))
    return replace(best, missing=tuple(missing))


def _stored(
    ledger: Ledger, trainings: Sequence[Training], machine: str, seed: int, conditions: Conditions
) -> tuple[list[Scored], list[str]]:
    """The stored scores of a member's trainings, and why some have none."""
    scored, reasons = [], []
    for each in trainings:
        try:
            scored.append((each, _by_variant(ledger, stored_trial(ledger, each, machine, seed, conditions))))
        except AsdRayError as error:
            reasons.append(str(error))
    return scored, reasons


def stored_trial(ledger: Ledger, training: Training, machine: str, seed: int, conditions: Conditions) -> TrialRecord:
    """The complete trial of this setting and seed, whichever search stored it. AsdRayError if there is none."""
    wanted = effective(training.setting, Settings(epochs_cap=conditions.epochs_cap))
    version = family(training.family).version
    found = [
        record
        for record in ledger.records(machine, training.family)
        if record.seed == seed
        and frozenset(record.machines) == training.trained_with(machine)
        and record.version in ("", version)
        and record.settings is not None
        and record.settings.held_out == conditions.held_out
        and (record.settings.checkpoint, record.settings.unseen) == (LAST, 0.0)
        and effective(record.params, record.settings) == wanted
    ]
    complete = [record for record in found if record.status == "complete"]
    if complete:
        return complete[0]
    if found:
        why = " ".join(found[0].error.split()) or found[0].status
        raise AsdRayError(f"trial {found[0].name} did not end well: {why}; --retry-failed runs it again")
    raise AsdRayError(f"no trial of {training.family} with this setting and seed {seed} is stored")


def _by_variant(ledger: Ledger, record: TrialRecord) -> OfVariant:
    rows = ledger.scores(record, ("train", "test"))
    groups = rows.sort_values("clip").groupby(["split", "variant"])
    return {(str(split), str(variant)): own.reset_index(drop=True) for (split, variant), own in groups}


def _measure_variants(
    table: PaperTable,
    row: PaperRow,
    machine: str,
    members: Sequence[Sequence[Scored]],
    variants: tuple[str, ...],
    conditions: Conditions,
) -> Measured:
    """The numbers of one variant of each member. Of a member with alternatives the best ones by test labels count."""
    chosen = []
    for own, variant in zip(members, variants, strict=True):
        alone = [
            sum(_values(table, machine, *_stacked(row, [scored], [variant], "test"), conditions)[0])
            for _, scored in (own if len(own) > 1 else ())
        ]
        best = sorted(range(len(own)), key=lambda at: -alone[at])[:BEST] if alone else [0]
        chosen.append([own[at] for at in best])
    flat = [stored for own in chosen for _, stored in own]
    named = [variant for own, variant in zip(chosen, variants, strict=True) for _ in own]
    clips, scores = _stacked(row, flat, named, "test")
    if len(flat) > 1:
        if row.standardise == "train":
            normal_clips, normal = _stacked(row, flat, named, "train")
            scores = PAPERS_OWN.learn(normal, normal_clips)(scores, clips)
        scores = combine(scores, row.combine, clips=clips["clip"].tolist())[None]
    values, count = _values(table, machine, clips, scores, conditions)
    return Measured(values, variants, count, tuple(tuple(training for training, _ in own) for own in chosen))


def _values(
    table: PaperTable, machine: str, clips: pd.DataFrame, scores: Floats, conditions: Conditions
) -> tuple[tuple[float, ...], int]:
    """The measures of the table, and the number of clips that they are of."""
    ids = ids_of(table, machine, conditions.year)
    if ids:
        kept = clips["id"].isin(ids).to_numpy()
        clips, scores = clips[kept].reset_index(drop=True), scores[:, kept]
    evaluable = evaluable_clips(machine, clips, table.year)
    measured = clips.iloc[evaluable.rows].reset_index(drop=True)
    names, values = cells_batch(measured, scores[:, evaluable.rows], evaluable.year)
    cells = dict(zip(names, values[0].tolist(), strict=True))
    return tuple(each.value(cells) for each in table.measures), len(measured)


def _stacked(
    row: PaperRow, members: Sequence[OfVariant], variants: Sequence[str], split: str
) -> tuple[pd.DataFrame, Floats]:
    """The clips of a split, and the scores [members, clips]."""
    frames = []
    for stored, variant in zip(members, variants, strict=True):
        if (split, variant) not in stored:
            raise AsdRayError(f"{row.name}: a stored trial has no {split} scores of the variant {variant}")
        frames.append(stored[split, variant])
    first = frames[0]
    if any(frame["clip"].tolist() != first["clip"].tolist() for frame in frames):
        raise AsdRayError(f"{row.name}: its members scored different {split} clips; choose another run")
    return first, np.stack([frame["score"].to_numpy(np.float64) for frame in frames])
