"""In which points a run here differs from the protocol of a paper's row, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from asd_ray.clips.table import ANOMALY, NORMAL, TEST, ClipTable
from asd_ray.experiments.measuring import BEST, Conditions, Measured
from asd_ray.experiments.plan import PlannedRow
from asd_ray.experiments.training_ids import has_further_ids, ids_of
from asd_ray.families.space import TRAIN_IDS
from asd_ray.papers import PaperRow, PaperTable

LEAST = 160  # labelled test clips of an id; every id of the official development sets has more
Results = Mapping[str, Mapping[int, Measured]]  # machine -> seed -> what was measured


def of_row(
    table: PaperTable, planned: PlannedRow, results: Results, frame: pd.DataFrame, conditions: Conditions
) -> Iterator[str]:
    """What differs for one row that was run."""
    row = planned.row
    yield f"in the paper: {row.protocol}"
    if row.differs:
        yield row.differs
    yield from _alternatives(planned, results)
    yield from _choices(row, results)
    yield from _epochs(planned, conditions.epochs_cap)
    machines = table.machines or planned.machines
    if row.jointly and len(planned.machines) < len(machines):
        yield f"one model for {len(planned.machines)} machines; the paper has {len(machines)}"
    yield from _additional(table, planned, frame, conditions.year)


def _alternatives(planned: PlannedRow, results: Results) -> Iterator[str]:
    """Which settings of members with alternatives entered, or that the alternatives were not trained."""
    further = sum(len(member.alternatives) for member in planned.row.members)
    if further and not planned.has_alternatives:
        yield (
            f"each classifier has one combination of augmentations; the {further} further ones that the authors chose "
            "from by test labels are not trained (--alternatives trains them)"
        )
    elif further:
        yield (
            f"the best {BEST} settings of each classifier and machine, by test labels, as in the paper; how many the "
            f"paper took is not said: {', '.join(_chosen(planned, results))}"
        )


def _chosen(planned: PlannedRow, results: Results) -> Iterator[str]:
    for machine, of_seed in results.items():
        for seed, each in of_seed.items():
            of = f"{machine}, seed {seed}" if len(of_seed) > 1 else machine
            for member, trainings in zip(planned.row.members, each.chosen, strict=True):
                if member.alternatives:
                    yield f"{of}: {' / '.join(training.words for training in trainings)}"


def _choices(row: PaperRow, results: Results) -> Iterator[str]:
    count = max((len(member.variants_on(machine)) for member in row.members for machine in results), default=1)
    if count > 1:
        own = [
            f"{machine} {'/'.join(sorted({' '.join(each.variants) for each in of_seed.values()}))}"
            for machine, of_seed in results.items()
            if any(len(member.variants_on(machine)) > 1 for member in row.members)
        ]
        yield f"the best of {count} scores, by test labels, as in the paper: {', '.join(own)}"


def _epochs(planned: PlannedRow, cap: int | None) -> Iterator[str]:
    for own in planned.members:
        for name, epochs in dict.fromkeys((each.family, each.setting.get("epochs")) for each in own):
            if cap is not None and epochs is not None and epochs > cap:
                yield f"{name} trained for at most {cap} epoch{'s' * (cap != 1)} in place of {epochs}"


def _additional(table: PaperTable, planned: PlannedRow, frame: pd.DataFrame, year: int | None) -> Iterator[str]:
    """Where other training clips than in the paper were learned from: the additional ones are of other ids."""
    if year != table.year:
        return
    lacking, beyond = [], []
    for machine in planned.machines:
        has_more = has_further_ids(table, frame, machine, year)
        trainings = [each for own in planned.trainings_of(machine) for each in own]
        if machine in planned.row.additional and not has_more:
            lacking.append(machine)
        elif machine not in planned.row.additional and has_more:
            beyond += [] if all(TRAIN_IDS in each.params for each in trainings) else [machine]
    if lacking:
        yield f"the paper also trains on the additional training clips of {', '.join(lacking)}; this dataset has none"
    if beyond:
        yield (
            f"here the additional training clips of {', '.join(beyond)} are trained on, too; to leave them out, run "
            "these machines on a folder with the development part alone, into another --run"
        )


def of_all(
    table: PaperTable, clips: ClipTable, results: Sequence[Results], conditions: Conditions, is_demo: bool
) -> Iterator[str]:
    """What holds for all rows: how labels were used here, the data and the split of it."""
    yield "ours: the row's setting after its last epoch; test labels measure, and choose nothing but what a row names"
    if is_demo:
        yield f"the sound is the synthetic demo set, not {table.dataset}: the numbers cannot be compared"
    elif clips.year != table.year:
        yield f"the table is of {table.dataset}; this dataset is read as {clips.layout}: the numbers cannot be compared"
    counts = {machine: each.clips for own in results for machine, of in own.items() for each in of.values()}
    for machine in counts:
        if missing := _missing_ids(table, clips, machine):
            yield f"{machine}: the dataset lacks test clips of id {', '.join(missing)}, which the paper averages, too"
    if few := [machine for machine in counts if _has_fewer(table, clips, machine)]:
        yield (
            f"the dataset has fewer test clips than {table.dataset}, at most a part of it, so the numbers cannot be "
            f"compared: {', '.join(few)}"
        )
    if counts:
        yield "test clips that ours are of: " + ", ".join(f"{machine} {count}" for machine, count in counts.items())
    if conditions.held_out:
        yield f"{conditions.held_out:.0%} of the normal training clips are held out (--held-out 0 trains on all)"


def with_other_clips(table: PaperTable, clips: ClipTable, is_demo: bool) -> frozenset[str]:
    """The machines of the dataset whose test clips are, by what `of_all` says, not those of the published numbers."""
    if is_demo or clips.year != table.year:
        return frozenset(clips.machines)
    return frozenset(
        machine
        for machine in clips.machines
        if _missing_ids(table, clips, machine) or _has_fewer(table, clips, machine)
    )


def _missing_ids(table: PaperTable, clips: ClipTable, machine: str) -> list[str]:
    """The ids of the table that have no labelled test clip."""
    per_id = _labelled(clips, machine)
    return [id for id in ids_of(table, machine, clips.year) if id not in per_id]


def _has_fewer(table: PaperTable, clips: ClipTable, machine: str) -> bool:
    """Whether some id of the table has fewer labelled test clips than each has in the official sets."""
    per_id = _labelled(clips, machine)
    return any(per_id.get(id, LEAST) < LEAST for id in ids_of(table, machine, clips.year))


def _labelled(clips: ClipTable, machine: str) -> dict[str, int]:
    """Id -> its number of labelled test clips."""
    frame = clips.frame
    test = (frame["machine"] == machine) & (frame["split"] == TEST) & frame["label"].isin((NORMAL, ANOMALY))
    return dict(frame.loc[test, "id"].value_counts())
