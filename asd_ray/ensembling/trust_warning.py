"""One warning about an ensemble: what a reader must know before its numbers or its decisions are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asd_ray.ensembling._part import Part


@dataclass(frozen=True)
class TrustWarning(Part):
    """The rules that give warnings are in ``trust/``."""

    name: str  # of the rule
    sentence: str  # for people; a capital letter and a full stop
    numbers: Mapping[str, float]  # behind the sentence, for programs
