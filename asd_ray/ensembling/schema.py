"""The schema of an ensemble file: every key with the kind of its value, and the values that must fit together."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from asd_ray._names import NAME
from asd_ray._shapes import (
    Anything,
    DictOf,
    Flag,
    Items,
    ListOf,
    Maybe,
    Number,
    OneOf,
    Shape,
    Text,
    Whole,
    fault,
    object_of,
)
from asd_ray.ensembling import protocols
from asd_ray.ensembling.cell_scorer import MAXIMISE
from asd_ray.ensembling.combine import WAYS
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.standardise import RANKS
from asd_ray.ensembling.threshold import HOW, MIXTURE, SOURCES
from asd_ray.errors import AsdRayError

CHOSEN_BY = ("crossval", "oracle", "order", "user", "label_free")  # label_free in files of early versions only
MOST = 2**53  # the largest whole number
COUNT, MANY = Whole(1, MOST), Whole(0, MOST)
SHARE = Number(-1e-9, 1 + 1e-9)  # a mean of ones may be rounded
FLOAT32 = Number(-1e39, 1e39)  # the type of stored scores
FLOAT64 = Number(-1e300, 1e300)
PERCENT = Number(0, 100)
TIME = Number(0, 1e9)  # seconds
TEXT = Text(math.inf)


@dataclass(frozen=True)
class FileName:
    """A name that a file can have."""

    def misfit(self, value: Any) -> str:
        return TEXT.misfit(value) or ("" if NAME.fullmatch(value) else f" {value[:60]!r} cannot be a file's name")


NAMED: dict[str, Shape] = {"name": TEXT, "family": TEXT, "variant": TEXT}
MEANS: dict[str, Shape] = {"auc": SHARE, "pauc": SHARE, "hmean": SHARE}
INTERVAL = Items((Number(-1, 1),) * 2)
SLOT = object_of(
    {"size": COUNT, "distinct": ListOf(TEXT), "paper": Flag()},
    family=TEXT,
    variants=ListOf(TEXT),
    params=DictOf(Anything()),
)
STANDARDISE = object_of(how=TEXT, per=TEXT, floor=SHARE)
RECIPE = object_of(
    {"criterion": TEXT, "variants": TEXT},
    name=FileName(),
    select=TEXT,
    combine=Items((TEXT,)),
    slots=ListOf(SLOT),
    k=COUNT,
    size=COUNT,
    pool=COUNT,
    bags=COUNT,
    fraction=SHARE,
    trials=COUNT,
    by=TEXT,
    standardise=STANDARDISE,
)
CONFIG = object_of(
    {"infer_limit": TIME, "rules": COUNT},
    maximise=OneOf(MAXIMISE),
    repeats=COUNT,
    folds=Whole(2, MOST),
    seed=Whole(0, MOST),
    draws=COUNT,
    threshold=OneOf(HOW),
    percentile=PERCENT,
)
DECISIONS = object_of(precision=SHARE, recall=SHARE, f1=SHARE)


@dataclass(frozen=True)
class Metrics:
    """The numbers under each protocol. The table is read at each call, so a protocol that was added has its shape."""

    def misfit(self, value: Any) -> str:
        return _metrics_shape(tuple(protocols.names())).misfit(value)


@cache
def _metrics_shape(names: tuple[str, ...]) -> Shape:
    metric = object_of(
        value=SHARE,
        interval=INTERVAL,
        cells=DictOf(SHARE),
        **MEANS,
        per_repeat=ListOf(SHARE, 1),
        labels=TEXT,
        single=object_of(value=SHARE, protocol=OneOf(names), **MEANS, name=TEXT),
        gain=object_of({"better_as_best": Flag()}, value=Number(-1, 1), interval=INTERVAL, better=Flag()),
    )
    return object_of({**dict.fromkeys(names, metric), "gap": Number(-1, 1), "decisions": DECISIONS})


ENSEMBLE = object_of(
    {  # keys of ensembles that were compared, and of newer versions
        "recipe_source": TEXT,
        "tried": object_of({"names": ListOf(TEXT)}, recipes=COUNT, chosen_by=OneOf(CHOSEN_BY)),
        "resampled_gains": ListOf(Number(-1, 1)),
        "inference": object_of(
            seconds=TIME,
            budget=TIME,
            costs=object_of(computer=TEXT, detectors=DictOf(TIME), features=DictOf(TIME), uses=DictOf(ListOf(TEXT))),
        ),
        "warnings": ListOf(object_of(name=TEXT, sentence=TEXT, numbers=DictOf(FLOAT64))),
        "cost": object_of(seconds=TIME, computer=TEXT),
        "cost_unmeasured": TEXT,
        "counts": object_of(protocol=TEXT, anomalies=MANY, caught=MANY, normals=MANY, false_alarms=MANY),
        "checksum": TEXT,
    },
    format=TEXT,
    machine=FileName(),
    recipe=RECIPE,
    wishes=CONFIG,
    dataset=object_of(name=TEXT, fingerprint=TEXT, year=Maybe(Whole(0, MOST))),
    created=TEXT,
    versions=DictOf(TEXT),
    members=ListOf(
        object_of(
            **NAMED,
            trial=TEXT,
            weight=Number(0, 1e9, above=True),
            number=Whole(-MOST, MOST),
            params=DictOf(Anything()),
        ),
        1,
    ),
    combine=OneOf(WAYS),
    statistics=object_of(
        {"reference": DictOf(ListOf(ListOf(FLOAT32, 1)))},
        groups=ListOf(TEXT, 1),
        centre=ListOf(ListOf(FLOAT32)),
        scale=ListOf(ListOf(Number(1e-60, 1e39))),
    ),
    threshold=object_of(
        {
            **{"shape": FLOAT64, "loc": FLOAT64, "scale": FLOAT64, "note": TEXT, "source": OneOf(tuple(SOURCES))},
            **{"clips": COUNT, "exceeding": Whole(0, MOST), "normal_share": SHARE},
        },
        how=OneOf((*HOW, MIXTURE)),
        percentile=PERCENT,
        value=FLOAT64,
    ),
    metrics=Metrics(),
    trail=ListOf(object_of(**NAMED, step=COUNT, value=SHARE)),
    selection_frequency=ListOf(object_of(**NAMED, trial=TEXT, frequency=SHARE)),
    candidates=object_of(
        {"guided": Flag()},
        tried=COUNT,
        families=DictOf(COUNT),
        left_out=ListOf(TEXT),
        digest=TEXT,
        all=DictOf(ListOf(TEXT)),
    ),
    transductive=Flag(),
    labels=TEXT,
    notes=ListOf(TEXT),
)


def problem(stored: Any) -> str:
    """The first fault in a file's value, with its path; "" for none."""
    return fault(ENSEMBLE, stored) or _own_rules(stored) or _fits_together(stored)


