"""From a published table and a dataset to the searches that give its rows, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from asd_ray.clips.searchable import unsearchable_reasons
from asd_ray.clips.table import TEST, ClipTable
from asd_ray.errors import AsdRayError, unknown
from asd_ray.experiments.training_ids import on_the_table_s_ids
from asd_ray.families import Space, family
from asd_ray.families.drawing import first_draw
from asd_ray.metrics.cells import Cells
from asd_ray.metrics.evaluable import evaluable_clips
from asd_ray.papers import PaperRow, PaperTable
from asd_ray.tuning.family_choice import spaces_by_family
from asd_ray.tuning.suiting import StudyClips, reason_against


class NothingToRun(AsdRayError):
    """No row of a table can be run on the dataset. Nothing is wrong with either."""


@dataclass(frozen=True)
class Training:
    """One setting of a family and the machines that are trained with it: one search per seed."""

    family: str
    params: Mapping[str, Any]  # only what differs from the family's PAPER
    machines: tuple[str, ...]
    jointly: bool = False  # one model for all of the machines

    @property
    def fixed_params(self) -> dict[str, Any]:
        """The parameters as `Run.search` takes them, among them those of PAPER that PAPER_OF has for some machine.

        A row's params differ from PAPER, but the search of a machine would begin with what PAPER_OF has for it.
        """
        space = family(self.family).search_space()
        plain = {name: space.paper[name] for own in space.on_each() for name in own.differing}
        return {f"{self.family}.{name}": value for name, value in {**plain, **self.params}.items()}

    @property
    def words(self) -> str:
        """``mix=before warps=0``: what differs from the family's PAPER."""
        return " ".join(f"{name}={value}" for name, value in self.params.items()) or "the setting of PAPER"

    @property
    def setting(self) -> dict[str, Any]:
        """All parameters of its trials."""
        return first_draw(self._space).params

    def trained_with(self, machine: str) -> frozenset[str]:
        """All machines that the model of this machine learns from."""
        return frozenset(self.machines if self.jointly else (machine,))

    def reasons_against(self, frame: pd.DataFrame, rate: int, held_out: float) -> dict[str, str]:
        """Machine -> why its trial cannot succeed, as far as that is known before training."""
        ask = reason_against(family(self.family), self.setting, rate)
        groups = [self.machines] if self.jointly else [(machine,) for machine in self.machines]
        reasons = {group: ask(StudyClips.of(frame, group, held_out, rate)) for group in groups}
        return {machine: reason for group, reason in reasons.items() if reason for machine in group}

    @property
    def _space(self) -> Space:
        return spaces_by_family((), [family(self.family)], self.fixed_params)[self.family]


Reasons = Callable[[Training], dict[str, str]]  # machine -> why its trial cannot succeed


@dataclass(frozen=True)
class PlannedRow:
    row: PaperRow
    machines: tuple[str, ...]  # on which every member can be trained
    members: tuple[tuple[Training, ...], ...]  # for each member of the row, its trainings: one per setting

    def trainings_of(self, machine: str) -> list[list[Training]]:
        """The trainings of each member that give the scores of this machine: several of a member with alternatives."""
        return [[each for each in own if machine in each.machines] for own in self.members]

    @property
    def has_alternatives(self) -> bool:
        return any(len(own) > 1 for machine in self.machines for own in self.trainings_of(machine))


@dataclass(frozen=True)
class TablePlan:
    rows: tuple[PaperRow, ...]  # those that were asked for
    planned: tuple[PlannedRow, ...]  # those of them that can be run
    left_out: tuple[str, ...]  # one line per row or machine, with the reason

    @property
    def trainings(self) -> list[Training]:
        """Each training once, although several rows may have the same member."""
        trainings: list[Training] = []
        for planned in self.planned:
            trainings += [each for own in planned.members for each in own if each not in trainings]
        return trainings


def plan_table(
    table: PaperTable,
    clips: ClipTable,
    *,
    rate: int,
    held_out: float,
    machines: Sequence[str] = (),
    rows: Sequence[str] = (),
    alternatives: bool = False,
) -> TablePlan:
    """What to search for the rows of these names on these machines; by default for all. Nothing is trained.

    With `alternatives` the further settings of members are trained, too, see `Member.alternatives`.

    AsdRayError if a name is unknown, or if no row can be run on any machine.
    """
    asked_for = tuple(table.row(name) for name in dict.fromkeys(rows)) or table.rows
    if alternatives and not any(member.alternatives for row in asked_for for member in row.members):
        raise AsdRayError(f"--alternatives: no such row of table {table.number} has further settings; leave it out")
    present, left_out = _machines(table, clips, machines)
    planned = []
    for row in asked_for:
        if reason := row.reason_against:
            left_out.append(f"{row.name}: {reason}")
            continue
        row = on_the_table_s_ids(row, table, clips)
        found, reasons = _plan_row(row, present, lambda each: each.reasons_against(clips.frame, rate, held_out))
        if found is not None and alternatives:
            found, more = _with_alternatives(found, lambda each: each.reasons_against(clips.frame, rate, held_out))
            reasons += more
        left_out += reasons
        if found is not None:
            planned.append(found)
    if not planned:
        lines = "\n".join(f"  {line}" for line in left_out)
        raise NothingToRun(f"no row of table {table.number} can be run on {clips.place}:\n{lines}")
    return TablePlan(asked_for, tuple(planned), tuple(left_out))


