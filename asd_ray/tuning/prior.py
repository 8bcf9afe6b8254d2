"""Warm start: the settings that a study tries first, because they were good on other machines."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution

from asd_ray.errors import AsdRayError
from asd_ray.families import Space
from asd_ray.families.drawing import Draw, first_draw, redraw
from asd_ray.ledger import Ledger, RunLayout, TrialRecord
from asd_ray.ledger.record import LABELS
from asd_ray.ledger.units import objective_of

SIZE = 5  # settings of a portfolio, by the replay in docs/search.md: no worse than 3 or 10
WIDTH = 0.15  # of the kernel, as a share of a parameter's range
UNKNOWN = 0.05  # the weight of the middle rank, which counts where a machine has no trial near a setting

Array = npt.NDArray[np.float64]
Origin = tuple[str, str, str]  # run, machine and settings: values are compared only within one


@dataclass(frozen=True)
class Suggestion:
    """A setting from another study, as the space of this search draws it."""

    params: dict[str, Any]
    suggested: dict[str, Any]  # those of the parameters that the space suggests
    name: str  # of the trial that had it


@dataclass(frozen=True)
class Observation:
    """A stored trial of another machine."""

    draw: Draw
    name: str
    value: float  # its rank among the trials of its origin: 0 is the worst, 1 the best
    first: bool  # whether it is the setting that every study tries first
    complete: bool

    @property
    def key(self) -> str:
        return json.dumps(self.draw.params, sort_keys=True)


class Prior:
    """The trials of the runs that a search names with --prior. `notes` say what of them is not used, and why.

    Trials of a machine that is searched are never used, whatever their run: labels that this search must not see, since
    they are kept unseen or since it goes by normal sound alone, may have chosen their settings.
    """

    def __init__(self, runs: Iterable[str], searched: Mapping[str, str]) -> None:
        """`searched`: machine -> the fingerprint of its clips, for all machines of the search."""
        self.notes: list[str] = []
        self.runs: list[str] = []  # those that have trials of other machines
        self._searched = dict(searched)
        self._searched_clips = {clips: machine for machine, clips in searched.items() if clips}
        self._records: list[tuple[str, TrialRecord]] = []
        # by family and by where the first setting is written
        self._portfolios: dict[tuple[str, str], list[Suggestion]] = {}
        for run in dict.fromkeys(runs):
            self._read(run)

    def _read(self, run: str) -> None:
        try:
            ledger = Ledger(run)
            records = [record for record in ledger.records() if record.source == "search"]
        except AsdRayError as error:
            self.notes.append(f"--prior {run} is not used: {error}")
            return
        where = _where(ledger.layout)
        own = {record.machine: reason for record in records if (reason := self._reason_against(record))}
        self.notes += [f"--prior: {machine} of {run} is left out: {reason}" for machine, reason in sorted(own.items())]
        others = [record for record in records if record.machine not in own]
        if others:
            self.runs.append(run)
            self._records += [(where, record) for record in others]
        elif not records:
            self.notes.append(
                f"--prior {run} is not used: it has no trials of a search yet; name the folder or s3:// address of a "
                "run (asd-ray ledger ls RUN lists its trials), and machines before --prior"
            )

    def _reason_against(self, record: TrialRecord) -> str:
        """Why no trial of the record's machine is used; "" if they are."""
        if record.machine in self._searched:
            return "it is the machine that is searched"
        if same := self._searched_clips.get(record.data_fingerprint):
            return f"its clips are those of {same}, which is searched"
        if together := sorted(self._searched.keys() & set(record.machines)):
            return f"it was trained together with {', '.join(together)}, which this command searches"
        return ""

    def suggestions(self, family: str, space: Space) -> list[Suggestion]:
        """The portfolio of the studies of a family that have the same first setting."""
        key = family, space.origin
        if key not in self._portfolios:
            self._portfolios[key] = portfolio(self._observe(family, space))
        return self._portfolios[key]

    def lines(self, portfolios: Iterable[Collection[Suggestion]]) -> list[str]:
        """What the plan says, once the portfolio of every study is known."""
        sizes = [len(suggestions) for suggestions in portfolios]
        if not any(sizes):
            return list(dict.fromkeys(self.notes))
        begin = (
            f"--prior: {sum(size > 0 for size in sizes)} of {len(sizes)} studies try up to {max(sizes)} settings "
            f"after the paper's that were good in {', '.join(self.runs)}"
        )
        return [begin, *dict.fromkeys(self.notes)]

    @property
    def is_by_labels(self) -> bool:
        """Whether labels of other machines chose settings of its trials."""
        return any(objective_of(record) == LABELS for _, record in self._records)

    def _observe(self, family: str, space: Space) -> dict[Origin, list[Observation]]:
        records = [(where, record) for where, record in self._records if record.family == family]
        if self.runs and not records:
            self.notes.append(
                f"--prior: no trial of {family} in {', '.join(self.runs)}, so its search begins as without a prior; "
                f"name a run that has searched {family}"
            )
        observed = observations(records, space)
        used = sum(map(len, observed.values()))
        fits = sum(1 for _, record in records if record.status != "failed")
        if used < fits:
            self.notes.append(
                f"--prior: {fits - used} of {fits} trials of {family} are of another search space and are not used; "
                f"search with the --space{' and the --set' if space.fixed else ''} of that run to use them"
            )
        return observed


