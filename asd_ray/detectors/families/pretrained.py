"""A pretrained encoder of the user, as it is, and distances between embeddings of clips: no training.

Saengthong and Shinozaki, "Deep Generic Representations for Domain-Generalized Anomalous Sound Detection" (GenRep,
arXiv 2409.05035): embeddings of BEATs, and the distance to the nearest normal clip, with MemMixup and domain
normalisation. Others keep a memory per sub-band (BEAM, arXiv 2603.13749) or other distances, which are backends here.

The weights of the encoder are a file of the user; `pretrained` names it by its content. The embeddings of all layers
are computed once per clip and node (`encoders/embedded.py`), so that a trial only pools and compares them.

Chosen here, because we know the papers by their abstracts and results: the layer (the last one), segments of one
second, one nearest neighbour, all details of poolings and backends. GeM keeps the sign of what it raises to a power,
because embeddings have both signs; with p = 1 it is the mean.

Published for DCASE 2023 evaluation: GenRep 73.79, BEAM 73.1; by ASDKit, mean of four seeds, frozen BEATs with kNN on
DCASE 2020, 2021, 2022, 2023, 2024 evaluation 71.15, 58.12, 57.08, 62.40, 57.62. None was repeated here: no weights
could be fetched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.encoders.loading import NETS
from asd_ray.detectors.parts import microphones, training
from asd_ray.detectors.parts.backends import Backends, ids_of, parse_backends, targets_of
from asd_ray.detectors.parts.supplemental import check_switches, memory_of, new_memory, why_unsuited
from asd_ray.detectors.parts.user_encoder import UserEncoder
from asd_ray.families.resources import Resources
from asd_ray.features import FrontEnd
from asd_ray.features._base import must_be

POOLINGS = ("mean", "max", "gem", "statistics", "time")
TINY = 1e-30
BACKENDS = "knn,knn_ldn,knn_mix,knn_dn,knn_exit,bands,pca,kmeans,lof,maha,cos"


class Pretrained:
    """Distances between embeddings of a frozen encoder; see the module for the method.

    `encoder` is the net, `pretrained` the user's weights of it; without a name, those that are brought are used.
    `layer` is the share of the net's depth: 0 is the first layer, 1 the last. A clip's segments become one embedding by
    `pooling`: "mean", "max", "gem" with the power `gem_p`, or "statistics", mean and deviation; with "time" each
    segment is compared with those of the known clips, and the mean of its scores counts. With `bands` above 1,
    embeddings of so many bands of frequencies are joined, from low to high, as far as the net has them. With
    `smote_ratio` above 0 the backends get interpolated target clips. `microphone` and `far_share` are those of
    `parts/microphones.py`; the far sound is subtracted in the embedding. `supplemental_bank` is in
    parts/supplemental.py.

    Variants: the names of `backends`; `knn_supplemental` with `supplemental_bank`.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.1)
    VERSION: ClassVar[int] = 1
    WEIGHTS: ClassVar[dict[str, tuple[str, ...]]] = {"encoder": tuple(NETS)}
    NEEDS_WEIGHTS: ClassVar[bool] = True

    def __init__(
        self,
        context: Context,
        *,
        encoder: str = "beats",
        layer: float = 1.0,
        pooling: str = "mean",
        gem_p: float = 3.0,
        bands: int = 1,
        smote_ratio: float = 0.0,
        backends: str = BACKENDS,
        pretrained: str = "",
        microphone: str = microphones.NEAR,
        far_share: float = 0.5,
        supplemental_bank: bool = False,
    ) -> None:
        self.context, self.encoder, self.layer, self.pooling = context, encoder, layer, pooling
        self.gem_p, self.bands, self.smote_ratio, self.pretrained = gem_p, bands, smote_ratio, pretrained
        self.microphone, self.far_share, self.supplemental_bank = microphone, far_share, supplemental_bank
        self._encoder = UserEncoder(self, context, encoder, pretrained, tuple(NETS))
        microphones.check_microphone(self)
        check_switches(self, "supplemental_bank")
        must_be(self, "layer", 0 <= layer <= 1, "in [0, 1]")
        must_be(self, "pooling", pooling in POOLINGS, f"one of {', '.join(POOLINGS)}")
        must_be(self, "gem_p", 1 <= gem_p < math.inf, "1 or more")
        training.check_whole(self, "bands", 1)
        self._backends = Backends(parse_backends(backends), seed=context.seed, smote_ratio=smote_ratio)
        self._memory = new_memory()
        self._is_fitted = False

    @property
    def front_end(self) -> FrontEnd:
        return self._encoder.front_end

    def suits(self, train: pd.DataFrame) -> str:
        """Why the family cannot be searched here: without weights there is nothing to compare."""
        why = self._encoder.why_none() or microphones.why_unheard(self.microphone, train)
        return why or why_unsuited(self, train)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        self._encoder.keep()
        embeddings, clip = self._embeddings(train)
        ids, target = ids_of(train), targets_of(train)
        self._backends.fit(embeddings, [ids[n] for n in clip.tolist()], target[clip])
        if self.supplemental_bank:
            self._memory = memory_of(train, (embeddings, clip), self._embeddings)
        self._is_fitted = True
        yield Progress(1, {"spread": float((embeddings - embeddings.mean(0)).square().sum(1).mean().sqrt())})

    def score(self, clips: ClipSet) -> Scores:
        training.require_fitted(self, self._is_fitted or None, "score")
        embeddings, clip = self._embeddings(clips)
        ids = ids_of(clips)
        row_ids = [ids[n] for n in clip.tolist()]
        scores = self._backends.score(embeddings, row_ids)
        if self.supplemental_bank:
            scores |= self._memory.score(embeddings, row_ids)
        counts = np.bincount(clip, minlength=len(clips))
        return {
            name: np.bincount(clip, values.cpu().numpy(), len(clips)) / np.maximum(counts, 1)
            for name, values in scores.items()
        }

    def embeddings(self, clips: ClipSet) -> Scores:
        """The pooled embedding of each clip; with pooling "time" the mean of those of its segments."""
        training.require_fitted(self, self._is_fitted or None, "embeddings")
        embeddings, clip = self._embeddings(clips)
        sums = torch.zeros(len(clips), embeddings.shape[1], device=embeddings.device)
        sums.index_add_(0, torch.from_numpy(clip).to(sums.device), embeddings)
        counts = np.maximum(np.bincount(clip, minlength=len(clips)), 1)
        return {"embedding": sums.cpu().numpy() / counts[:, None]}

    def state(self) -> State:
        training.require_fitted(self, self._is_fitted or None, "state")
        memory = {"memory": self._memory.state()} if self.supplemental_bank else {}
        return {"backends": self._backends.state(), "encoder": self._encoder.state(), **memory}

    def load(self, state: State) -> None:
        """It raises where the file of the encoder is missing or another, because nothing could be scored."""
        self._encoder.load(state)
        self._backends.load(state["backends"])
        if self.supplemental_bank:
            self._memory.load(state["memory"])
        self._is_fitted = True

    def _embeddings(self, clips: ClipSet) -> tuple[Tensor, npt.NDArray[np.intp]]:
        """[rows, dimensions] on the device, and the clip of each row: one row per clip, or per segment with "time"."""
        heard = [self._on_channel(own) for own in microphones.heard_channels(clips, self.microphone)]
        rows, clip = heard[0]
        if len(heard) > 1:
            rows = microphones.subtracted_embeddings(rows, heard[1][0], self.far_share)
        return rows, clip

    def _on_channel(self, clips: ClipSet) -> tuple[Tensor, npt.NDArray[np.intp]]:
        """As `_embeddings`, of the channel that the clips are on."""
        features = self._encoder.features(clips)
        layers, bands, width = features.shape
        layer, kept = round(self.layer * (layers - 1)), min(self.bands, bands)
        rows: list[Tensor] = []
        clip: list[npt.NDArray[np.intp]] = []
        for length in np.unique(features.lengths).tolist():
            equally_long = np.flatnonzero(features.lengths == length)
            segments = torch.from_numpy(np.stack([features.clip(i)[:, layer] for i in equally_long.tolist()])).float()
            parts = torch.stack([part.mean(2) for part in segments.tensor_split(kept, 2)], 2).flatten(2)
            rows.append(parts.flatten(0, 1) if self.pooling == "time" else pooled(parts, self.pooling, self.gem_p))
            clip.append(np.repeat(equally_long, length if self.pooling == "time" else 1))
        if not rows:
            wide = kept * width * (2 if self.pooling == "statistics" else 1)
            return torch.zeros(0, wide, device=self.context.device), np.zeros(0, np.intp)
        return torch.cat(rows).to(self.context.device), np.concatenate(clip)


def pooled(segments: Tensor, pooling: str, p: float) -> Tensor:
    """[clips, segments, dimensions] -> [clips, dimensions], or twice as many for "statistics"."""
    if pooling == "max":
        return segments.amax(1)
    mean = segments.mean(1)
    if pooling == "statistics":
        return torch.cat([mean, segments.std(1, correction=0)], 1)
    if pooling == "gem" and p != 1:
        largest = segments.abs().amax(1, keepdim=True).clamp_min(TINY)  # powers of its shares do not overflow
        powers = (segments.sign() * (segments.abs() / largest) ** p).mean(1)
        return largest[:, 0] * powers.sign() * powers.abs() ** (1 / p)
    return mean
