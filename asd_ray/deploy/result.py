"""The result of scoring one sound, and what explaining, watching and serving need of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

ANOMALY, NORMAL = "anomaly", "normal"
Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class ClipScore:
    """The score of one sound. A score above `threshold` is called an anomaly."""

    name: str  # the path as it was given; "" for an array
    id: str  # of the machine that was assumed
    seconds: float
    score: float  # higher is more anomalous
    share_below: float  # the share of the machine's normal clips that score lower; 1 - share_below is a p-value
    threshold: float
    members: Mapping[str, float] = field(default_factory=dict)  # "trial variant" -> standardised score
    warnings: tuple[str, ...] = ()  # how this sound differs from everything that was heard in training

    @property
    def decision(self) -> str:
        return ANOMALY if self.score > self.threshold else NORMAL

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "warnings": list(self.warnings), "decision": self.decision}


class Scorer(Protocol):
    """What scores sound. `Bundle` is one; tests have smaller ones."""

    @property
    def machine(self) -> str: ...

    @property
    def ids(self) -> tuple[str, ...]: ...  # of the machine, as in training

    @property
    def rate(self) -> int: ...  # Hz of the samples that it takes

    @property
    def threshold(self) -> float: ...

    def normal_scores(self, id: str) -> npt.NDArray[np.float64]:
        """The ensemble's scores of normal clips of an id, ascending; of the whole machine for an unknown id."""
        ...

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        """Score sounds of any length at `rate`: [samples], or [channels, samples] for a scorer with `channels`.

        AsdRayError for a sound that is too short.
        """
        ...


def on_every_channel(wave: Samples, scorer: Scorer) -> Samples:
    """`wave` on each of the channels that the scorer takes. A scorer without `channels` takes one."""
    channels = int(getattr(scorer, "channels", 1))
    return wave if channels == 1 else np.stack([wave] * channels)
