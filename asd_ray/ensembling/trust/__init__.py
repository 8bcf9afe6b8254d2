"""What limits the trust in an ensemble's numbers and decisions: one rule per file, and the table of them all.

The rules look at the ensemble and at its members' scores. None of them stops anything: the sentences are stored in the
ensemble file and stand in the terminal, in the report and in a bundle's model card.
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
    few_clips,
    threshold_source,
)
from asd_ray.ensembling.trust_warning import TrustWarning

__all__ = ["RULES", "TrustWarning", "warnings_of", "with_warnings"]

RULES = (certainty, few_clips, below_chance, far_from_training, threshold_source, false_alarms)  # gravest first


def warnings_of(ensemble: Ensemble, members: Candidates) -> tuple[TrustWarning, ...]:
    """All warnings about an ensemble; `members` are its members, in its order."""
    return tuple(warning for rule in RULES for warning in rule.warnings(ensemble, members))


def with_warnings(ensemble: Ensemble, members: Candidates) -> Ensemble:
    """The ensemble with its warnings. By the rules of earlier versions it has none."""
    return ensemble if ensemble.config.rules == 1 else replace(ensemble, warnings=warnings_of(ensemble, members))
