"""An ensemble and its parts as frozen dataclasses: the result of choosing, the content of the file and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from asd_ray.ensembling import protocols
from asd_ray.ensembling._part import Part
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.costs import InferenceTime, RunningCost
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.metric import Gain, Metric, Metrics
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.schema import problem
from asd_ray.ensembling.standardise import Standardiser, Statistics
from asd_ray.ensembling.threshold import Threshold
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.ensembling.unmeasured import said_in
from asd_ray.errors import AsdRayError

FORMAT = "asd_ray-ensemble/1"
CURE = "choose the ensemble again: asd-ray ensemble MACHINE --run RUN"


@dataclass(frozen=True)
class DatasetInfo(Part):
    """The dataset of the candidates."""

    name: str
    fingerprint: str
    year: int | None  # DCASE year whose cells are measured


@dataclass(frozen=True)
class Member(Part):
    """A candidate that was chosen, and its weight."""

    name: str  # name of the trial
    family: str
    variant: str
    trial: str
    weight: float
    number: int
    params: Mapping[str, Any]

    @property
    def pair(self) -> tuple[str, str]:
        """The ledger's key of this candidate: trial and variant."""
        return self.trial, self.variant


@dataclass(frozen=True)
class TrailStep(Part):
    """A step of choosing: the candidate that was added, and the ensemble's value after it."""

    step: int
    name: str
    family: str
    variant: str
    value: float


@dataclass(frozen=True)
class SelectionFrequency(Part):
    """The share of crossval's folds that chose a candidate."""

    name: str
    family: str
    variant: str
    trial: str
    frequency: float


@dataclass(frozen=True)
class CandidatesSummary(Part):
    """A summary of the candidates of a choice."""

    tried: int
    families: Mapping[str, int]  # family -> number of candidates
    left_out: tuple[str, ...]
    digest: str  # digest of `all`
    all: Mapping[str, tuple[str, ...]]  # trial -> variants
    guided: bool | None = None  # whether a search led by test labels found some; None in files of earlier versions


@dataclass(frozen=True)
class StoredStatistics(Part):
    """A standardiser's statistics of the members in a file: one row per member, one column per group."""

    groups: tuple[str, ...]
    centre: tuple[tuple[float, ...], ...]
    scale: tuple[tuple[float, ...], ...]
    reference: Mapping[str, tuple[tuple[float, ...], ...]] | None = None

    @classmethod
    def of(cls, statistics: Statistics) -> Self:
        reference = {group: _rows(scores) for group, scores in statistics.reference.items()}
        return cls(statistics.groups, _rows(statistics.centre), _rows(statistics.scale), reference or None)

    def learned(self, standardiser: Standardiser) -> Statistics:
        reference = {group: np.array(rows) for group, rows in (self.reference or {}).items()}
        return Statistics(standardiser, self.groups, np.array(self.centre), np.array(self.scale), reference)


@dataclass(frozen=True)
class Tried(Part):
    """The recipes that were compared, and how the best of them was chosen."""

    recipes: int
    chosen_by: str  # crossval, oracle, order or user; label_free by early versions
    names: tuple[str, ...] | None = None  # names of the recipes


