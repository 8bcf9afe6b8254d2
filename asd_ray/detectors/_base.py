"""The contract of a detector: what a family's class must offer, and what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.families.resources import Resources
from asd_ray.features import FeatureCache, FrontEnd

Scores = dict[str, npt.NDArray[np.floating]]
State = dict[str, Any]  # tensors, numbers, text, and dictionaries of them: what torch.load(weights_only=True) reads


@dataclass(frozen=True)
class Context:
    """What whoever drives gives to a detector: never a parameter, never part of a trial's name except the seed."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    features: FeatureCache = field(default_factory=FeatureCache)
    rate: int = 16_000  # Hz, of the clips: a front end of another rate is asked for as ``PRESETS["baseline"].at(rate)``

    def generator(self) -> torch.Generator:
        """A stream of random numbers of this trial's own, on the CPU so that every device draws the same."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Progress:
    """What `fit` yields once an epoch. A loss that is not finite ends the trial as failed."""

    epoch: int  # from 1
    losses: dict[str, float]


@runtime_checkable
class Detector(Protocol):
    """``Detector(context, **params)``, then `fit`, then `score`.

    Parameters are keyword-only, flat and JSON-serialisable, none names a path or a device. A family that trains in
    epochs calls their number `epochs` and its batch size `batch_size`: a cap on epochs and the cure for a full
    memory are applied to these names.

    A class has a `VERSION`, a whole number that is part of the name of each of its trials. Raise it when the same
    parameters give other scores. In a user's own class a hash of the source takes the place of a missing `VERSION`.

    A class may also have ``suits(self, train: pd.DataFrame) -> str``: in one line why a detector of these parameters
    cannot learn from such normal clips, or "". A search asks it before anything is trained, and leaves out what does
    not suit: a study whose paper's setting does not, and single draws. `train` is the table of the clips that a trial
    would get in `fit`, of one machine or of several that are trained together, with the columns machine, id, domain,
    clip and attributes; once the clips are decoded, a second time, with `samples`, their lengths at `context.rate`.
    """

    RESOURCES: ClassVar[Resources]

    def __init__(self, context: Context, **params: Any) -> None: ...

    @property
    def front_end(self) -> FrontEnd:
        """Of the rate of the clips, `context.rate`; a class whose front end has another is left out of a search."""
        ...

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        """Learn from normal clips; yields once an epoch, after which `score` may be called before going on."""
        ...

    def score(self, clips: ClipSet) -> Scores:
        """variant -> one float a clip, higher is more anomalous, always finite. Before `fit`: AsdRayError."""
        ...

    def state(self) -> State:
        """All that `score` needs; a detector made with the same parameters scores the same after `load(state)`."""
        ...

    def load(self, state: State) -> None: ...
