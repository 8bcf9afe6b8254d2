"""stability: whether the same settings with another seed give the same ranks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from asd_ray.ensembling.criteria._agreement import unit_rows
from asd_ray.ensembling.criteria._base import Evidence, Floats
from asd_ray.ensembling.criteria.centrality import common_ranks


class Stability:
    """The mean correlation of a candidate's ranks with those of the same variant and settings with other seeds.

    A candidate whose settings have one seed only gets no value.
    """

    name = "stability"
    sentence = "gives the same ranks with another random seed"
    transductive = False

    def reason_against(self, evidence: Evidence) -> str:
        if common_ranks(evidence).shape[1] < 2:
            return "it compares scores of held-out clips and of injected faults, and there are none"
        groups = _groups(evidence)
        if all(len(evidence.table["trial"].iloc[rows].unique()) < 2 for rows in groups):
            return "no settings were tried with two seeds"
        return ""

    def values(self, evidence: Evidence) -> Floats:
        units, values = unit_rows(common_ranks(evidence)), np.full(len(evidence), np.nan)
        for rows in _groups(evidence):
            if len(rows) > 1:
                values[rows] = (units[rows] @ units[rows].sum(axis=0) - 1) / (len(rows) - 1)
        values[~evidence.scored] = np.nan
        return values


def _groups(evidence: Evidence) -> list[list[int]]:
    """Rows of the candidates of the same variant and settings."""
    groups: dict[str, list[int]] = {}
    columns = (evidence.table[name] for name in ("family", "variant", "params"))
    for row, key in enumerate(zip(*columns, strict=True)):
        if evidence.scored[row]:
            groups.setdefault(json.dumps(key, sort_keys=True, default=_text), []).append(row)
    return list(groups.values())


def _text(value: Any) -> str:
    return str(value)
