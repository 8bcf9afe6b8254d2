"""Which ensemble of a machine is the final one: the best of all that is stored for the same candidates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asd_ray._terminal import typed
from asd_ray.ensembling import bootstrap
from asd_ray.ensembling.build import Builder
from asd_ray.ensembling.ensemble_file import FINAL, Ensemble, intact, stamped, stored, write
from asd_ray.ensembling.recipe import recipe_from
from asd_ray.ensembling.schema import AS_BEST
from asd_ray.errors import AsdRayError
from asd_ray.ledger.setting_aside import move_to_free_place

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger


@dataclass(frozen=True)
class Comparison:
    """What a command made of the ensembles of one machine."""

    final: Ensemble  # as final.json holds it now
    made: list[Ensemble]  # by this command, the best first
    earlier: int  # stored ones that it was compared with
    notes: list[str]  # why stored ones were not compared, or did not give way


def store(
    ledger: Ledger, builder: Builder, made: Sequence[Ensemble], *, every: bool = False, by_user: bool = False
) -> Comparison:
    """Write what a command made, and the best of it and of what is stored as the final one.

    Stored ensembles count where they were chosen from the same candidates of the same data by the same options. A final
    one of other candidates or options gives way to a comparison of `every` recipe, or of all that it was compared with.
    `by_user`: the best of what the command made is the final one whatever else is stored.
    """
    machine, files = builder.machine, stored(ledger, builder.machine)
    earlier, unreadable = files.ensembles.get(machine, {}), files.unreadable.get(machine, {})
    _check_case(machine, {_name(each) for each in made}, {*earlier, *unreadable})
    pool, notes = _comparable(earlier, made, builder)
    notes += [f"not compared, {why}" for why in unreadable.values()]
    current = earlier.get(FINAL)
    unlike = _unlike(current, builder) if current else ""
    chosen, stays = min(made, key=rank) if by_user else None, False
    if current and every and current.get("tried", {}).get("chosen_by") == "user":
        notes.append(
            f"final.json was {_name(current)}, which a user chose (--final); without --recipe the best of all takes "
            "its place"
        )
    if current and not by_user and not every:
        stays = bool(unlike) and not _covers(pool, current)
        if not unlike and current.get("tried", {}).get("chosen_by") == "user":
            wanted = _name(_kept_apart(current, made))
            chosen = next((each for each in pool if _name(each) == wanted), None)
            notes += [f"the final one stays {wanted}, which a user chose (--final)"] if chosen else []
    best = mark_best(pool, chosen)
    for name in {*map(_name, pool), *(() if stays else (FINAL,))} & set(unreadable):
        path = ledger.layout.ensemble_file(machine, name)
        if file := ledger.files.stat(path):
            move_to_free_place(ledger.files, file, f"{path}.unreadable")
    for each in pool:
        write(ledger, each)
    if current and stays:
        notes.append(
            f"final.json stays {_name(current)}, {unlike}; to replace it, run "
            f"{typed('asd-ray', 'ensemble', machine, '--run', ledger.layout.root)} without --recipe, or with --final"
        )
        best = current
    else:
        notes += [f"final.json was {_name(current)}, {unlike}; it gave way"] if current and unlike else []
        write(ledger, best, final=True)
    return Comparison(stamped(best), sorted(made, key=rank), len(pool) - len(made), notes)


def _comparable(
    earlier: Mapping[str, Ensemble], made: Sequence[Ensemble], builder: Builder
) -> tuple[list[Ensemble], list[str]]:
    """What was made, with those stored ones that can stand beside it; and why others cannot."""
    pool, unlike = {_name(each): each for each in made}, dict[str, list[str]]()
    for name, each in sorted(earlier.items(), key=lambda item: (item[0] == FINAL, item[0])):
        why, kept = _unlike(each, builder), _kept_apart(each, made)
        if not why and _name(kept) not in pool:
            try:
                pool[_name(kept)] = _again(kept, builder)
            except AsdRayError as error:
                why = str(error)
        if why and name not in (*pool, FINAL):
            unlike.setdefault(why, []).append(name)
    return list(pool.values()), [f"not compared: {', '.join(names)}, {why}" for why, names in unlike.items()]


def _name(ensemble: Ensemble) -> str:
    return str(ensemble["recipe"]["name"])


def _unlike(ensemble: Ensemble, builder: Builder) -> str:
    """Why a stored ensemble cannot be compared with new ones, if it cannot."""
    theirs, ours = ensemble["wishes"], vars(builder.wishes)
    if other := [f"{name} {theirs[name]}" for name in ours if theirs[name] != ours[name]]:
        return f"chosen with other options ({', '.join(other)})"
    try:
        candidates = builder.candidates(ensemble["recipe"]["by"])
    except AsdRayError as error:
        return f"its candidates are not there any more ({error})"
    dataset = {"name": candidates.dataset, "fingerprint": candidates.fingerprint, "year": candidates.year}
    if ensemble["dataset"] != dataset:
        return "chosen on other data"
    if ensemble["candidates"]["digest"] != candidates.digest:
        return f"chosen from other candidates ({ensemble['candidates']['tried']} then, {len(candidates)} now)"
    return "" if intact(ensemble) is not False else "changed after it was written"


def _kept_apart(ensemble: Ensemble, made: Sequence[Ensemble]) -> Ensemble:
    """A stored one, renamed where a new one of another recipe has its name: it was tried, so it counts."""
    recipe = ensemble["recipe"]
    same = [each["recipe"] for each in made if _name(each) == recipe["name"]]
    if not same or same[0] == recipe:
        return ensemble
    digest = hashlib.blake2b(json.dumps({**recipe, "name": ""}, sort_keys=True).encode(), digest_size=4).hexdigest()
    return {**ensemble, "recipe": {**recipe, "name": f"{recipe['name'][:110]}.{digest}"}}


def _again(ensemble: Ensemble, builder: Builder) -> Ensemble:
    """As it is stored; built anew where an earlier version wrote it, without what the comparison needs."""
    if intact(ensemble):
        return ensemble
    made = builder(recipe_from(ensemble["recipe"]))
    return {**made, "recipe_source": ensemble.get("recipe_source", "")}


def _covers(pool: Sequence[Ensemble], current: Ensemble) -> bool:
    """Whether all that the final one was the best of is compared again."""
    tried = current.get("tried", {})
    known = tried.get("names") or ([_name(current)] if tried.get("recipes", 1) == 1 else None)
    return known is not None and set(known) <= set(map(_name, pool))


def _check_case(machine: str, names: set[str], there: set[str]) -> None:
    """Some disks do not tell Mine.json from mine.json."""
    known = {name.casefold(): name for name in there}
    for name in sorted(names):
        other = known.get(name.casefold(), name)
        if other != name:
            raise AsdRayError(
                f"{machine}: the ensemble of {name} would take the place of {other}; rename your recipe's file"
            )


def mark_best(ensembles: Sequence[Ensemble], chosen: Ensemble | None = None) -> Ensemble:
    """The best on clips that it was not chosen by, or the `chosen` one. All record how many recipes were compared.

    Picking the best of many is biased, so `better_as_best` uses the bootstrap distribution of the largest deviation of
    any of their gains from its value: it says whether the lower bound lies above 0.
    """
    best = chosen or min(ensembles, key=rank)
    by = "user" if chosen else "crossval" if _forecast(best) else "oracle" if best["metrics"] else "order"
    names = sorted(map(_name, ensembles))
    for each in ensembles:
        each["tried"] = {"recipes": len(names), "chosen_by": by, "names": names}
        each["metrics"].get("crossval", {}).get("gain", {}).pop(AS_BEST, None)
    gains = [
        np.array(each["resampled_gains"]) - each["metrics"]["crossval"]["gain"]["value"]
        for each in ensembles
        if "resampled_gains" in each
    ]
    if "resampled_gains" in best:
        luck = bootstrap.interval(np.max(gains, axis=0))[1]
        gain = best["metrics"]["crossval"]["gain"]
        gain[AS_BEST] = bool(gain["value"] - luck > 0) and gain["better"]
    return best


def _forecast(ensemble: Ensemble) -> str:
    """The protocol whose number is of clips that an ensemble was not chosen by, if there is one."""
    return next((name for name in ("label_free", "crossval") if name in ensemble["metrics"]), "")


def rank(ensemble: Ensemble) -> tuple[bool, float, int, str]:
    metrics, by = ensemble["metrics"], _forecast(ensemble)
    value = metrics[by or "oracle"]["value"] if metrics else 0.0
    return (not by, -value, len(ensemble["members"]), ensemble["recipe"]["name"])