@dataclass(frozen=True)
class Ensemble(Part):
    """Chosen candidates, how they are standardised and combined, their threshold, and their metrics.

    ``ensemble.headline.value`` is the number to quote and ``ensemble.gain.better`` the claim it supports. Fields that
    are None by default are missing in the files of earlier versions, or are set when ensembles are compared.
    """

    machine: str
    recipe: Recipe
    config: EnsembleConfig = field(metadata={"key": "wishes"})
    dataset: DatasetInfo
    created: str  # ISO 8601
    versions: Mapping[str, str] = field(repr=False)  # package -> version
    members: tuple[Member, ...]
    combine: str
    statistics: StoredStatistics = field(repr=False)
    threshold: Threshold
    metrics: Metrics
    trail: tuple[TrailStep, ...] = field(repr=False)
    selection_frequency: tuple[SelectionFrequency, ...] = field(repr=False)
    candidates: CandidatesSummary = field(repr=False)
    transductive: bool  # a clip's score depends on other test clips
    labels: str  # how labels were used in choosing the members, as a sentence
    notes: tuple[str, ...]
    # gains over the best single detector under crossval, one per draw
    resampled_gains: tuple[float, ...] | None = field(default=None, repr=False)
    recipe_source: str | None = None  # the file of a user's own recipe
    tried: Tried | None = None
    inference: InferenceTime | None = field(default=None, repr=False)  # where its time was limited
    warnings: tuple[TrustWarning, ...] | None = None  # None in files of earlier versions
    counts: DecisionCounts | None = None  # of a final ensemble, under the protocol of its headline
    cost: RunningCost | None = None  # of a final ensemble without a limit, where the states of its members were kept
    cost_unmeasured: str | None = None  # why `cost` could not be measured, although the states were kept
    checksum: str | None = None  # set when the file is written

    @classmethod
    def from_json(cls, stored: Any, where: str = "an ensemble") -> Self:
        """Read an ensemble file's value. An AsdRayError names `where` and the first fault in it."""
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            form = stored.get("format") if isinstance(stored, dict) else type(stored).__name__
            raise AsdRayError(f"{where}: the format is {form!r:.60} but must be {FORMAT!r}; {CURE}")
        if wrong := problem(stored):
            raise AsdRayError(f"{where}: {wrong}; {CURE}")
        return super().from_json({key: value for key, value in stored.items() if key != "format"})

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **super().to_json()}

    @property
    def name(self) -> str:
        """The name of its recipe, which is also the name of its file."""
        return self.recipe.name

    @property
    def headline_protocol(self) -> str | None:
        """The protocol whose number stands for the ensemble, by `protocols.headline`; None without test labels."""
        return protocols.headline(self.metrics)

    @property
    def headline(self) -> Metric | None:
        """The number that stands for the ensemble: a forecast if there is one; None if nothing was measured."""
        return self.metrics[self.headline_protocol] if self.headline_protocol else None

    @property
    def without_unseen(self) -> Ensemble:
        """The ensemble without its number on unseen clips, for tables that compare recipes: that number must not."""
        kept = {name: metric for name, metric in self.metrics.by_protocol.items() if name != "unseen"}
        return replace(self, metrics=replace(self.metrics, by_protocol=kept))

    @property
    def not_measured(self) -> str:
        """What stands where its numbers would; "" if it was measured."""
        return "" if self.metrics else said_in(self.notes)

    @property
    def forecasts(self) -> bool:
        """Whether the headline is a forecast and not an upper bound."""
        return self.headline_protocol is not None and protocols.find(self.headline_protocol).forecasts

    @property
    def running_cost(self) -> RunningCost | None:
        """What it costs to run, if that was measured: when it was chosen within a limit, or when it became final."""
        if self.inference is None:
            return self.cost
        return RunningCost(self.inference.seconds, self.inference.costs.computer)

    @property
    def gain(self) -> Gain | None:
        """The gain over the best single detector, under the headline's protocol.

        `better` is the claim that all of the numbers support. It is False for an upper bound, against a single detector
        that was chosen by the measured clips, where the headline's own interval reaches 0, and where any forecast is
        `disagreeing`. The best of several recipes is better only if it still is when corrected for their number.
        """
        metric = self.headline
        if metric is None:
            return None
        better = metric.gain.better and self.corrected is not False
        allowed = self.forecasts and metric.single.protocol != "oracle" and not self.disagreeing
        return replace(metric.gain, better=better and allowed, better_as_best=self.corrected)

    @property
    def corrected(self) -> bool | None:
        """Whether its gain under crossval is above 0 when corrected for the number of recipes; None if not compared."""
        crossval = self.metrics.get("crossval")
        return crossval.gain.better_as_best if crossval else None

    @property
    def disagreeing(self) -> dict[str, float]:
        """The gain under each forecasting protocol under which the best single detector is as good or better."""
        return {
            name: metric.gain.value
            for name, metric in self.metrics.by_protocol.items()
            if protocols.find(name).forecasts and metric.gain.value <= 0
        }

    @property
    def own_protocol(self) -> str:
        """The protocol that measures the members of this ensemble themselves, not those that folds chose."""
        return "label_free" if "label_free" in self.metrics else "oracle"


def _rows(numbers: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, numbers.tolist()))
