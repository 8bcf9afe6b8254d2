"""From a ledger and a recipe to an ensemble: chosen, combined, measured under every protocol, and written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling import bootstrap
from asd_ray.ensembling.candidates import CONSTANT, Candidates, LeftOut, load
from asd_ray.ensembling.combine import TRANSDUCTIVE
from asd_ray.ensembling.ensemble_file import FORMAT, Ensemble, combined, statistics_to_json
from asd_ray.ensembling.greedy import Chosen
from asd_ray.ensembling.judge import strata_of
from asd_ray.ensembling.protocols import Field, Measured, field_of, measure, possible, together
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.select import check, without_labels
from asd_ray.ensembling.standardise import Statistics
from asd_ray.ensembling.threshold import threshold
from asd_ray.ensembling.wishes import Wishes
from asd_ray.errors import AsdRayError
from asd_ray.metrics import detection

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

Floats = npt.NDArray[np.float64]
PACKAGES = ("asd_ray", "numpy", "pandas", "scipy", "pyarrow")
LABELS = {
    "oracle": "chosen with the labels of the very clips it is measured on: an upper bound, not a forecast",
    "crossval": "chosen on folds of the test clips and measured on the fold left out",
    "cross_id": "chosen on the test clips of the other ids and measured on the id left out",
    "label_free": "chosen without any test label",
}


def build(
    candidates: Candidates, recipe: Recipe, wishes: Wishes, single: Mapping[str, Measured] | None = None
) -> Ensemble:
    """The ensemble of a recipe that combines in one way. `single` are the measures of the best single candidate.

    Where there is crossval, `resampled_gains` are those over the best single candidate under it, one a draw.
    """
    candidates = without_constants(candidates)
    check(recipe, candidates)
    if not candidates.labelled:
        return _unmeasured(candidates, recipe, wishes)
    field = field_of(candidates, recipe.standardise, wishes.maximise)
    found = measures(field, recipe, wishes)
    single = measures(field, best_single(recipe), wishes) if single is None else single
    first = "label_free" if "label_free" in found else "oracle"
    chosen = found[first].chosen[0]
    made = _described(candidates, recipe, wishes, chosen, field.statistics)
    made["metrics"], gains = _metrics(field, found, single, wishes)
    made["trail"] = [
        {"step": step, **_named(candidates, row), "value": value} for step, (row, value) in enumerate(chosen.trail, 1)
    ]
    made["selection_frequency"] = _frequency(candidates, found)
    made["notes"] += candidates.judged.notes
    fewest = min(map(len, strata_of(field.judge.clips).values()))
    if 1 < fewest < wishes.folds:
        made["notes"].append(f"crossval has {fewest} folds: an id has no more clips of a domain and label")
    if not possible(field, "crossval"):
        made["notes"].append(
            "no crossval: an id has fewer than 2 clips of a domain and label; only the oracle is reported"
        )
    decided = (
        together(field, recipe, chosen, np.ones(len(field.rows), bool), rescaled=False) > made["threshold"]["value"]
    )
    made["metrics"]["decisions"] = detection(field.judge.clips["label"].to_numpy(), decided)._asdict()
    if "crossval" in gains:
        made["resampled_gains"] = gains["crossval"].tolist()
    return made


class Builder:
    """Builds ensembles of one machine: candidates and the measures of single ones are needed for many recipes."""

    def __init__(self, ledger: Ledger, machine: str, wishes: Wishes, *, drop: bool = False) -> None:
        self.machine, self.wishes = machine, wishes
        self._ledger, self._drop = ledger, drop
        self._candidates: dict[str, Candidates] = {}
        self._singles: dict[Any, Mapping[str, Measured]] = {}

    def candidates(self, by: str) -> Candidates:
        if by not in self._candidates:
            self._candidates[by] = without_constants(load(self._ledger, self.machine, by, drop=self._drop))
        return self._candidates[by]

    def __call__(self, recipe: Recipe) -> Ensemble:
        candidates, key = self.candidates(recipe.by), (recipe.by, recipe.standardise)
        if key not in self._singles and candidates.labelled:
            field = field_of(candidates, recipe.standardise, self.wishes.maximise)
            self._singles[key] = measures(field, best_single(recipe), self.wishes)
        return build(candidates, recipe, self.wishes, self._singles.get(key))


def measures(field: Field, recipe: Recipe, wishes: Wishes) -> dict[str, Measured]:
    """Under every protocol that these clips and this recipe allow."""
    if recipe.select == "label_free":  # chosen by no clip, so the same whichever clips are left out
        return dict.fromkeys(("label_free", "oracle", "crossval"), measure(field, recipe, "label_free"))
    found = {}
    for protocol in ("oracle", "crossval", "cross_id"):
        if not possible(field, protocol):
            continue
        found[protocol] = measure(field, recipe, protocol, repeats=wishes.repeats, folds=wishes.folds, seed=wishes.seed)
    return found


def best_single(like: Recipe) -> Recipe:
    """What every ensemble is compared with, standardised in the same way."""
    return Recipe("best_single", "best", by=like.by, standardise=like.standardise)


def without_constants(candidates: Candidates) -> Candidates:
    """Equal scores of all test clips say nothing and have no unit: such a candidate is left out and named."""
    says = np.ptp(candidates.scores, axis=1) > 0
    if says.all():
        return candidates
    if not says.any():
        raise AsdRayError(
            f"{candidates.machine}: every candidate gives all test clips one score; their detectors learned nothing"
        )
    rows = candidates.table[~says]
    told = tuple(map(LeftOut, rows["name"], rows["family"], rows["variant"], [CONSTANT] * len(rows)))
    return replace(candidates.take(np.flatnonzero(says)), left_out=candidates.left_out + told)


def _described(
    candidates: Candidates, recipe: Recipe, wishes: Wishes, chosen: Chosen, statistics: Statistics
) -> Ensemble:
    rows = list(chosen.members)
    members, own = candidates.take(rows), statistics.take(rows)
    weights = list(chosen.weights)
    by_rank = recipe.combine[0] in TRANSDUCTIVE  # ranks among test clips cannot be compared with ranks among others
    scores, clips = (members.scores, members.clips) if by_rank else (members.normal_scores, members.normal)
    normal = combined(recipe, own(scores, clips), weights, members, clips)
    transductive = recipe.by == "test" or by_rank
    every: dict[str, list[str]] = {}
    for trial, variant in zip(candidates.table["trial"], candidates.table["variant"], strict=True):
        every.setdefault(trial, []).append(variant)
    notes = [f"left out: {each}" for each in candidates.left_out]
    if members.table["peeked"].any():
        notes.append("--checkpoint oracle: test labels chose the epoch of members, so no number of these is a forecast")
    if transductive:
        notes.append("transductive: scores of test clips that are judged together went into each other, without labels")
    return {
        "format": FORMAT,
        "machine": candidates.machine,
        "recipe": recipe.to_dict(),
        "wishes": asdict(wishes),
        "dataset": {"name": candidates.dataset, "fingerprint": candidates.fingerprint, "year": candidates.year},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "members": [
            {
                **_named(members, row),
                "trial": members.table["trial"].iat[row],
                "weight": weight,
                "number": int(members.table["number"].to_numpy()[row]),
                "params": members.table["params"].iat[row],
            }
            for row, weight in enumerate(weights)
        ],  # fmt: skip
        "combine": recipe.combine[0],
        "statistics": statistics_to_json(own),
        "threshold": threshold(normal, "empirical" if by_rank else wishes.threshold, wishes.percentile),
        "metrics": {},
        "trail": [],
        "selection_frequency": [],
        "candidates": {
            "tried": len(candidates),
            "families": dict(sorted(Counter(candidates.table["family"]).items())),
            "left_out": list(map(str, candidates.left_out)),
            "digest": candidates.digest,
            "all": every,
        },
        "transductive": transductive,
        "labels": LABELS["label_free" if recipe.select == "label_free" else "oracle"],
        "notes": notes,
    }


def _unmeasured(candidates: Candidates, recipe: Recipe, wishes: Wishes) -> Ensemble:
    if recipe.select != "label_free":
        raise AsdRayError(
            f"{candidates.machine}: its test clips have no labels, so recipe {recipe.name} has nothing to choose by; "
            "use --recipe label_free, which chooses without labels: it gives scores and decisions, and no metrics"
        )
    statistics = recipe.standardise.learn(candidates.normal_scores, candidates.normal)
    made = _described(candidates, recipe, wishes, without_labels(recipe, candidates.table), statistics)
    made["notes"].append("the test clips have no labels: scores and decisions only, no metrics")
    return made


def _metrics(
    field: Field, found: Mapping[str, Measured], single: Mapping[str, Measured], wishes: Wishes
) -> tuple[dict[str, Any], dict[str, Floats]]:
    """And the resampled gains over the best single candidate, by protocol."""
    made: dict[str, Any] = {}
    gains: dict[str, Floats] = {}
    for protocol, each in found.items():
        against = single.get(protocol) or single.get("crossval") or single["oracle"]
        own, its = (
            bootstrap.resampled(m.scores, field.judge, draws=wishes.draws, seed=wishes.seed) for m in (each, against)
        )
        made[protocol] = {
            "value": each.value,
            "interval": list(bootstrap.interval(own)),
            "cells": {name: value for name, value in each.cells.items() if "/" in name},
            **{name: each.cells[name] for name in ("auc", "pauc", "hmean")},
            "per_repeat": each.values.tolist(),
            "labels": LABELS[protocol],
            "single": {
                "value": against.value,
                "protocol": against.protocol,
                **{name: against.cells[name] for name in ("auc", "pauc", "hmean")},
                "name": field.candidates.told(against.chosen[0].members[0]) if against.protocol == "oracle" else "",
            },
            "gain": {
                "value": each.value - against.value,
                "interval": list(bootstrap.interval(own - its)),
                "better": bool(bootstrap.interval(own - its)[0] > 0) and against.protocol != "oracle",
            },
        }
        gains[protocol] = own - its
    if "oracle" in made and "crossval" in made:
        made["gap"] = made["oracle"]["value"] - made["crossval"]["value"]
    return made, gains


def _frequency(candidates: Candidates, found: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """How many of crossval's folds chose a candidate."""
    if "crossval" not in found or "label_free" in found:
        return []
    folds = found["crossval"].chosen
    counts = Counter(member for chosen in folds for member in chosen.members)
    return [
        {**_named(candidates, row), "trial": candidates.table["trial"].iat[row], "frequency": count / len(folds)}
        for row, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _named(candidates: Candidates, row: int) -> dict[str, Any]:
    each = candidates.table.iloc[row]
    return {"name": each["name"], "family": each["family"], "variant": each["variant"]}


def _versions() -> dict[str, str]:
    import importlib.metadata  # a tenth of the time that it takes to start

    made = {}
    for package in PACKAGES:
        try:
            made[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return made
