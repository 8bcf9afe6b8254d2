"""The choice of a machine's final ensemble: the best of all that are stored for the same candidates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray._terminal import typed
from asd_ray.ensembling import bootstrap, protocols
from asd_ray.ensembling.build import Builder
from asd_ray.ensembling.ensemble_file import FINAL, intact, stamped, stored, write
from asd_ray.ensembling.of_final import with_own_numbers
from asd_ray.ensembling.preference import preference
from asd_ray.ensembling.result import DatasetInfo, Ensemble, Tried
from asd_ray.ensembling.trust import TrustLevel, trust_level, with_warnings
from asd_ray.errors import AsdRayError
from asd_ray.ledger.setting_aside import move_to_free_place

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger


@dataclass(frozen=True)
class Skipped:
    """A recipe that could not be followed in a run of all recipes."""

    recipe: str
    reason: str  # with a command for the machine
    everywhere: str  # the same with a command for all machines
    by_labels: str = ""  # why no recipe that chooses by labels is followed, if that is the reason


@dataclass(frozen=True)
class Comparison:
    """The ensembles of one machine that were chosen and compared."""

    machine: str
    final: Ensemble  # the content of final.json now
    path: str  # path of final.json
    ensembles: tuple[Ensemble, ...]  # the ensembles that this call chose, the best first
    earlier: int  # number of stored ensembles in the comparison
    notes: tuple[str, ...]  # such as why stored ones were not compared or not replaced
    skipped: tuple[Skipped, ...] = ()
    standardised_by_test: bool = False  # True if the run has no scores of normal clips
    # name -> value on injected faults, of a machine without anomalies or of a normal-only search
    on_faults: Mapping[str, float] = field(default_factory=dict)

    @property
    def trust(self) -> TrustLevel:
        """How far the final ensemble can be trusted, with the reasons."""
        return trust_level(self.final)

    @property
    def summary(self) -> str:
        """The name of the final ensemble, how it was chosen, and the claim that its gain supports."""
        earlier = f", {self.earlier} of them stored before" if self.earlier else ""
        return f"{self.final.name}, {_how_chosen(self.final)}{earlier}{_claim(self.final)}"


def _how_chosen(final: Ensemble) -> str:
    """Files of early versions do not record the number of recipes compared."""
    unknown_by = "crossval" if final.metrics else "order"
    recipes, by = (final.tried.recipes, final.tried.chosen_by) if final.tried else (1, unknown_by)
    if by == "user":
        return f"chosen by a user (--final) of {recipes} recipes"
    if by == "order":
        order = f"the first of {recipes} recipes in a fixed order, as no label may choose"
        return order if final.metrics else f"{order}; {final.not_measured}"
    return f"the best of {recipes} recipes by {by}"


def _claim(final: Ensemble) -> str:
    """Whether the final ensemble is better than the best single detector, and which protocol is against it."""
    gain, corrected = final.gain, final.corrected
    if gain is None or not corrected:
        return ""
    if gain.better:
        return "; better than the best single detector (corrected for the number of recipes tried)"
    against = ", ".join(f"{protocol} {value:+.4f}" for protocol, value in final.disagreeing.items())
    against = f"not under {against}" if against else f"not shown under {final.headline_protocol}"
    return f"; better than the best single detector by crossval alone: {against}"


def store(
    ledger: Ledger, builder: Builder, ensembles: Sequence[Ensemble], *, every: bool = False, by_user: bool = False
) -> Comparison:
    """Write new ensembles, and the best of them and of the stored ones as the final one.

    Stored ensembles are compared where they were chosen from the same candidates of the same data with the same config.
    A final one of other candidates or another config is replaced after a comparison of `every` recipe, or of all
    recipes that it was compared with. `by_user`: the best of the new ones is the final one, even if a stored one is
    better.
    """
    machine, files = builder.machine, stored(ledger, builder.machine)
    earlier, unreadable = files.ensembles.get(machine, {}), files.unreadable.get(machine, {})
    new = {ensemble.name for ensemble in ensembles}
    _check_case(machine, new, {*earlier, *unreadable})
    pool, notes = _comparable(earlier, ensembles, builder)
    key = rank_by_order if _no_label_chooses(pool, builder) else rank
    notes += [f"not compared, {why}" for why in unreadable.values()]
    current = earlier.get(FINAL)
    unlike = _unlike(current, builder) if current else ""
    by_user_before = current is not None and current.tried is not None and current.tried.chosen_by == "user"
    wanted, stays = min(ensembles, key=key).name if by_user else None, False
    if current and every and by_user_before:
        notes.append(
            f"final.json was {current.name}, which a user chose (--final); without --recipe the best of all replaces it"
        )
    if current and not by_user and not every:
        stays = bool(unlike) and not _covers(pool, current)
        name = _kept_apart(current, ensembles).name
        if not unlike and by_user_before and name in {ensemble.name for ensemble in pool}:
            wanted = name
            notes.append(f"final.json was not replaced: a user chose {wanted} (--final)")
    best, compared = mark_best(pool, wanted, key)
    _set_unreadable_aside(
        ledger, machine, unreadable, {*(ensemble.name for ensemble in pool), *(() if stays else (FINAL,))}
    )
    for ensemble in compared:
        write(ledger, ensemble)
    if current and stays:
        notes.append(
            f"final.json was not replaced: {current.name}, {unlike}; to replace it, run "
            f"{typed('asd-ray', 'ensemble', machine, '--run', ledger.layout.root)} without --recipe, or with --final"
        )
        best = current
    else:
        notes += [f"final.json was {current.name}, {unlike}; it was replaced"] if current and unlike else []
        best = with_warnings(with_own_numbers(best, pool, builder), builder.candidates(best.recipe.by))
        write(ledger, best, final=True)
    path = ledger.layout.url(ledger.layout.ensemble_file(machine, FINAL))
    own = tuple(sorted((ensemble for ensemble in compared if ensemble.name in new), key=key))
    return Comparison(machine, stamped(best), path, own, len(pool) - len(own), tuple(notes))


def _comparable(
    earlier: Mapping[str, Ensemble], ensembles: Sequence[Ensemble], builder: Builder
) -> tuple[list[Ensemble], list[str]]:
    """The new ensembles with the stored ones that can be compared with them, and notes on the others."""
    pool, unlike = {ensemble.name: ensemble for ensemble in ensembles}, dict[str, list[str]]()
    for file, ensemble in sorted(earlier.items(), key=lambda item: (item[0] == FINAL, item[0])):
        why, renamed = _unlike(ensemble, builder), _kept_apart(ensemble, ensembles)
        if not why and renamed.name not in pool:
            try:
                pool[renamed.name] = _again(renamed, builder)
            except AsdRayError as error:
                why = str(error)
        if why and file not in (*pool, FINAL):
            unlike.setdefault(why, []).append(file)
    return list(pool.values()), [f"not compared: {', '.join(files)}, {why}" for why, files in unlike.items()]


def _unlike(ensemble: Ensemble, builder: Builder) -> str:
    """The reason why a stored ensemble cannot be compared with new ones; "" if it can.

    One of an earlier version has other rules and can: it is built again, see `_again`.
    """
    theirs, ours = asdict(ensemble.config), asdict(builder.config)
    if other := [f"{name} {theirs[name]}" for name in ours if theirs[name] != ours[name] and name != "rules"]:
        return f"chosen with other options ({', '.join(other)})"
    if ensemble.inference and ensemble.inference.costs.computer != builder.computer:
        return f"its time was measured on another computer ({ensemble.inference.costs.computer})"
    try:
        candidates = builder.candidates(ensemble.recipe.by)
    except AsdRayError as error:
        return f"its candidates are no longer in the ledger ({error})"
    dataset = DatasetInfo(candidates.dataset, candidates.fingerprint, candidates.year)
    if ensemble.dataset != dataset:
        return "chosen on other data"
    if ensemble.candidates.digest != candidates.digest:
        return f"chosen from other candidates ({ensemble.candidates.tried} then, {len(candidates)} now)"
    return "" if intact(ensemble) is not False else "changed after it was written"


def _kept_apart(ensemble: Ensemble, ensembles: Sequence[Ensemble]) -> Ensemble:
    """A stored ensemble, renamed if a new one of another recipe has its name. It counts as one of the recipes tried."""
    recipe = ensemble.recipe
    same = [other.recipe for other in ensembles if other.name == recipe.name]
    if not same or same[0] == recipe:
        return ensemble
    text = json.dumps({**recipe.to_json(), "name": ""}, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return replace(ensemble, recipe=replace(recipe, name=f"{recipe.name[:110]}.{digest}"))


def _again(ensemble: Ensemble, builder: Builder) -> Ensemble:
    """The stored ensemble. One of an earlier version has no checksum, or other rules, so it is built again."""
    if intact(ensemble) and ensemble.config == builder.config:
        return ensemble
    return replace(builder(ensemble.recipe), recipe_source=ensemble.recipe_source or "")


def _covers(pool: Sequence[Ensemble], current: Ensemble) -> bool:
    """Whether all recipes that the final one was the best of are compared again."""
    tried = current.tried
    names = tried.names if tried else None
    if not names:
        names = (current.name,) if tried is None or tried.recipes == 1 else None
    return names is not None and set(names) <= {ensemble.name for ensemble in pool}


def _check_case(machine: str, names: set[str], existing: set[str]) -> None:
    """Mine.json and mine.json are one file on some disks."""
    known = {name.casefold(): name for name in existing}
    for name in sorted(names):
        other = known.get(name.casefold(), name)
        if other != name:
            raise AsdRayError(f"{machine}: the ensemble of {name} would overwrite {other}; rename your recipe's file")


def _set_unreadable_aside(ledger: Ledger, machine: str, unreadable: Mapping[str, str], written: set[str]) -> None:
    """Rename the unreadable files that are about to be replaced, so that their content is kept."""
    for name in written & set(unreadable):
        path = ledger.layout.ensemble_file(machine, name)
        if file := ledger.files.stat(path):
            move_to_free_place(ledger.files, file, f"{path}.unreadable")


def _no_label_chooses(ensembles: Sequence[Ensemble], builder: Builder) -> bool:
    """Whether the final ensemble is chosen by the fixed order: of a normal-only search, if no recipe used a label."""
    labels_used = any(ensemble.recipe.uses_labels for ensemble in ensembles)
    return not labels_used and builder.candidates(ensembles[0].recipe.by).normal_only


def mark_best(
    ensembles: Sequence[Ensemble], chosen: str | None = None, key: Callable[[Ensemble], Any] | None = None
) -> tuple[Ensemble, list[Ensemble]]:
    """The best ensemble, or the one of the recipe `chosen` by a user; and all of them, marked with the comparison.

    `key` is `rank` by default.

    Picking the best of many is biased, so `better_as_best` uses the bootstrap distribution of the largest deviation of
    any of their gains from its value: it is True where the lower bound still lies above 0.
    """
    best = (
        min(ensembles, key=key or rank)
        if chosen is None
        else next(ensemble for ensemble in ensembles if ensemble.name == chosen)
    )
    by_order = key is rank_by_order or not best.metrics
    by = "user" if chosen else "order" if by_order else "crossval" if _compared_by(best)[0] else "oracle"
    names = tuple(sorted(ensemble.name for ensemble in ensembles))
    tried = Tried(len(names), by, names)
    deviations = [
        np.array(ensemble.resampled_gains) - ensemble.metrics["crossval"].gain.value
        for ensemble in ensembles
        if ensemble.resampled_gains is not None
    ]
    marked = {ensemble.name: _unmarked(replace(ensemble, tried=tried)) for ensemble in ensembles}
    if best.resampled_gains is not None and by != "order":
        gain = best.metrics["crossval"].gain
        largest = bootstrap.interval(np.max(deviations, axis=0))[1]
        better = bool(gain.value - largest > 0) and gain.better
        marked[best.name] = _with_better_as_best(marked[best.name], better)
    return marked[best.name], list(marked.values())


def _unmarked(ensemble: Ensemble) -> Ensemble:
    """Without what an earlier comparison found: the correction of its gain, and what only a final one has."""
    names = [protocol.name for protocol in protocols.OF_FINAL]
    own = {name: metric for name, metric in ensemble.metrics.by_protocol.items() if name not in names}
    metrics = replace(ensemble.metrics, by_protocol=own)
    alone = replace(ensemble, metrics=metrics, counts=None, cost=None, cost_unmeasured=None)
    return _with_better_as_best(alone, None)


def _with_better_as_best(ensemble: Ensemble, better: bool | None) -> Ensemble:
    metric = ensemble.metrics.get("crossval")
    if metric is None:
        return ensemble
    gain = replace(metric.gain, better_as_best=better)
    by_protocol = {**ensemble.metrics.by_protocol, "crossval": replace(metric, gain=gain)}
    return replace(ensemble, metrics=replace(ensemble.metrics, by_protocol=by_protocol))


def rank(ensemble: Ensemble) -> tuple[bool, float, int, str]:
    """A sort key: forecasts before upper bounds, then the value that ensembles are compared by, then fewer members.

    Ensembles that were not measured are in the order of `preference`.
    """
    if not ensemble.headline:
        return (True, float(preference(ensemble)), len(ensemble.members), ensemble.name)
    forecasts, value = _compared_by(ensemble)
    return (not forecasts, -value, len(ensemble.members), ensemble.name)


def rank_by_order(ensemble: Ensemble) -> tuple[int, int, str]:
    """A sort key that looks at no number: the order of `preference`, then fewer members."""
    return preference(ensemble), len(ensemble.members), ensemble.name


def _compared_by(ensemble: Ensemble) -> tuple[bool, float]:
    """The value by which ensembles are compared, and whether it is a forecast. It is never that of unseen clips."""
    name = protocols.choice(ensemble.metrics)
    return (protocols.find(name).forecasts, ensemble.metrics[name].value) if name else (False, 0.0)
