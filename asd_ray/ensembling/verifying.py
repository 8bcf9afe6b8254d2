"""Verify an ensemble file against the ledger: everything is built again and compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray.ensembling import protocols
from asd_ray.ensembling.build import build
from asd_ray.ensembling.candidates import load
from asd_ray.ensembling.ensemble_file import CHECKSUM, intact
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.result import Ensemble, StoredStatistics
from asd_ray.ensembling.scoring import scores_of

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

TOLERANCE = 1e-9
# A gamma distribution is fitted step by step, until a step is below 1e-4: processors that round differently end at
# other numbers, 4e-6 apart as seen. The threshold must be the percentile of its own distribution to `TOLERANCE`.
FITTED = {"threshold/shape": 1e-3, "threshold/loc": 1e-3, "threshold/scale": 1e-3, "threshold/value": 1e-4}
NOT_REBUILT = (
    "created",
    "versions",
    "notes",
    "warnings",
    "counts",
    "cost",
    "cost_unmeasured",
    "recipe_source",
    "tried",
    "inference",
    CHECKSUM,
)  # the checksum covers these, too
ADDED = "resampled_gains"  # files of earlier versions lack them
OWN_STATISTICS = "from the file's statistics"
OWN_DISTRIBUTION = "threshold/value from the file's distribution"


@dataclass(frozen=True)
class Verification:
    """The result of `verify`."""

    differences: Mapping[str, float]  # place in the file -> distance from the ledger's value

    @property
    def worst(self) -> float:
        return max(self.differences.values(), default=0.0)

    @property
    def wrong(self) -> list[str]:
        """The places that differ, the most different first; the checksum is the last."""
        order = sorted(self.differences.items(), key=lambda item: (item[0] == CHECKSUM, -item[1]))
        return [place for place, far in order if not far <= TOLERANCE]

    @property
    def reason(self) -> str:
        """The fault, for a message; "" if there is none."""
        if not self.wrong:
            return ""
        if self.wrong == [CHECKSUM]:
            return "all agree but the checksum: a part that cannot be rebuilt was changed (notes, options, tried)"
        far = self.differences[self.wrong[0]]
        by = "is not what the ledger gives" if far == math.inf else f"differs by {far:.1e}, more than {TOLERANCE:.0e}"
        return f"{len(self.wrong)} differ; {self.wrong[0]} {by}: the file or the ledger was changed"


def verify(ledger: Ledger, ensemble: Ensemble) -> dict[str, float]:
    """Rebuild an ensemble from the ledger: place in the file -> distance of its value from the ledger's.

    Statistics, threshold and every protocol's values are computed again, over the same candidates. Numbers may differ
    by `TOLERANCE` of the larger one, or of 1; everything else must be equal, and is infinitely far where it is not. A
    fitted number that agrees within `FITTED` counts as equal.
    """
    candidates = load(ledger, ensemble.machine, ensemble.recipe.by, only=ensemble.candidates.all)
    if inference := ensemble.inference:  # its times cannot be measured again, but the choice by them can be made
        candidates = replace(candidates, costs=inference.costs, limit=inference.budget)
    again = build(candidates, ensemble.recipe, ensemble.config)
    differences = dict(_differences(_compared(ensemble, again), _compared(again, again)))
    if all(differences.get(place, math.inf) < math.inf for place in FITTED):  # both have a distribution
        differences |= {place: 0.0 for place, limit in FITTED.items() if differences[place] <= limit}
        differences[OWN_DISTRIBUTION] = apart(float(ensemble.threshold.value), ensemble.threshold.fitted_value())
    if ensemble.resampled_gains is None:
        differences.pop(ADDED, None)
    if (unchanged := intact(ensemble)) is not None:
        differences[CHECKSUM] = 0.0 if unchanged else math.inf
    if differences["dataset/fingerprint"] or not ensemble.metrics:
        return differences
    scores = scores_of(ledger, ensemble)  # with the file's own statistics, as new clips would be scored
    test = scores[scores["split"] == "test"]["score"].to_numpy()
    evaluation = EvaluationSet.of(candidates, ensemble.recipe.standardise, ensemble.config.maximise)
    value = float(evaluation.scorer(test[None, evaluation.rows])[0])
    differences[OWN_STATISTICS] = apart(ensemble.metrics[ensemble.own_protocol].value, value)
    return differences


def _compared(ensemble: Ensemble, again: Ensemble) -> dict[str, Any]:
    """The parts to compare, as JSON.

    Of the candidates, `left_out` changes as the ledger grows, and files of earlier versions lack `guided`.
    """
    of_final = [protocol.name for protocol in protocols.OF_FINAL]  # these need the other recipes and machines
    metrics = {
        protocol: replace(metric, gain=replace(metric.gain, better_as_best=None))
        for protocol, metric in ensemble.metrics.by_protocol.items()
        if protocol not in of_final
    }
    rebuilt = replace(
        ensemble,
        statistics=_in_units(ensemble.statistics, again.statistics),
        candidates=replace(ensemble.candidates, left_out=(), guided=None),
        metrics=replace(ensemble.metrics, by_protocol=metrics),
    )
    return {name: part for name, part in rebuilt.to_json().items() if name not in NOT_REBUILT}


def _in_units(statistics: StoredStatistics, again: StoredStatistics) -> StoredStatistics:
    """Statistics in units of the rebuilt scale, because scores of a detector may be tiny or huge."""
    units, groups = np.array(again.scale), statistics.groups
    if groups != again.groups or np.shape(statistics.scale) != units.shape:
        return statistics  # the shapes differ, so the comparison reports them
    reference = {
        name: (np.array(rows) / units[:, [groups.index(name)]]).tolist()
        for name, rows in (statistics.reference or {}).items()
    }
    return replace(
        statistics,
        centre=(np.array(statistics.centre) / units).tolist(),
        scale=(np.array(statistics.scale) / units).tolist(),
        reference=reference or None,
    )


def _differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """The place of each value and how far the two are apart; a value that only one of them has is infinitely far."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            place = f"{where}/{key}" if where else key
            if key in old and key in new:
                yield from _differences(old[key], new[key], place)
            else:
                yield place, math.inf
    elif isinstance(old, list) and isinstance(new, list):
        for at, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _differences(one, other, f"{where}/{at}")
        if len(old) != len(new):
            yield f"{where}/{min(len(old), len(new))}", math.inf
    else:
        yield where, apart(old, new)


def apart(old: Any, new: Any) -> float:
    """0 for equal values, a finite number for two floats, and infinity for all else; NaN is infinitely far."""
    if isinstance(new, float) and isinstance(old, float | int) and not isinstance(old, bool):
        far = abs(old - new) / max(1.0, abs(old), abs(new))
        return far if math.isfinite(far) else math.inf
    return 0.0 if type(old) is type(new) and old == new else math.inf
