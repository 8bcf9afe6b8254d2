"""The interface of a criterion: what ranks candidates without a single label."""

from __future__ import annotations

import typing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at. No table has a column of labels.

    Scores are [candidates, clips]. `faults` are normal clips with an injected fault; there are none if an earlier
    version stored the candidates. `unlabelled` are test clips, of which nobody knows whether they are normal.
    """

    table: pd.DataFrame  # one row per candidate: trial, variant, name, family, seed, paper, params …
    normal: Floats
    normal_clips: pd.DataFrame  # clip, id, domain
    faults: Floats
    fault_clips: pd.DataFrame
    unlabelled: Floats
    unlabelled_clips: pd.DataFrame


class Criterion(typing.Protocol):
    """One criterion. A new one is one file here and one line in the table of ``criteria/__init__.py``."""

    @property
    def name(self) -> str:
        """The name in recipes, in ensemble files and on the command line."""

    @property
    def sentence(self) -> str:
        """What it prefers, for people; stored beside each choice. No capital letter, no full stop."""

    @property
    def transductive(self) -> bool:
        """Whether it looks at scores of unlabelled test clips, so that a choice depends on them."""

    def reason_against(self, evidence: Evidence) -> str:
        """Why it cannot be used on this evidence, in one line; "" if it can."""

    def values(self, evidence: Evidence) -> Floats:
        """One value per candidate, higher is better; called only where nothing is against it."""
