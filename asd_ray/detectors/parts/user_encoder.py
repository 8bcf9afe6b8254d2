"""Which pretrained encoder a detector has: the one that it was fitted with, whatever files are brought later.

Its embeddings of a clip, before any training, are features: the node's cache keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, State
from asd_ray.detectors.encoders.embedded import Embedded
from asd_ray.detectors.encoders.loading import encoder_name, path_of
from asd_ray.detectors.parts.weights import is_pretrained_name
from asd_ray.errors import AsdRayError
from asd_ray.families.weights import WEIGHTS_VARIABLE, misnamed, places_of
from asd_ray.features import FeatureCache
from asd_ray.features._base import must_be
from asd_ray.features.encoder_sizes import FOLDER
from asd_ray.features.extract import Features

DTYPE = "float16"  # of the embeddings in the cache


class UserEncoder:
    """The parameters `encoder` and `pretrained` of a detector, checked. `nets` are the encoders that it can have.

    From `keep` or `load` on, its name stays: scores of other weights would mean nothing.
    """

    def __init__(self, owner: object, context: Context, net: str, pretrained: str, nets: Sequence[str]) -> None:
        must_be(owner, "encoder", net in nets, f"one of {', '.join(nets)}")
        is_of_net = pretrained == "" or is_pretrained_name(pretrained, net)
        must_be(owner, "pretrained", is_of_net, f"weights of {net}, such as {net}:1a2b3c4d5e6f,")
        self.context, self.net, self.pretrained, self.nets = context, net, pretrained, nets
        self._kept = ""

    @property
    def path(self) -> str:
        """The brought file or folder of the net; "" if there is none."""
        return next(places_of(self.net, self.context.weights), "")

    @property
    def name(self) -> str:
        """The net and its content; the net alone if none is brought, and nothing can be computed then."""
        if self._kept or self.pretrained:
            return self._kept or self.pretrained
        return encoder_name(self.net, self.path) if self.path else self.net

    @property
    def front_end(self) -> Embedded:
        """Gives the embeddings of all layers."""
        features = self.context.features
        notes = str(features.root / FOLDER) if isinstance(features, FeatureCache) else ""
        return Embedded(rate=self.context.rate, pretrained=self.name, path=self.path, notes=notes)

    def features(self, clips: ClipSet) -> Features:
        """The embeddings of all layers of clips: of each the segments, [segments, layers, bands, width]."""
        return self.context.features.get(self.front_end, clips, device=self.context.device, dtype=DTYPE)

    def clip_means(self, clips: ClipSet, layer: float) -> npt.NDArray[np.float64]:
        """[clips, width]: the mean over time and bands of one layer; 0 is the first layer, 1 the last."""
        features = self.features(clips)
        number = round(layer * (features.shape[0] - 1))
        return np.array([features.clip(i)[:, number].astype(np.float64).mean((0, 1)) for i in range(len(clips))])

    def why_none(self) -> str:
        """Why the detector cannot be searched here, for its `suits`; "" if it can."""
        if self.pretrained or self.path:
            return ""
        return (
            "it needs pretrained weights, and none of an encoder are brought; give them with --weights ENCODER=PATH, "
            f"or in the folder of ${WEIGHTS_VARIABLE}, for one of {', '.join(self.nets)}"
            f"{misnamed(self.nets)}"
        )

    def keep(self) -> None:
        """For the start of `fit`: the encoder is the one that is brought now."""
        self._kept = ""
        self._kept = self.name

    def state(self) -> str:
        return self.name

    def load(self, state: State) -> None:
        """AsdRayError if the state is of another encoder than the parameters, or its file is missing or another."""
        name = str(state["encoder"])
        if name != (self.pretrained or name) or name.partition(":")[0] != self.net:
            raise AsdRayError(
                f"the state is of the encoder {name}, but the detector has {self.pretrained or self.net}; load it with "
                "the parameters of its trial"
            )
        path_of(name, self.context.weights)
        self._kept = name