def _own_rules(stored: dict[str, Any]) -> str:
    """The first fault by the rules of recipes and of the config."""
    rules: tuple[tuple[str, Callable[[Any], object]], ...] = (
        ("recipe", Recipe.from_json),
        ("wishes", EnsembleConfig.from_json),
    )
    for key, check in rules:
        try:
            check(stored[key])
        except TypeError as error:  # a field that this version does not know
            return f"{key} is not as this version writes it ({error})"
        except AsdRayError as error:
            return f"{key}: {error}"
    return ""


def _fits_together(stored: dict[str, Any]) -> str:
    members, statistics = stored["members"], stored["statistics"]
    pairs, groups = [(member["trial"], member["variant"]) for member in members], statistics["groups"]
    candidates = {(trial, name) for trial, variants in stored["candidates"]["all"].items() for name in variants}
    first: dict[tuple[str, str], int] = {}
    for at, pair in enumerate(pairs):
        if first.setdefault(pair, at) < at:
            return f"members/{at} is members/{first[pair]} again"
        if pair not in candidates:
            return f"members/{at} is not in candidates/all"
    if len(set(groups)) < len(groups) or groups[-1] != "":
        return 'statistics/groups must be different names, the last of them ""'
    for name in ("centre", "scale"):
        for at, row in enumerate(statistics[name]):
            if len(row) != len(groups):
                return f"statistics/{name}/{at} must have {len(groups)} elements, one per group, but has {len(row)}"
        if len(statistics[name]) != len(members):
            return f"statistics/{name} must have {len(members)} rows, one per member, but has {len(statistics[name])}"
    return (
        _threshold_fits(stored["threshold"])
        or _reference_fits(stored)
        or _metrics_fit(stored["metrics"])
        or _counts_fit(stored.get("counts"))
        or _inference_fits(stored)
    )


def _threshold_fits(threshold: dict[str, Any]) -> str:
    clips, exceeding = threshold.get("clips"), threshold.get("exceeding")
    if (clips is None) != (exceeding is None) or (clips is not None and exceeding > clips):
        return "threshold/exceeding must be there if threshold/clips is, and not be more"
    if threshold["how"] == MIXTURE and not {"clips", "normal_share", "source"} <= set(threshold):
        return "threshold/clips, normal_share and source must be there where threshold/how is mixture"
    return ""


def _reference_fits(stored: dict[str, Any]) -> str:
    reference, groups = stored["statistics"].get("reference", {}), stored["statistics"]["groups"]
    if sorted(reference) != (sorted(groups) if stored["recipe"]["standardise"]["how"] in RANKS else []):
        return f"statistics/reference must have the groups of statistics/groups where how is {' or '.join(RANKS)}"
    for name, rows in reference.items():
        if len(rows) != len(stored["members"]) or len({len(row) for row in rows}) != 1:
            return f"statistics/reference/{name} must have {len(stored['members'])} rows of one length, one per member"
    return ""


def _metrics_fit(metrics: dict[str, Any]) -> str:
    if metrics and not {"oracle", "label_free"} & set(metrics):
        return "metrics lacks oracle"
    return "" if not metrics or "decisions" in metrics else "metrics lacks decisions"


def _counts_fit(counts: dict[str, Any] | None) -> str:
    for part, whole in (("caught", "anomalies"), ("false_alarms", "normals")):
        if counts and counts[part] > counts[whole]:
            return f"counts/{part} must not be more than counts/{whole}"
    return ""


def _inference_fits(stored: dict[str, Any]) -> str:
    """A limited ensemble has the costs of all its candidates."""
    if ("infer_limit" in stored["wishes"]) != ("inference" in stored):
        return "inference must be there if wishes has infer_limit, and only then"
    if "inference" not in stored:
        return ""
    costs = stored["inference"]["costs"]
    for trial in stored["candidates"]["all"]:
        if trial not in costs["detectors"] or trial not in costs["uses"]:
            return f"inference/costs lacks the candidate {trial[:60]}"
    for trial, names in costs["uses"].items():
        if strange := sorted(set(names) - set(costs["features"])):
            return f"inference/costs/uses/{trial[:60]} names {strange[0][:60]}, which inference/costs/features lacks"
    return ""
