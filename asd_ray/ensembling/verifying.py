"""Whether a ledger still gives what an ensemble file says: all of it is built anew and compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray.ensembling.build import build
from asd_ray.ensembling.candidates import load
from asd_ray.ensembling.ensemble_file import CHECKSUM, intact, scores_of
from asd_ray.ensembling.protocols import field_of
from asd_ray.ensembling.recipe import recipe_from
from asd_ray.ensembling.schema import AS_BEST
from asd_ray.ensembling.threshold import of_distribution
from asd_ray.ensembling.wishes import Wishes

if TYPE_CHECKING:
    from asd_ray.ensembling.ensemble_file import Ensemble
    from asd_ray.ledger import Ledger

TOLERANCE = 1e-9
# A gamma distribution is fitted step by step, until a step is below 1e-4: processors that round differently end at
# other numbers, 4e-6 apart as seen. The threshold must be the percentile of its own distribution to `TOLERANCE`.
FITTED = {"threshold/shape": 1e-3, "threshold/loc": 1e-3, "threshold/scale": 1e-3, "threshold/value": 1e-4}
NOTES = (
    "created",
    "versions",
    "notes",
    "recipe_source",
    "tried",
    CHECKSUM,
)  # cannot be rebuilt; the checksum is of them
ADDED = "resampled_gains"  # files of earlier versions lack them
OWN_STATISTICS = "from the file's statistics"
OWN_DISTRIBUTION = "threshold/value from the file's distribution"


def verify(ledger: Ledger, ensemble: Mapping[str, Any]) -> dict[str, float]:
    """Rebuild an ensemble from the ledger: place in the file -> how far its value is from what the ledger gives.

    Statistics, threshold and every protocol's values are computed anew, over the candidates there were. Numbers may
    differ by `TOLERANCE` of the larger one, or of 1; all else must be equal, and is infinitely far where it is not.
    A fitted number that agrees within `FITTED` is as good, and counts as equal.
    """
    recipe, wishes = recipe_from(ensemble["recipe"]), Wishes(**ensemble["wishes"])
    only = {trial: list(variants) for trial, variants in ensemble["candidates"]["all"].items()}
    candidates = load(ledger, ensemble["machine"], recipe.by, only=only)
    again = build(candidates, recipe, wishes)
    found = dict(_differences(_rebuilt(ensemble, again), _rebuilt(again, again)))
    if all(found.get(place, math.inf) < math.inf for place in FITTED):  # both have a distribution
        found |= {place: 0.0 for place, limit in FITTED.items() if found[place] <= limit}
        found[OWN_DISTRIBUTION] = apart(float(ensemble["threshold"]["value"]), of_distribution(ensemble["threshold"]))
    if ADDED not in ensemble:
        found.pop(ADDED, None)
    if (whole := intact(ensemble)) is not None:
        found[CHECKSUM] = 0.0 if whole else math.inf
    if found["dataset/fingerprint"] or not ensemble["metrics"]:
        return found
    scores = scores_of(ledger, ensemble)  # with the file's own statistics, as new clips would be scored
    test = scores[scores["split"] == "test"]["score"].to_numpy()
    field = field_of(candidates, recipe.standardise, wishes.maximise)
    value = float(field.judge(test[None, field.rows])[0])
    protocol = "label_free" if "label_free" in ensemble["metrics"] else "oracle"
    found[OWN_STATISTICS] = apart(ensemble["metrics"][protocol]["value"], value)
    return found


def _rebuilt(ensemble: Mapping[str, Any], again: Ensemble) -> dict[str, Any]:
    """What is compared. A ledger that has grown since leaves out other candidates as well."""
    made = {name: part for name, part in ensemble.items() if name not in NOTES}
    made["statistics"] = _in_units(ensemble["statistics"], again["statistics"])
    made["candidates"] = {name: part for name, part in ensemble["candidates"].items() if name != "left_out"}
    made["metrics"] = {
        protocol: {**part, "gain": {name: each for name, each in part["gain"].items() if name != AS_BEST}}
        if isinstance(part, Mapping) and "gain" in part
        else part
        for protocol, part in ensemble["metrics"].items()
    }
    return made


def _in_units(statistics: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, Any]:
    """In units of the scale that was built again: scores of a detector may be tiny or huge."""
    made, groups = dict(statistics), statistics["groups"]
    units = np.array(again["scale"])
    if groups != again["groups"] or np.shape(statistics["scale"]) != units.shape:
        return made  # these differ, whatever the numbers
    for name in ("centre", "scale"):
        made[name] = (np.array(statistics[name]) / units).tolist()
    if "reference" in statistics:
        made["reference"] = {
            name: (np.array(rows) / units[:, [groups.index(name)]]).tolist()
            for name, rows in statistics["reference"].items()
        }
    return made


def _differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Each value's place and how far the two are apart; of what only one of them has, the place where it is lacking."""
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
    """0 for equal values, a finite number for two floats, and infinity for all else: NaN is near to nothing."""
    if isinstance(new, float) and isinstance(old, float | int) and not isinstance(old, bool):
        far = abs(old - new) / max(1.0, abs(old), abs(new))
        return far if math.isfinite(far) else math.inf
    return 0.0 if type(old) is type(new) and old == new else math.inf
