"""From a command to studies: which families, which spaces, what each trial gets, and what the ledger already holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from asd_ray._names import check_name
from asd_ray.clips.bank import Bank
from asd_ray.clips.table import ClipTable
from asd_ray.detectors import FAMILIES, Family, family
from asd_ray.errors import AsdRayError, listing
from asd_ray.families import Resources, Space
from asd_ray.families.drawing import paper_draw
from asd_ray.ledger import Ledger, Settings, TrialRecord, trial_hash
from asd_ray.storage.study_locks import StudyLocks
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.data import DataSource
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


@dataclass
class Plan:
    studies: list[Study] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cells: set[str] = field(default_factory=set)  # what the objective is the mean of
    elsewhere: list[str] = field(default_factory=list)  # studies that another search works on
    left_out: list[str] = field(default_factory=list)  # what could not succeed, and why: a line for each reason
    again: list[TrialRecord] = field(default_factory=list)  # failures to forget, of each machine, since they run anew


def chosen_families(names: Sequence[str | type], gpu: bool) -> tuple[list[Family], list[str]]:
    """The families to search, and the names of those left out because they want a GPU."""
    if names and list(names) != ["all"]:
        found = [family(name) for name in dict.fromkeys(names)]
        _check_names(found)
        return found, []
    everything = [family(name) for name in FAMILIES]
    if gpu or names:
        return everything, []
    suited = [each for each in everything if each.resources.suits_cpu]
    return suited, [each.name for each in everything if each not in suited]


def _check_names(families: Sequence[Family]) -> None:
    """Each name can be a folder of the ledger, and no two classes have the same."""
    targets: dict[str, str] = {}
    for each in families:
        try:
            check_name("family", each.name)
        except AsdRayError as error:
            raise AsdRayError(f"family {each.target}: {error}") from error
        if each.name in targets:
            raise AsdRayError(
                f"families {targets[each.name]} and {each.target} would both be called {each.name}; rename one of the "
                "classes, or search them in two commands with a --run each"
            )
        targets[each.name] = each.target


def spaces_by_family(texts: Sequence[str], families: Sequence[Family]) -> dict[str, Space]:
    """The space of each family, checked: its own, or the one that a ``--space`` text names for it."""
    names = [each.name for each in families]
    replaced = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not sign:
            name, path = (names[0] if len(names) == 1 else Path(text).stem), text
        if name not in names:
            raise AsdRayError(
                f"--space {text}: for which family is it? say --space FAMILY=FILE with one of {', '.join(names)}"
            )
        replaced[name] = Path(path)
    spaces = {each.name: each.search_space(replaced.get(each.name)) for each in families}
    for each in families:
        paper_draw(spaces[each.name], each)
    return spaces


def _spaces(config: SearchConfig, families: Sequence[Family]) -> Mapping[str, Space]:
    return config.spaces or spaces_by_family((), families)


def resources_of(each: Family, config: SearchConfig, gpu: bool) -> Resources:
    """What a trial takes: as the command says, else as the family says; no GPU for who wants none or where is none."""
    default = each.resources
    cpu = default.cpu if config.cpus_per_trial is None else config.cpus_per_trial
    memory = default.memory if config.memory_per_trial is None else config.memory_per_trial
    if config.gpus_per_trial is None:
        return Resources(cpu, default.gpu if gpu else 0.0, memory=memory)
    return Resources(cpu, config.gpus_per_trial if default.gpu else 0.0, memory=memory)


def notes_of_resources(config: SearchConfig, families: Sequence[Family]) -> Iterator[str]:
    if config.gpus_per_trial and not any(each.resources.gpu for each in families):
        names = ", ".join(each.name for each in families)
        yield f"--gpus-per-trial changes nothing: no trial of {names} wants a GPU; a detector says so in RESOURCES"


def before_decoding(
    config: SearchConfig, families: Sequence[Family], table: ClipTable, rate: int
) -> tuple[Reasons, ClipTable]:
    """What is left out by names and rate alone, and the table without the machines of which nothing is left."""
    spaces = _spaces(config, families)
    left_out = unsuited(_clips_of_studies(config, table.frame, rate), families, spaces, rate)
    gone = set(config.machines) - set(_left(config, families, left_out))
    if not gone:
        return left_out, table
    return left_out, table.with_frame(table.frame[~table.frame["machine"].isin(gone)].reset_index(drop=True))


def unsuited(
    clips: Mapping[tuple[str, ...], StudyClips],
    families: Sequence[Family],
    spaces: Mapping[str, Space],
    rate: int,
    known: Reasons | None = None,
) -> Reasons:
    """What is `known` to be left out, and what is by the paper's settings; an error where nothing is left."""
    reasons = dict(known or {})
    for each in families:
        ask = reason_against(each, spaces[each.name].paper, rate)
        for machines, own in clips.items():
            if (machines, each.name) not in reasons and (why := ask(own)):
                reasons[machines, each.name] = why
    if all((machines, each.name) in reasons for machines in clips for each in families):
        raise AsdRayError(f"nothing is left to search:\n{listing(reason_lines(reasons))}")
    return reasons


