"""Which ids a table is about, and rows that are trained on their clips alone where the authors did so.

The additional training clips of DCASE are of other ids than the development clips.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from asd_ray.clips.table import NORMAL, TRAIN, ClipTable
from asd_ray.families import family
from asd_ray.families.space import TRAIN_IDS
from asd_ray.papers import Member, PaperRow, PaperTable


def ids_of(table: PaperTable, machine: str, year: int | None) -> tuple[str, ...]:
    """The ids that the table is about, if the dataset is of its year; () if all ids of the dataset count."""
    return table.official_ids.get(machine, ()) if year == table.year else ()


def has_further_ids(table: PaperTable, frame: pd.DataFrame, machine: str, year: int | None) -> bool:
    """Whether the machine has training clips of other ids than those of the table."""
    ids = ids_of(table, machine, year)
    return bool(ids) and not _with_training_clips(frame, machine) <= set(ids)


def on_the_table_s_ids(row: PaperRow, table: PaperTable, clips: ClipTable) -> PaperRow:
    """The row with the parameter `train_ids` on each machine that the authors trained on the table's ids alone.

    Families without this parameter stay as they are. So do machines without clips of further ids: the parameter would
    change nothing there, and trials that do not name it count.
    """
    alone: dict[str, dict[str, str]] = {}
    for machine in clips.machines:
        if machine not in row.additional and has_further_ids(table, clips.frame, machine, clips.year):
            ids = set(ids_of(table, machine, clips.year)) & _with_training_clips(clips.frame, machine)
            if ids:
                alone[machine] = {TRAIN_IDS: ",".join(sorted(ids))}

    def changed(member: Member) -> Member:
        if TRAIN_IDS not in family(member.family).parameters:
            return member
        own = {machine: {**member.params_of.get(machine, {}), **params} for machine, params in alone.items()}
        return replace(member, params_of={**member.params_of, **own})

    return replace(row, members=tuple(map(changed, row.members))) if alone else row


def _with_training_clips(frame: pd.DataFrame, machine: str) -> set[str]:
    """The ids that have normal training clips."""
    train = (frame["machine"] == machine) & (frame["split"] == TRAIN) & (frame["label"] == NORMAL)
    return set(frame.loc[train, "id"])
