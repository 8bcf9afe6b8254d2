"""Trials of the ledger as Optuna's objects, for its evaluators and its dashboard.

optuna is imported where it is used, so that other reports start without it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from asd_ray.families.family import family
from asd_ray.families.table import FAMILIES
from asd_ray.families.weights import PARAMETER

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from asd_ray.ledger import TrialRecord

Distributions = dict[str, "BaseDistribution"]
_ATTRIBUTES = ("trial", "name", "variant", "protocol", "seed", "epochs", "seconds")


def as_trials(records: Sequence[TrialRecord]) -> list[FrozenTrial]:
    """Trials of one family, with the distributions of the shipped search space if it drew their parameters."""
    drawn, later = _draws(records)
    values = [{**(later if own else {}), **record.params} for record, own in zip(records, drawn, strict=True)]
    names = {name for record in records for name in record.params}
    varied = [name for name in names if len({repr(record.params.get(name)) for record in records}) > 1]
    chosen = [list(own) or [n for n in record.params if n in varied or not varied]
              for record, own in zip(records, drawn, strict=True)]  # fmt: skip
    distributions = {
        name: _distribution(
            [params[name] for params, own in zip(values, chosen, strict=True) if name in own],
            next((own[name] for own in drawn if name in own), None),
        )
        for name in dict.fromkeys(name for own in chosen for name in own)
    }
    return [
        _trial(record, {name: params[name] for name in own}, {name: distributions[name] for name in own})
        for record, params, own in zip(records, values, chosen, strict=True)
    ]


def _draws(records: Sequence[TrialRecord]) -> tuple[list[Distributions], Mapping[str, Any]]:
    """For each trial the distributions of the shipped search space; none if it cannot have drawn the parameters.

    And what a trial that was drawn may not name: `later` of the space.
    """
    from asd_ray.families.drawing import redraw

    name = records[0].family
    if name not in FAMILIES:
        return [{} for _ in records], {}
    space = family(name).search_space()
    drawn = [{name: value for name, value in record.params.items() if name != PARAMETER} for record in records]
    draws = [redraw(space, params) for params in drawn]  # pretrained weights are brought, not drawn
    return [draw.distributions if draw else {} for draw in draws], space.later


def _distribution(values: Sequence[Any], shipped: BaseDistribution | None) -> BaseDistribution:
    """The shipped distribution if it holds all values, else one that spans them: a study has one per parameter."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if shipped is not None and all(_lies_in(value, shipped) for value in values):
        return shipped
    if all(type(value) is int for value in values):
        return IntDistribution(min(values), max(values))
    if all(type(value) in (int, float) for value in values):
        return FloatDistribution(min(values), max(values))
    seen = {json.dumps(value): value for value in values}
    return CategoricalDistribution([seen[text] for text in sorted(seen)])


def _lies_in(value: Any, distribution: BaseDistribution) -> bool:
    from optuna.trial import create_trial

    try:
        create_trial(value=0.0, params={"it": value}, distributions={"it": distribution})
    except (ValueError, TypeError):
        return False
    return True


def _trial(record: TrialRecord, params: dict[str, Any], distributions: Distributions) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    stored = record.to_dict()
    fixed = {name: value for name, value in stored["params"].items() if name not in distributions}
    attributes = {name: stored[name] for name in _ATTRIBUTES if stored[name] not in (None, "")}
    attributes |= {name: stored[name] for name in ("error", "objective_parts") if stored[name]}
    attributes |= {"paper": True} if record.paper else {}
    attributes |= {"fixed": fixed} if fixed else {}
    trial = create_trial(
        state=states[record.status],
        value=_value(record),
        params=params,
        distributions=distributions,
        intermediate_values=record.intermediate,
        user_attrs=attributes,
    )
    ended = datetime.fromisoformat(record.created).astimezone().replace(tzinfo=None)  # Optuna's times are local
    trial.datetime_complete, trial.datetime_start = ended, ended - timedelta(seconds=record.seconds or 0)
    return trial


def _value(record: TrialRecord) -> float | None:
    """The last intermediate value of a pruned trial, as Optuna itself stores it."""
    if record.status == "complete":
        return record.objective
    reported = [value for _, value in sorted(record.intermediate.items()) if math.isfinite(value)]
    return reported[-1] if record.status == "pruned" and reported else None
