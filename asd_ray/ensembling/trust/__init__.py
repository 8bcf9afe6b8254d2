"""What limits the trust in an ensemble's numbers and decisions: one rule per file, their table, and the level.

The rules look at the ensemble and at its members' scores, or at all candidates. None of them stops anything: the
sentences are stored in the ensemble file and stand in the terminal, in the report and in a bundle's model card.
"""

from __future__ import annotations

from dataclasses import replace

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.trust import (
    below_chance,
    certainty,
    false_alarms,
    far_from_training,
    fault_values,
    few_clips,
    threshold_source,
    zero_cell,
)
from asd_ray.ensembling.trust.level import TrustLevel, trust_level
from asd_ray.ensembling.trust_warning import TrustWarning

__all__ = [
    "RULES",
    "RULES_OF_CHOICE",
    "TrustLevel",
    "TrustWarning",
    "trust_level",
    "warnings_of",
    "with_warnings",
]

# gravest first
RULES = (zero_cell, certainty, few_clips, below_chance, far_from_training, threshold_source, false_alarms)
RULES_OF_CHOICE = (fault_values,)  # these look at all candidates, not at the members alone


def warnings_of(ensemble: Ensemble, candidates: Candidates) -> tuple[TrustWarning, ...]:
    """All warnings about an ensemble; `candidates` are those that it was chosen from."""
    place = {pair: row for row, pair in enumerate(candidates.pairs)}
    members = candidates.take([place[member.pair] for member in ensemble.members])
    of_members = [warning for rule in RULES for warning in rule.warnings(ensemble, members)]
    return (*of_members, *(warning for rule in RULES_OF_CHOICE for warning in rule.warnings(ensemble, candidates)))


def with_warnings(ensemble: Ensemble, candidates: Candidates) -> Ensemble:
    """The ensemble with the warnings about all of its numbers. By the rules of earlier versions it has none."""
    return ensemble if ensemble.config.rules == 1 else replace(ensemble, warnings=warnings_of(ensemble, candidates))
