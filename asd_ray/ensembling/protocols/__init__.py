"""Protocols: how labels are used in choosing an ensemble. One file per protocol, and the tables of them all."""

from __future__ import annotations

from collections.abc import Container

from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols._base import Described, Measurement, Protocol
from asd_ray.ensembling.protocols.cross_id import CrossId
from asd_ray.ensembling.protocols.cross_machine import CrossMachine
from asd_ray.ensembling.protocols.crossval import CrossVal
from asd_ray.ensembling.protocols.label_free import LabelFree
from asd_ray.ensembling.protocols.nested import Nested
from asd_ray.ensembling.protocols.oracle import Oracle
from asd_ray.ensembling.protocols.unseen import Unseen
from asd_ray.ensembling.recipe import Recipe
from asd_ray.errors import unknown

__all__ = [
    "CHOICE",
    "CROSS_MACHINE",
    "HEADLINE",
    "NESTED",
    "OF_FINAL",
    "PROTOCOLS",
    "Described",
    "Measurement",
    "Protocol",
    "choice",
    "every",
    "find",
    "headline",
    "measure",
    "names",
]

# in the order of measuring; the unseen clips are read last, after all choices
PROTOCOLS: tuple[Protocol, ...] = (LabelFree(), Oracle(), CrossVal(), CrossId(), Unseen())
NESTED, CROSS_MACHINE = Nested(), CrossMachine()
OF_FINAL: tuple[Described, ...] = (NESTED, CROSS_MACHINE)  # these measure the choice of the final ensemble
CHOICE = ("label_free", "crossval", "oracle")
HEADLINE = ("unseen", "nested", *CHOICE)


def headline(available: Container[str]) -> str | None:
    """The protocol of the `available` ones whose number stands for an ensemble; None if there is none.

    Only this function decides it, for the command line and the report. Forecasts come first: unseen, because neither
    search nor choice saw its clips, then nested, because it repeats the choice among recipes in each fold. label_free
    is before crossval because a recipe that uses no label has the same number under both, and the former name
    describes it better. oracle is an upper bound and comes last. Other protocols are shown beside the headline:
    cross_id, for example, forecasts the number for a new id, which is another question.
    """
    return next((name for name in HEADLINE if name in available), None)


def choice(available: Container[str]) -> str | None:
    """The protocol by whose number ensembles are compared and the final one is chosen; None if there is none.

    unseen is never among them: a number that chooses is no longer unseen.
    """
    return next((name for name in CHOICE if name in available), None)


def every() -> list[Described]:
    """All protocols, those of the headline first."""
    described = [*PROTOCOLS, *OF_FINAL]
    place = {name: at for at, name in enumerate(("unseen", "nested"))}
    return sorted(described, key=lambda protocol: place.get(protocol.name, len(place)))


def names() -> list[str]:
    return [protocol.name for protocol in every()]


def find(name: str) -> Described:
    for protocol in every():
        if protocol.name == name:
            return protocol
    raise unknown("protocol", name, names())


def measure(
    evaluation: EvaluationSet, recipe: Recipe, protocol: str, config: EnsembleConfig | None = None
) -> Measurement:
    """The number of `recipe`, which combines in one way, under one protocol of `PROTOCOLS`."""
    for known in PROTOCOLS:
        if known.name == protocol:
            return known.measure(evaluation, recipe, config or EnsembleConfig())
    raise unknown("protocol", protocol, [known.name for known in PROTOCOLS])
