"""What an ensemble file holds: every key with the kind of its value, and what must fit together."""

from __future__ import annotations

from typing import Any

from asd_ray._names import NAME
from asd_ray.ensembling import checked as c
from asd_ray.ensembling.combine import WAYS
from asd_ray.ensembling.judge import MAXIMISE
from asd_ray.ensembling.protocols import PROTOCOLS
from asd_ray.ensembling.recipe import recipe_from
from asd_ray.ensembling.threshold import HOW
from asd_ray.ensembling.wishes import Wishes
from asd_ray.errors import AsdRayError

AS_BEST = "better_as_best"
CHOSEN_BY = ("crossval", "oracle", "order", "user", "label_free")  # the last by early versions
SHARE = c.number(-1e-9, 1 + 1e-9)  # a mean of ones may be rounded
FLOAT32 = c.number(-1e39, 1e39)  # scores are stored so
PERCENT = c.number(0, 100)


def _name(value: Any, path: str) -> str:
    return c.text(value, path) or ("" if NAME.fullmatch(value) else f"{path} {value[:60]!r} can be no file's name")


NAMED: dict[str, c.Kind] = {"name": c.text, "family": c.text, "variant": c.text}
MEANS: dict[str, c.Kind] = {"auc": SHARE, "pauc": SHARE, "hmean": SHARE}
INTERVAL = c.list_of(c.number(-1, 1), 2, 2)
SLOT = c.record(family=c.text, variants=c.list_of(c.text), params=c.map_of(c.anything))
STANDARDISE = c.record(how=c.text, per=c.text, floor=SHARE)
RECIPE = c.record(
    name=_name,
    select=c.text,
    combine=c.list_of(c.text, 1, 1),
    slots=c.list_of(SLOT),
    k=c.whole(1),
    size=c.whole(1),
    pool=c.whole(1),
    bags=c.whole(1),
    fraction=SHARE,
    trials=c.whole(1),
    by=c.text,
    standardise=STANDARDISE,
)
WISHES = c.record(
    maximise=c.one_of(*MAXIMISE),
    repeats=c.whole(1),
    folds=c.whole(2),
    seed=c.whole(0),
    draws=c.whole(1),
    threshold=c.one_of(*HOW),
    percentile=PERCENT,
)
MEASURED = c.record(
    value=SHARE,
    interval=INTERVAL,
    cells=c.map_of(SHARE),
    **MEANS,
    per_repeat=c.list_of(SHARE, 1),
    labels=c.text,
    single=c.record(value=SHARE, protocol=c.one_of(*PROTOCOLS), **MEANS, name=c.text),
    gain=c.record({AS_BEST: c.flag}, value=c.number(-1, 1), interval=INTERVAL, better=c.flag),
)
DECISIONS = c.record(precision=SHARE, recall=SHARE, f1=SHARE)
ENSEMBLE = c.record(
    {  # of the best of several recipes, and of newer versions
        "recipe_source": c.text,
        "tried": c.record({"names": c.list_of(c.text)}, recipes=c.whole(1), chosen_by=c.one_of(*CHOSEN_BY)),
        "resampled_gains": c.list_of(c.number(-1, 1)),
        "checksum": c.text,
    },
    format=c.text,
    machine=_name,
    recipe=RECIPE,
    wishes=WISHES,
    dataset=c.record(name=c.text, fingerprint=c.text, year=c.nullable(c.whole())),
    created=c.text,
    versions=c.map_of(c.text),
    members=c.list_of(
        c.record(
            **NAMED,
            trial=c.text,
            weight=c.number(0, 1e9, above=True),
            number=c.whole(-(2**53)),
            params=c.map_of(c.anything),
        ),
        1,
    ),
    combine=c.one_of(*WAYS),
    statistics=c.record(
        {"reference": c.map_of(c.list_of(c.list_of(FLOAT32, 1)))},
        groups=c.list_of(c.text, 1),
        centre=c.list_of(c.list_of(FLOAT32)),
        scale=c.list_of(c.list_of(c.number(1e-60, 1e39))),
    ),
    threshold=c.record(
        {"shape": c.number(), "loc": c.number(), "scale": c.number(), "note": c.text},
        how=c.one_of(*HOW),
        percentile=PERCENT,
        value=c.number(),
    ),
    metrics=c.record({**dict.fromkeys(PROTOCOLS, MEASURED), "gap": c.number(-1, 1), "decisions": DECISIONS}),
    trail=c.list_of(c.record(**NAMED, step=c.whole(1), value=SHARE)),
    selection_frequency=c.list_of(c.record(**NAMED, trial=c.text, frequency=SHARE)),
    candidates=c.record(
        tried=c.whole(1),
        families=c.map_of(c.whole(1)),
        left_out=c.list_of(c.text),
        digest=c.text,
        all=c.map_of(c.list_of(c.text)),
    ),
    transductive=c.flag,
    labels=c.text,
    notes=c.list_of(c.text),
)


def problem(ensemble: Any) -> str:
    """The first fault of what a file holds, by its path; "" for none."""
    return ENSEMBLE(ensemble, "") or _wishes(ensemble) or _fits_together(ensemble)


def _wishes(ensemble: dict[str, Any]) -> str:
    """By the rules that wishes and recipes have of their own."""
    for key, make in (("recipe", recipe_from), ("wishes", lambda given: Wishes(**given))):
        try:
            make(ensemble[key])
        except TypeError as error:  # a field that this version does not know
            return f"{key} is not as this version writes it ({error})"
        except AsdRayError as error:
            return f"{key}: {error}"
    return ""


def _fits_together(ensemble: dict[str, Any]) -> str:
    members, statistics = ensemble["members"], ensemble["statistics"]
    pairs, groups = [(each["trial"], each["variant"]) for each in members], statistics["groups"]
    chosen_from = {(trial, each) for trial, variants in ensemble["candidates"]["all"].items() for each in variants}
    first: dict[tuple[str, str], int] = {}
    for at, pair in enumerate(pairs):
        if first.setdefault(pair, at) < at:
            return f"members/{at} is members/{first[pair]} again"
        if pair not in chosen_from:
            return f"members/{at} is none of candidates/all"
    if len(set(groups)) < len(groups) or groups[-1] != "":
        return 'statistics/groups must be different names, the last of them ""'
    for name in ("centre", "scale"):
        for at, row in enumerate(statistics[name]):
            if len(row) != len(groups):
                return f"statistics/{name}/{at} must have {len(groups)} elements, one a group, but has {len(row)}"
        if len(statistics[name]) != len(members):
            return f"statistics/{name} must have {len(members)} rows, one a member, but has {len(statistics[name])}"
    return _reference_fits(ensemble) or _metrics_fit(ensemble["metrics"])


def _reference_fits(ensemble: dict[str, Any]) -> str:
    reference, groups = ensemble["statistics"].get("reference", {}), ensemble["statistics"]["groups"]
    if sorted(reference) != (sorted(groups) if ensemble["recipe"]["standardise"]["how"] == "rank" else []):
        return "statistics/reference must have the groups of statistics/groups where recipe/standardise/how is rank"
    for name, rows in reference.items():
        if len(rows) != len(ensemble["members"]) or len({len(row) for row in rows}) != 1:
            return f"statistics/reference/{name} must have {len(ensemble['members'])} rows of one length, one a member"
    return ""


def _metrics_fit(metrics: dict[str, Any]) -> str:
    if metrics and not {"oracle", "label_free"} & set(metrics):
        return "metrics lacks oracle"
    return "" if not metrics or "decisions" in metrics else "metrics lacks decisions"
