"""Trials with the paper's setting, judged by the score that the paper reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.paper_variants import paper_variants, papers_own
from asd_ray.tuning.data import DataSource, MachineData
from asd_ray.tuning.ledger_view import joint_record
from asd_ray.tuning.study import Study


def by_papers_score(studies: Iterable[Study], source: DataSource, ledger: Ledger) -> dict[str, TrialRecord]:
    """Trial hash -> a trial with the paper's setting, whose variant and objective are those of the paper's own score.

    The stored record names the best variant, which labels or injected faults chose. It is called once, at the end of a
    search. A trial is missing in the result if its paper has no single score, or if its scores cannot be read.
    """
    found: dict[str, TrialRecord] = {}
    for study in studies:
        for record in study.records.values():
            if not record.paper or record.status != "complete":
                continue
            try:
                judged = _judged(record, study, source, ledger)
            except AsdRayError:  # its file was removed, or S3 does not answer; the search itself has succeeded
                continue
            if judged is not None:
                found[record.trial] = judged
    return found


def _judged(record: TrialRecord, study: Study, source: DataSource, ledger: Ledger) -> TrialRecord | None:
    reported = {paper_variants(record.family, machine, study.settings.year) for machine in study.machines}
    if reported == {(record.variant,)}:
        return record
    records = []
    for machine in study.machines:
        clips = source.machine(machine, study.settings)
        table = ledger.scores(replace(record, machine=machine), clips.judge.splits)
        variants = set(table["variant"])
        own = papers_own(record.family, variants, machine, study.settings.year)
        if len(own) != 1:
            return None
        (variant,) = own
        if variants == {record.variant}:  # it has no other score
            return record
        scores = _aligned(table[table["variant"] == variant], clips)
        if scores is None:
            return None
        verdict = clips.judge({split: {variant: values} for split, values in scores.items()})
        own_machine = replace(record, machine=machine, variant=variant)
        records.append(replace(own_machine, objective=verdict.objective, objective_parts=verdict.parts))
    return joint_record(records)


def _aligned(table: pd.DataFrame, clips: MachineData) -> Mapping[str, npt.NDArray[np.float64]] | None:
    """The stored scores of one variant by split, in the order of the clips that the judge knows; None if some lack."""
    scores = {}
    for split in clips.judge.splits:
        own = table[table["split"] == split].set_index("clip")["score"]
        in_order = own.reindex(clips.clips[split].frame["clip"]).to_numpy(np.float64)
        if np.isnan(in_order).any():
            return None
        scores[split] = in_order
    return scores
