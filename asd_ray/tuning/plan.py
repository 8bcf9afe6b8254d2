"""From a configuration to studies: what can be searched, who searches it, and what the ledger holds of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from asd_ray.clips.bank import Bank
from asd_ray.clips.table import ClipTable
from asd_ray.detectors import FAMILIES
from asd_ray.errors import AsdRayError, listing
from asd_ray.families import Family, Space
from asd_ray.families.drawing import first_draw
from asd_ray.ledger import Ledger, Settings, TrialRecord, trial_hash
from asd_ray.ledger.record import NORMAL_ONLY
from asd_ray.storage.study_locks import StudyLocks
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.family_choice import notes_of_resources, notes_of_weights, resources_of, spaces_of
from asd_ray.tuning.idle import effect_of_labels, idle_names, notes_of_microphones
from asd_ray.tuning.objective import chosen_objective, note_of_few_labels, too_few_held_out
from asd_ray.tuning.prior import Prior
from asd_ray.tuning.setting_aside import lines_of_unseen
from asd_ray.tuning.spec import group_name
from asd_ray.tuning.study import Study, study_name
from asd_ray.tuning.suiting import (
    Reasons,
    StudyClips,
    front_end_of_draws,
    reason_against,
    reason_against_draws,
    reason_lines,
)

Group = tuple[str, ...]  # the machines of one study


@dataclass
class Plan:
    studies: list[Study] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # objective -> what it is, in words -> machines
    objectives: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)  # what --keep-unseen sets aside: one line per reason
    elsewhere: list[str] = field(default_factory=list)  # studies that another search has locked
    left_out: list[str] = field(default_factory=list)  # what cannot succeed: one line per reason
    again: list[TrialRecord] = field(default_factory=list)  # stored trials of each machine that will run again
    # stored trials of each machine whose mark as the paper's setting must change, as they should be
    remarked: list[TrialRecord] = field(default_factory=list)


def before_decoding(
    config: SearchConfig, families: Sequence[Family], table: ClipTable, rate: int, ledger: Ledger
) -> tuple[Reasons, ClipTable]:
    """What names and rate alone rule out, and the table without the machines that have nothing left to search."""
    clips = _clips_by_group(config, table.frame, rate)
    too_few = _with_too_few_held_out(clips, config, families, table.frame, ledger)
    reasons = unsuited(clips, families, spaces_of(config, families), rate, table.year, too_few)
    machines = _machines_left(config, families, reasons)
    return reasons, table if len(machines) == len(config.machines) else table.of_machines(machines)


def unsuited(
    clips: Mapping[Group, StudyClips],
    families: Sequence[Family],
    spaces: Mapping[str, Space],
    rate: int,
    year: int | None,
    known: Reasons | None = None,
) -> Reasons:
    """The `known` reasons, and those that the first setting of each study shows. Raise if nothing is left to search."""
    reasons = dict(known or {})
    for family in families:
        reason_for: dict[str, Callable[[StudyClips], str]] = {}  # by where the first setting is written
        for machines, own in clips.items():
            space = spaces[family.name].on(machines, year)
            if space.origin not in reason_for:
                reason_for[space.origin] = reason_against(family, first_draw(space).params, rate)
            if (machines, family.name) not in reasons and (reason := reason_for[space.origin](own)):
                reasons[machines, family.name] = reason
    if all((machines, family.name) in reasons for machines in clips for family in families):
        raise AsdRayError(f"nothing is left to search:\n{listing(reason_lines(reasons))}")
    return reasons


def make_plan(
    config: SearchConfig,
    source: DataSource,
    ledger: Ledger,
    locks: StudyLocks,
    families: Sequence[Family],
    has_gpu: bool,
    known: Reasons | None = None,
) -> Plan:
    """The studies of a search, each rebuilt from the ledger. A study that another search has locked is left to it.

    `known` is what `before_decoding` found; the lengths of the decoded clips, and the loss of broken ones, may rule out
    more.
    """
    spaces = spaces_of(config, families)
    decoded = source.bank.frame.assign(samples=source.bank.lengths, kept_channels=source.bank.channels)
    clips = _clips_by_group(config, decoded, source.rate)
    known = {**(known or {}), **_with_too_few_held_out(clips, config, families, source.bank.frame, ledger)}
    reasons = unsuited(clips, families, spaces, source.rate, source.table.year, known)
    machines_left = _machines_left(config, families, reasons)
    notes = [*_notes_of_groups(config), *notes_of_resources(config, families), *notes_of_weights(config, families)]
    plan = Plan(notes=notes, left_out=reason_lines(reasons))
    if ruled_out := [machine for machine in config.machines if machine not in machines_left]:
        plan.left_out.append(f"nothing is left to search of {', '.join(ruled_out)}")
    of_group = {
        machines: settings_of(machines, config, source, ledger)
        for machines in clips
        if set(machines) <= set(machines_left)
    }
    for machines, settings in of_group.items():
        if settings.objective == NORMAL_ONLY:
            plan.notes += note_of_few_labels(machines, config, source.bank.frame)
        for machine in machines:
            if config.faults or settings.objective == NORMAL_ONLY:
                source.plan_faults(machine, config.held_out)
            judge = source.machine(machine, settings).judge
            plan.notes += judge.notes
            plan.objectives.setdefault(settings.objective, {}).setdefault(judge.phrase, []).append(machine)
    parts = {machine: source.machine(machine, own) for machines, own in of_group.items() for machine in machines}
    plan.unseen += lines_of_unseen(config.keep_unseen, parts)
    pairs = [pair for pair in itertools.product(clips, families) if (pair[0], pair[1].name) not in reasons]
    pairs = _locked(plan, locks, pairs)
    records = {machine: ledger.records(machine) for machine in machines_left}
    for machine in machines_left:
        _check_same_data(machine, records[machine], source.bank, ledger)
        _check_same_unseen(machine, records[machine], config.keep_unseen, ledger)

    prior = Prior(config.prior, {machine: source.bank.fingerprints[machine] for machine in machines_left})
    idle = {
        group: idle_names(clips[group], source.bank.channels, settings.objective)
        for group, settings in of_group.items()
    }
    space_of = {
        (group, each.name): spaces[each.name]
        .on(group, source.table.year)
        .without(idle[group], of_paper=each.name in FAMILIES)
        for group, each in pairs
    }
    if source.bank.channels > 1:
        plan.notes += notes_of_microphones(space_of, of_group)
    first = {(group, name): prior.suggestions(name, space) for (group, name), space in space_of.items()}
    plan.notes += prior.lines(first.values())
    without_labels = [own for (group, _), own in first.items() if of_group[group].objective == NORMAL_ONLY]
    if any(without_labels) and prior.is_by_labels:
        plan.notes.append(
            "--prior: labels of other machines led the trials of the prior, so they choose what is tried first"
        )

    def studies(retry: Mapping[str, Sequence[TrialRecord]]) -> list[Study]:
        return [
            Study(
                machines,
                family,
                space_of[machines, family.name],
                of_group[machines],
                resources=resources_of(family, config, has_gpu),
                seed=config.seed,
                wanted=config.trials,
                records=itertools.chain.from_iterable(records[machine] for machine in machines),
                unsuited=reason_against_draws(family, clips[machines]),
                front_end=front_end_of_draws(family, source.rate),
                retry=retry.get(study_name(machines, family), ()),
                first=first[machines, family.name],
                effect=effect_of_labels(clips[machines]) if family.is_shipped else None,
                bfloat16=config.bfloat16,
            )
            for machines, family in pairs
        ]

    plan.studies = studies({})
    again = {study.name: study.pruned_first for study in plan.studies}
    plan.notes += _notes_of_pruned_first(plan.studies, ledger)
    if config.retry_failed:
        retry = {study.name: study.failures_to_retry() for study in plan.studies}
        again = {name: [*again[name], *retry[name]] for name in again}
        plan.notes.append(_note_of_retries(plan.studies, sum(map(len, retry.values())), ledger))
        plan.studies = studies(retry)
    plan.again = _to_run_again(plan.studies, again, itertools.chain.from_iterable(records.values()))
    plan.remarked = _remarked(plan.studies, itertools.chain.from_iterable(records.values()), plan.again)
    plan.notes += _notes_of_marks(plan.remarked)
    return plan


def _locked(plan: Plan, locks: StudyLocks, pairs: Sequence[tuple[Group, Family]]) -> list[tuple[Group, Family]]:
    """The studies that this search may have. Call it before the ledger is read: their last holder may have stored."""
    free = []
    for machines, family in pairs:
        name = study_name(machines, family)
        holder = locks.take(name)
        if holder:
            plan.elsewhere.append(f"{name} is being searched by {holder}")
        else:
            free.append((machines, family))
    return free


def _to_run_again(
    studies: Sequence[Study], again: Mapping[str, Sequence[TrialRecord]], records: Iterator[TrialRecord]
) -> list[TrialRecord]:
    """The records of each machine of the trials that these studies will run again; a complete one stays."""
    keys = {
        (machine, study.family.name, record.trial)
        for study in studies
        for machine in study.machines
        for record in again[study.name]
    }
    return [r for r in records if r.status != "complete" and (r.machine, r.family, r.trial) in keys]


def _remarked(
    studies: Sequence[Study], records: Iterator[TrialRecord], again: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """The records whose mark as the paper's setting is of an earlier PAPER or PAPER_OF, with the right mark.

    A pruned one is left out: that it has no mark shows that it was pruned as a draw.
    """
    papers = {
        (machine, study.family.name, trial): is_paper
        for study in studies
        for machine in study.machines
        for trial, is_paper in study.papers.items()
    }
    set_aside = {(r.machine, r.family, r.trial) for r in again}
    stored = [(r, papers.get((r.machine, r.family, r.trial), r.paper)) for r in records if r.status != "pruned"]
    return [
        replace(r, paper=is_paper)
        for r, is_paper in stored
        if is_paper != r.paper and (r.machine, r.family, r.trial) not in set_aside
    ]


def _notes_of_marks(remarked: Sequence[TrialRecord]) -> Iterator[str]:
    if remarked:
        gain = sum(record.paper for record in remarked)
        yield (
            f"the paper's setting has changed: {gain} stored trials are marked with it now, and "
            f"{len(remarked) - gain} no longer; their scores stay as they are"
        )


def _notes_of_pruned_first(studies: Sequence[Study], ledger: Ledger) -> Iterator[str]:
    for study in studies:
        for record in study.pruned_first:
            yield (
                f"{study.name}: {record.name} was pruned as a draw and is the first setting now, so it runs again; its "
                f"file is set aside, in {ledger.layout.url(ledger.layout.set_aside)}"
            )


def _note_of_retries(studies: Sequence[Study], count: int, ledger: Ledger) -> str:
    if not any(study.count("failed") for study in studies):
        return "--retry-failed changes nothing: no trial of these studies is stored as failed"
    if not count:
        return "--retry-failed changes nothing: without the failed ones there are enough trials; raise --trials"
    aside = ledger.layout.url(ledger.layout.set_aside)
    return f"{count} failed trials run again; their files are set aside, in {aside}"


def _groups(config: SearchConfig) -> list[Group]:
    """The machines that each trial learns from, always in the same order, because the result depends on it."""
    return [tuple(sorted(config.machines))] if config.jointly else [(machine,) for machine in config.machines]


def _notes_of_groups(config: SearchConfig) -> Iterator[str]:
    (machines, *_) = _groups(config)
    if config.jointly and len(machines) == 1:
        yield f"--jointly changes nothing: {machines[0]} is the only machine"
    elif config.jointly:
        yield f"{group_name(machines)} stands for {', '.join(machines)} together"


def _clips_by_group(config: SearchConfig, frame: pd.DataFrame, rate: int) -> dict[Group, StudyClips]:
    machines_left = set(frame["machine"])  # without those that `before_decoding` removed
    groups = [machines for machines in _groups(config) if machines_left.issuperset(machines)]
    return {machines: StudyClips.of(frame, machines, config.held_out, rate) for machines in groups}


def _machines_left(config: SearchConfig, families: Sequence[Family], reasons: Reasons) -> list[str]:
    """The machines with something to search, in the order of the configuration."""
    searched = {
        machine
        for machines, family in itertools.product(_groups(config), families)
        if (machines, family.name) not in reasons
        for machine in machines
    }
    return [machine for machine in config.machines if machine in searched]


def settings_of(machines: Sequence[str], config: SearchConfig, source: DataSource, ledger: Ledger) -> Settings:
    of = {machine: source.bank.fingerprints[machine] for machine in machines}
    return Settings(
        fingerprint=of[machines[0]] if len(of) == 1 else trial_hash(**of),
        year=source.table.year,
        held_out=config.held_out,
        epochs_cap=config.epochs_cap,
        checkpoint=config.checkpoint,
        objective=chosen_objective(machines, config, source.bank.frame, ledger),
        unseen=config.keep_unseen,
    )


def _with_too_few_held_out(
    clips: Mapping[Group, StudyClips],
    config: SearchConfig,
    families: Sequence[Family],
    frame: pd.DataFrame,
    ledger: Ledger,
) -> Reasons:
    """The studies whose trials cannot be compared by injected faults, each with the reason."""
    by_faults = [each for each in clips if chosen_objective(each, config, frame, ledger) == NORMAL_ONLY]
    reasons = {machines: too_few_held_out(machines, config, frame) for machines in by_faults}
    return {(machines, family.name): why for machines, why in reasons.items() if why for family in families}


def _check_same_unseen(machine: str, records: Sequence[TrialRecord], share: float, ledger: Ledger) -> None:
    """Raise if stored trials set another share of the test clips aside: no two of them could be in one ensemble."""
    known = {record.settings.unseen for record in records if record.settings and record.status == "complete"}
    if other := sorted(known - {share}):
        raise AsdRayError(
            f"{ledger.layout.root} holds trials of {machine} with --keep-unseen {other[0]:g}, and this command says "
            f"{share:g}; give the same share, or choose another --run"
        )


def _check_same_data(machine: str, records: Sequence[TrialRecord], bank: Bank, ledger: Ledger) -> None:
    """Raise if the run has trials on other clips: their scores could not be ensembled with these."""
    scored = [r for r in records if r.source == "search" and r.status == "complete"]  # others have no scores
    other = [r for r in scored if r.data_fingerprint != bank.fingerprints[machine]]
    if other:
        raise AsdRayError(
            f"{ledger.layout.root} holds {len(other)} trials of {machine} on other clips, or on these at another "
            f"--rate or --channel (dataset {other[0].dataset}, first {other[0].name}); {bank.rate_hint(machine)}keep "
            "one dataset per run: choose another --run"
        )
