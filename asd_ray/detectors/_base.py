"""The contract of a detector: what the class of a family must offer, and what it receives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.families.resources import Resources
from asd_ray.features import FeatureCache, FeatureSource, FrontEnd

Scores = dict[str, npt.NDArray[np.floating]]
State = dict[str, Any]  # tensors, numbers, text, and dictionaries of these: what torch.load(weights_only=True) reads


@dataclass(frozen=True)
class Context:
    """What a detector receives from the program that runs it.

    None of it is a parameter, and only the seed is part of a trial's identity.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    features: FeatureSource = field(default_factory=FeatureCache)
    rate: int = 16_000  # Hz of the clips; a preset for this rate is ``PRESETS["baseline"].at(rate)``
    weights: Mapping[str, str] = field(default_factory=dict, compare=False)  # net -> the file of the user's weights
    bfloat16: bool = False  # train in it on a processor that has it, too; on a GPU it is always used

    def generator(self) -> torch.Generator:
        """A new random stream with this trial's seed. It is on the CPU, so that every device draws the same numbers."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Progress:
    """What `fit` yields once per epoch. A loss that is not finite ends the trial as failed."""

    epoch: int  # from 1
    losses: dict[str, float]


@runtime_checkable
class Detector(Protocol):
    """``Detector(context, **params)``, then `fit`, then `score`.

    Parameters are keyword-only, flat and JSON-serialisable; none is a path or a device. A family that trains in epochs
    calls their number `epochs` and its batch size `batch_size`: the cap on epochs and the retry after running out of
    memory change the parameters with these names.

    A class has a `VERSION`, an integer that is part of the identity of its trials. Raise it when the same parameters
    give different scores. For a user's own class without `VERSION`, a hash of its code is used instead.

    A class may also have ``suits(self, train: pd.DataFrame) -> str``. It returns in one line why a detector with these
    parameters cannot learn from these normal clips, or "" if it can. A search calls it before any training and skips
    what does not suit: the whole study if the paper's setting does not suit, otherwise the single trial. `train` is the
    table of the clips that `fit` would receive, from one machine or from several trained together, with the columns
    machine, id, domain, clip and attributes. Once the clips are decoded it is called again with the columns `samples`,
    their lengths at `context.rate`, and `kept_channels`, how many channels `ClipSet.on_channel` gives.
    `train.attrs["supplemental"]` is how many supplemental clips of each kind, "machine" and "noise", these machines
    have.

    A class may also have ``WEIGHTS``, such as ``{"net": ("mobilenet_v3",)}``: the values of parameters whose net can
    start from pretrained weights of the user. Where a user brings some, such a trial has the further parameter
    `pretrained`, text that names them by their content, and `fit` reads them by `parts.weights.load_weights`, or
    `encoders.loading.load_encoder`. With ``NEEDS_WEIGHTS = True`` a search draws only values with weights.

    A class may also have ``error_map(self, clips: ClipSet) -> list[np.ndarray]``, the family's own picture of where a
    clip is anomalous: one array [frames, mels] per clip, on the frames and bands of `front_end`, finite, higher where
    the clip is more anomalous. `asd-ray explain --own` calls it after `fit` or `load`. Its values have the family's
    own unit.

    A class may also have ``embeddings(self, clips: ClipSet) -> dict[str, np.ndarray]``: name -> [clips, dimensions],
    finite, the representation that its scores are computed from first. The pictures of `asd_ray.figures` are drawn
    from it, after `fit` or `load`.
    """

    RESOURCES: ClassVar[Resources]

    def __init__(self, context: Context, **params: Any) -> None: ...

    @property
    def front_end(self) -> FrontEnd:
        """At the rate of the clips, `context.rate`. A search skips a class whose front end has another rate."""
        ...

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        """Learn from normal clips. It yields once per epoch; `score` may be called between two epochs."""
        ...

    def score(self, clips: ClipSet) -> Scores:
        """Variant -> one float per clip: higher is more anomalous, always finite. Before `fit`: AsdRayError."""
        ...

    def state(self) -> State:
        """All that `score` needs. A new detector with the same parameters gives the same scores after `load(state)`."""
        ...

    def load(self, state: State) -> None:
        """Restore what `state` returned, in place of `fit`."""
        ...
