"""Protocols: how labels are used in choosing an ensemble. One file per protocol, and the table of them all."""

from __future__ import annotations

from collections.abc import Container

from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols._base import Measurement, Protocol
from asd_ray.ensembling.protocols.cross_id import CrossId
from asd_ray.ensembling.protocols.crossval import CrossVal
from asd_ray.ensembling.protocols.label_free import LabelFree
from asd_ray.ensembling.protocols.oracle import Oracle
from asd_ray.ensembling.recipe import Recipe
from asd_ray.errors import unknown

__all__ = ["HEADLINE", "PROTOCOLS", "Measurement", "Protocol", "find", "headline", "measure", "names"]

PROTOCOLS: tuple[Protocol, ...] = (LabelFree(), Oracle(), CrossVal(), CrossId())  # in the order of measuring
HEADLINE = ("label_free", "crossval", "oracle")


def headline(available: Container[str]) -> str | None:
    """The protocol of the `available` ones whose number stands for an ensemble; None if there is none.

    Only this function decides it, for the choice of the final ensemble, the command line and the report. Forecasts come
    first. label_free is before crossval because a recipe that uses no label has the same number under both, and the
    former name describes it better. oracle is an upper bound and comes last. Other protocols are shown beside the
    headline: cross_id, for example, forecasts the number for a new id, which is another question.
    """
    return next((name for name in HEADLINE if name in available), None)


def names() -> list[str]:
    return [protocol.name for protocol in PROTOCOLS]


def find(name: str) -> Protocol:
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    raise unknown("protocol", name, names())


def measure(
    evaluation: EvaluationSet, recipe: Recipe, protocol: str, config: EnsembleConfig | None = None
) -> Measurement:
    """The number of `recipe`, which combines in one way, under one protocol."""
    return find(protocol).measure(evaluation, recipe, config or EnsembleConfig())
