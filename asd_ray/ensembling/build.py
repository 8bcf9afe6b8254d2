"""From a ledger and a recipe to an ensemble: chosen, combined, measured under every protocol, and written down."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling import bootstrap
from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.combine import TRANSDUCTIVE
from asd_ray.ensembling.ensemble_file import FORMAT, Ensemble, combined, scores_of, statistics_to_json
from asd_ray.ensembling.greedy import Chosen
from asd_ray.ensembling.judge import MAXIMISE, strata_of
from asd_ray.ensembling.protocols import Field, Measured, field_of, measure, possible, together
from asd_ray.ensembling.recipe import Recipe, recipe_from
from asd_ray.ensembling.select import check, without_labels
from asd_ray.ensembling.standardise import Statistics
from asd_ray.ensembling.threshold import HOW, PERCENTILE, threshold
from asd_ray.errors import AsdRayError, unknown
from asd_ray.metrics import detection

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

Floats = npt.NDArray[np.float64]
AS_BEST = "better_as_best"
PACKAGES = ("asd_ray", "numpy", "pandas", "scipy", "pyarrow")
REBUILT = (
    "dataset",
    "members",
    "combine",
    "statistics",
    "threshold",
    "metrics",
    "trail",
    "selection_frequency",
    "candidates",
    "transductive",
    "labels",
)  # the rest is notes, and when and by what the file was made
LABELS = {
    "oracle": "chosen with the labels of the very clips it is measured on: an upper bound, not a forecast",
    "crossval": "chosen on folds of the test clips and measured on the fold left out",
    "cross_id": "chosen on the test clips of the other ids and measured on the id left out",
    "label_free": "chosen without any test label",
}


@dataclass(frozen=True)
class Wishes:
    """How ensembles are chosen and measured."""

    maximise: str = "hmean"
    repeats: int = 3
    folds: int = 5
    seed: int = 0
    draws: int = bootstrap.DRAWS
    threshold: str = "gamma"
    percentile: float = PERCENTILE

    def __post_init__(self) -> None:
        for name, known in (("maximise", MAXIMISE), ("threshold", HOW)):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name, least in (("folds", 2), ("repeats", 1), ("seed", 0), ("draws", 1)):
            if getattr(self, name) < least:
                raise AsdRayError(f"{name} must be {least} or more but got {getattr(self, name)}")
        if not 0 < self.percentile < 100:
            raise AsdRayError(f"percentile must be above 0 and below 100 but got {self.percentile}")


def build(
    candidates: Candidates, recipe: Recipe, wishes: Wishes, single: Mapping[str, Measured] | None = None
) -> Ensemble:
    """The ensemble of a recipe that combines in one way. `single` are the measures of the best single candidate."""
    return build_with_gains(candidates, recipe, wishes, single)[0]


def build_with_gains(
    candidates: Candidates, recipe: Recipe, wishes: Wishes, single: Mapping[str, Measured] | None = None
) -> tuple[Ensemble, Floats | None]:
    """And the resampled gains over the best single candidate under crossval, one a draw, where there are some."""
    candidates = without_constants(candidates)
    check(recipe, candidates.machine, candidates.table)
    if not candidates.labelled:
        return _unmeasured(candidates, recipe, wishes), None
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
            "no crossval: an id has fewer than 2 clips of a domain and label; the oracle alone is told"
        )
    decided = (
        together(field, recipe, chosen, np.ones(len(field.rows), bool), rescaled=False) > made["threshold"]["value"]
    )
    made["metrics"]["decisions"] = detection(field.judge.clips["label"].to_numpy(), decided)._asdict()
    return made, gains.get("crossval")


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
    told = tuple(f"{candidates.told(int(row))} (constant scores)" for row in np.flatnonzero(~says))
    return replace(candidates.take(np.flatnonzero(says)), left_out=candidates.left_out + told)


def verify(ledger: Ledger, ensemble: Mapping[str, Any]) -> dict[str, float]:
    """Rebuild an ensemble from the ledger: how far each of its numbers is from what the file says.

    Statistics, threshold and every protocol's values are computed anew, over the candidates there were.
    """
    try:
        recipe, wishes = recipe_from(ensemble["recipe"]), Wishes(**ensemble["wishes"])
    except (KeyError, TypeError, AttributeError) as error:
        raise AsdRayError(
            f"{ensemble['machine']}: the ensemble's recipe or wishes are not as this version writes them ({error}); "
            "choose the ensemble again"
        ) from error
    only = {trial: list(variants) for trial, variants in ensemble["candidates"]["all"].items()}
    again = build(load(ledger, ensemble["machine"], recipe.by, only=only), recipe, wishes)
    same = [(each["trial"], each["variant"]) for each in again["members"]]
    if same != [(each["trial"], each["variant"]) for each in ensemble["members"]]:
        raise AsdRayError(
            f"{ensemble['machine']}: the recipe chooses other members now; the file or the ledger was changed"
        )
    differences = dict(_differences(_rebuilt(ensemble), _rebuilt(again)))
    stored = scores_of(ledger, ensemble)  # with the file's own statistics, as new clips would be scored
    test = stored[stored["split"] == "test"]
    if ensemble["metrics"]:
        own = field_of(load(ledger, ensemble["machine"], recipe.by, only=only), recipe.standardise, wishes.maximise)
        value = float(own.judge(test["score"].to_numpy()[None, own.rows])[0])
        protocol = "label_free" if "label_free" in ensemble["metrics"] else "oracle"
        differences["from the file's statistics"] = abs(value - ensemble["metrics"][protocol]["value"])
    return differences


def _rebuilt(ensemble: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared; a ledger that has grown since leaves out other candidates as well."""
    candidates = {name: part for name, part in ensemble["candidates"].items() if name != "left_out"}
    metrics = {
        protocol: {**part, "gain": {name: each for name, each in part["gain"].items() if name != AS_BEST}}
        if isinstance(part, Mapping) and "gain" in part
        else part
        for protocol, part in ensemble["metrics"].items()
    }
    return {key: ensemble.get(key) for key in REBUILT} | {"candidates": candidates, "metrics": metrics}