def make_plan(
    config: SearchConfig,
    source: DataSource,
    ledger: Ledger,
    locks: StudyLocks,
    families: Sequence[Family],
    gpu: bool,
    left_out: Reasons | None = None,
) -> Plan:
    """The studies of a command, each rebuilt from the ledger; those that another search holds are left to it.

    `left_out` is what `before_decoding` found; more is left out by the lengths of clips.
    """
    spaces = _spaces(config, families)
    clips = _clips_of_studies(config, source.bank.frame.assign(samples=source.bank.lengths), source.rate)
    reasons = unsuited(clips, families, spaces, source.rate, left_out)
    left = _left(config, families, reasons)
    notes = [*_notes_of_groups(config), *notes_of_resources(config, families)]
    plan = Plan(notes=notes, left_out=reason_lines(reasons))
    gone = [machine for machine in config.machines if machine not in left]
    if gone:
        plan.left_out.append(f"nothing is left to search of {', '.join(gone)}")
    for machine in left:
        judge = source.machine(machine, settings_of([machine], config, source)).judge
        plan.notes += judge.notes
        plan.cells.add(judge.cells)
    free = []
    for machines, each in itertools.product(clips, families):
        if (machines, each.name) in reasons:
            continue
        name = study_name(machines, each)
        holder = locks.take(name)  # before the ledger is read: whoever held it may have stored until now
        if holder:
            plan.elsewhere.append(f"{name} is being searched by {holder}")
        else:
            free.append((machines, each))
    records = {machine: ledger.records(machine) for machine in left}
    for machine in left:
        _same_data(machine, records[machine], source.bank, ledger)

    def studies(again: Mapping[str, Sequence[TrialRecord]]) -> list[Study]:
        return [
            Study(
                machines,
                each,
                spaces[each.name],
                settings_of(machines, config, source),
                resources=resources_of(each, config, gpu),
                seed=config.seed,
                wanted=config.trials,
                records=itertools.chain.from_iterable(records[machine] for machine in machines),
                unsuited=reason_against_draws(each, clips[machines]),
                front_end=front_end_of_draws(each, source.rate),
                retry=again.get(study_name(machines, each), ()),
            )
            for machines, each in free
        ]

    plan.studies = studies({})
    if config.retry_failed:
        again = {study.name: study.failures_to_retry() for study in plan.studies}
        chosen = {
            (machine, study.family.name, r.trial)
            for study in plan.studies
            for machine in study.machines
            for r in again[study.name]
        }
        listed = itertools.chain.from_iterable(records.values())
        plan.again = [r for r in listed if r.status == "failed" and (r.machine, r.family, r.trial) in chosen]
        plan.notes.append(_note_of_retries(plan.studies, sum(map(len, again.values())), ledger))
        plan.studies = studies(again)
    return plan


def _note_of_retries(studies: Sequence[Study], count: int, ledger: Ledger) -> str:
    if not any(study.count("failed") for study in studies):
        return "--retry-failed changes nothing: no trial of these studies is stored as failed"
    if not count:
        return (
            "--retry-failed changes nothing: without the failed ones there are enough trials; ask for more by --trials"
        )
    aside = ledger.layout.url(ledger.layout.set_aside)
    return f"{count} failed trials are run anew; their files are set aside, in {aside}"


def _groups(config: SearchConfig) -> list[tuple[str, ...]]:
    """The machines that each trial learns from; of several in one order, since what is learnt depends on it."""
    return [tuple(sorted(config.machines))] if config.jointly else [(machine,) for machine in config.machines]


def _notes_of_groups(config: SearchConfig) -> Iterator[str]:
    (machines, *_) = _groups(config)
    if config.jointly and len(machines) == 1:
        yield f"--jointly changes nothing: {machines[0]} is the only machine"
    elif config.jointly:
        yield f"{group_name(machines)} stands for {', '.join(machines)} together"


def _clips_of_studies(config: SearchConfig, frame: pd.DataFrame, rate: int) -> dict[tuple[str, ...], StudyClips]:
    there = set(frame["machine"])  # not those of which nothing was left before anything was decoded
    groups = [machines for machines in _groups(config) if there.issuperset(machines)]
    return {machines: StudyClips.of(frame, machines, config.held_out, rate) for machines in groups}


def _left(config: SearchConfig, families: Sequence[Family], reasons: Reasons) -> list[str]:
    """The machines of which something is searched, in the order of the command."""
    searched = {
        machine
        for machines, each in itertools.product(_groups(config), families)
        if (machines, each.name) not in reasons
        for machine in machines
    }
    return [machine for machine in config.machines if machine in searched]


def settings_of(machines: Sequence[str], config: SearchConfig, source: DataSource) -> Settings:
    of = {machine: source.bank.fingerprints[machine] for machine in machines}
    return Settings(
        fingerprint=of[machines[0]] if len(of) == 1 else trial_hash(**of),
        year=source.table.year,
        held_out=config.held_out,
        epochs_cap=config.epochs_cap,
        checkpoint=config.checkpoint,
    )


def _same_data(machine: str, records: Sequence[TrialRecord], bank: Bank, ledger: Ledger) -> None:
    """One dataset a run: scores of other clips could not be ensembled with these."""
    scored = [r for r in records if r.source == "search" and r.status == "complete"]  # others have no scores
    other = [r for r in scored if r.data_fingerprint != bank.fingerprints[machine]]
    if other:
        raise AsdRayError(
            f"{ledger.layout.root} holds {len(other)} trials of {machine} on other clips, or on these at another "
            f"--rate or --channel (dataset {other[0].dataset}, first {other[0].name}); {bank.rate_hint(machine)}keep "
            "one dataset a run: choose another --run"
        )