def _machines(table: PaperTable, clips: ClipTable, machines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The machines that can be run, and a line for each that cannot. A table without machines takes the dataset's."""
    known = table.machines or tuple(clips.machines)
    for machine in machines:
        if machine not in known:
            raise unknown(f"machine of table {table.number}", machine, known)
    asked_for = [machine for machine in known if not machines or machine in machines]
    missing = [machine for machine in asked_for if machine not in clips.machines]
    reasons = {name: problem.rule for name, problem in unsearchable_reasons(clips).items() if name in asked_for}
    if clips.year == table.year and not table.machines:  # its totals are over the machines of its set
        of_set = f"not a machine of the {table.split} set of {table.dataset}"
        reasons |= {machine: of_set for machine in asked_for if machine not in table.official_ids}
    for machine in asked_for:
        if machine in clips.machines and machine not in reasons and (why := _lacking(table, clips, machine)):
            reasons[machine] = why
    present = [machine for machine in asked_for if machine not in reasons and machine not in missing]
    lines = [f"{machine}: {reason}" for machine, reason in reasons.items()]
    if missing:
        lines.insert(0, f"{', '.join(missing)}: not in this dataset")
    if not present:
        raise NothingToRun(
            f"{clips.place}: no machine of table {table.number} can be run ({'; '.join(lines)}); the dataset has "
            f"{', '.join(clips.machines)}"
        )
    return present, lines


def _lacking(table: PaperTable, clips: ClipTable, machine: str) -> str:
    """Which measures of the table have no number on a machine's test clips, for lack of domains; "" if all have one."""
    test = clips.frame[(clips.frame["machine"] == machine) & (clips.frame["split"] == TEST)].reset_index(drop=True)
    evaluable = evaluable_clips(machine, test, table.year)
    names = Cells.of(test.iloc[evaluable.rows].reset_index(drop=True), evaluable.year).names
    there = {name.rpartition("/")[2] for name in names}
    lacking = [measure.name for measure in table.measures if not there & {*measure.cells}]
    return f"its test clips lack the domains that {' and '.join(lacking)} of the table are of" if lacking else ""


def _plan_row(row: PaperRow, machines: Sequence[str], reasons_against: Reasons) -> tuple[PlannedRow | None, list[str]]:
    unsuited: dict[str, list[str]] = {}  # reason -> machines
    for member in row.members:
        for training in _trainings(member.family, {name: member.params_on(name) for name in machines}, row.jointly):
            for machine, reason in reasons_against(training).items():
                unsuited.setdefault(f"{member.family}: {reason}", []).append(machine)
    lines = [f"{row.name} on {', '.join(named)}: {reason}" for reason, named in unsuited.items()]
    left = [machine for machine in machines if not any(machine in named for named in unsuited.values())]
    if not left:
        return None, lines
    members = tuple(
        tuple(_trainings(member.family, {name: member.params_on(name) for name in left}, row.jointly))
        for member in row.members
    )
    return PlannedRow(row, tuple(left), members), lines


def _with_alternatives(planned: PlannedRow, reasons_against: Reasons) -> tuple[PlannedRow, list[str]]:
    """The row with the further settings of its members. One that does not suit a machine is left out there alone."""
    row, lines = planned.row, []
    members = []
    for member, own in zip(row.members, planned.members, strict=True):
        trainings = list(own)
        for at in range(len(member.alternatives)):
            params = {machine: member.alternatives_on(machine)[at] for machine in planned.machines}
            unsuited: dict[str, str] = {}
            for training in _trainings(member.family, params, row.jointly):
                reasons = reasons_against(training)
                unsuited |= reasons
                lines += [
                    f"{row.name} on {machine}: {member.family} with {training.words}: {reason}"
                    for machine, reason in reasons.items()
                ]
            suited = {machine: own for machine, own in params.items() if machine not in unsuited}
            trainings += _trainings(member.family, suited, row.jointly)
        members.append(tuple(trainings))
    return replace(planned, members=tuple(members)), lines


def _trainings(family: str, params_of: Mapping[str, dict[str, Any]], jointly: bool) -> Iterator[Training]:
    """One training per setting, in the order of the machines. `params_of` has the parameters of each machine."""
    groups: list[tuple[dict[str, Any], list[str]]] = []
    for machine, params in params_of.items():
        same = next((named for other, named in groups if other == params), None)
        if same is None:
            groups.append((params, [machine]))
        else:
            same.append(machine)
    for params, named in groups:
        yield Training(family, params, tuple(named), jointly)