def mark_best(ensembles: Sequence[tuple[Ensemble, Floats | None]]) -> Ensemble:
    """The best by what each is worth on clips that it was not chosen by, told how many it was the best of.

    Of many gains the largest is large by luck, too. Its lower bound is therefore that of the largest deviation of any
    of these gains from its value, over the resampled clips: `better_as_best` says whether that lies above 0.
    """
    ranked = sorted(ensembles, key=lambda pair: rank(pair[0]))
    best = ranked[0][0]
    by = "crossval" if _forecast(best) else "oracle" if best["metrics"] else "order"
    for each, _ in ranked:
        each["tried"] = {"recipes": len(ranked), "chosen_by": by}
    gains = [(each["metrics"]["crossval"]["gain"]["value"], draws) for each, draws in ranked if draws is not None]
    if by == "crossval" and gains:
        luck = np.max([draws - value for value, draws in gains], axis=0)
        gain = best["metrics"]["crossval"]["gain"]
        gain[AS_BEST] = bool(gain["value"] - bootstrap.interval(luck)[1] > 0) and gain["better"]
    return best


def _forecast(ensemble: Mapping[str, Any]) -> str:
    """The protocol whose number is of clips that an ensemble was not chosen by, if there is one."""
    return next((name for name in ("label_free", "crossval") if name in ensemble["metrics"]), "")


def rank(ensemble: Mapping[str, Any]) -> tuple[bool, float, int, str]:
    metrics, by = ensemble["metrics"], _forecast(ensemble)
    value = metrics[by or "oracle"]["value"] if metrics else 0.0
    return (not by, -value, len(ensemble["members"]), ensemble["recipe"]["name"])


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
            "left_out": list(candidates.left_out),
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


def _differences(old: Any, new: Any, where: str = "") -> Sequence[tuple[str, float]]:
    """Each number's place and how far the two are apart; infinite where one is missing or is other text."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(set(old) | set(new))
        return [each for key in keys for each in _differences(old.get(key), new.get(key), f"{where}/{key}".strip("/"))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [each for at, (one, other) in pairs for each in _differences(one, other, f"{where}/{at}")]
    if isinstance(old, float) and isinstance(new, float | int) and not isinstance(new, bool):
        return [(where, abs(old - new))]
    return [(where, 0.0 if old == new else math.inf)]