def _where(layout: RunLayout) -> str:
    return layout.base if layout.is_s3 else os.path.realpath(layout.base)


def observations(records: Iterable[tuple[str, TrialRecord]], space: Space) -> dict[Origin, list[Observation]]:
    """The trials of each origin that `space` can draw, with their ranks among all trials of the origin.

    Ranks make origins comparable whose machines differ in difficulty, or whose objectives have other units. A pruned
    trial counts as worse than every complete one. A failed trial says nothing.
    """
    from scipy.stats import rankdata  # slow to import

    by_origin: dict[Origin, list[TrialRecord]] = {}
    for where, record in records:
        is_valued = record.status == "pruned" or (record.status == "complete" and record.objective is not None)
        if is_valued:
            settings = json.dumps(record.settings.to_dict() if record.settings else {}, sort_keys=True)
            by_origin.setdefault((where, record.machine, settings), []).append(record)
    first = first_draw(space).params  # flags of stored trials are of the PAPER of their time
    observed: dict[Origin, list[Observation]] = {}
    for origin, own in by_origin.items():
        values = [-math.inf if record.status == "pruned" else float(record.objective or 0.0) for record in own]
        ranks = (rankdata(values) - 0.5) / len(own)
        for record, rank in zip(own, ranks, strict=True):
            if (drawn := redraw(space, record.params)) is not None:
                is_complete = record.status == "complete"
                seen = Observation(drawn, record.name, float(rank), drawn.params == first, is_complete)
                observed.setdefault(origin, []).append(seen)
    return observed


def portfolio(observed: Mapping[Origin, Sequence[Observation]], size: int = SIZE) -> list[Suggestion]:
    """A few settings of which at least one is good on each machine, the best on average first.

    Greedy: each next setting is the one that raises the mean over the origins of the best value of the set most. The
    set begins with the first setting, the paper's, which every study tries anyway.
    """
    everything = [seen for own in observed.values() for seen in own]
    candidates = list({seen.key: seen for seen in everything if seen.complete}.values())
    if not candidates:
        return []
    values = np.column_stack([expected(candidates, own) for own in observed.values()])
    of_set = np.zeros(values.shape[1])
    left = []
    for row, candidate in enumerate(candidates):
        if candidate.first:
            of_set = np.maximum(of_set, values[row])
        else:
            left.append(row)
    chosen: list[Suggestion] = []
    while left and len(chosen) < size:
        gains = np.maximum(values[left], of_set).mean(axis=1)
        best = max(range(len(left)), key=lambda at: (gains[at], values[left[at]].mean()))
        row = left.pop(best)
        of_set = np.maximum(of_set, values[row])
        seen = candidates[row]
        chosen.append(Suggestion(seen.draw.params, seen.draw.suggested, seen.name))
    return chosen


def expected(candidates: Sequence[Observation], own: Sequence[Observation], width: float = WIDTH) -> Array:
    """The value of each candidate on a machine, from the machine's own trials: a mean, the nearest of them first.

    Studies draw different settings on each machine, so few settings have a value on more than one.
    """
    distances = _distances(candidates, own)
    weights = np.exp(-0.5 * (distances / width) ** 2)
    values = np.array([seen.value for seen in own])
    estimate: Array = (weights @ values + UNKNOWN * 0.5) / (weights.sum(axis=1) + UNKNOWN)
    return estimate


def _distances(candidates: Sequence[Observation], own: Sequence[Observation]) -> Array:
    """The root mean square, over the parameters that a space suggests, of how far two settings lie apart (0 to 1)."""
    names = list(dict.fromkeys(name for seen in [*candidates, *own] for name in seen.draw.distributions))
    if not names:
        return np.zeros((len(candidates), len(own)))
    total = np.zeros((len(candidates), len(own)))
    for name in names:
        one, other = (np.array([_scaled(seen.draw, name) for seen in side]) for side in (candidates, own))
        both = ~np.isnan(one)[:, None] & ~np.isnan(other)
        neither = np.isnan(one)[:, None] & np.isnan(other)
        apart = np.minimum(np.nan_to_num(np.abs(one[:, None] - other), nan=1.0), 1.0)
        total += np.where(both, apart, np.where(neither, 0.0, 1.0)) ** 2
    distances: Array = np.sqrt(total / len(names))
    return distances


def _scaled(drawn: Draw, name: str) -> float:
    """A parameter from 0 to 1, or the number of a category's choice; NaN where it is not suggested."""
    distribution: BaseDistribution | None = drawn.distributions.get(name)
    if distribution is None:
        return math.nan
    value = distribution.to_internal_repr(drawn.value(name))
    if isinstance(distribution, CategoricalDistribution):
        return value
    low, high = (float(getattr(distribution, end)) for end in ("low", "high"))
    if getattr(distribution, "log", False):
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) if high > low else 0.0
