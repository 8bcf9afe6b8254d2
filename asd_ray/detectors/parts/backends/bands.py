"""The backend with a memory per sub-band: parts of the embedding are compared on their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from asd_ray.detectors.parts.backends._base import Learned
from asd_ray.detectors.parts.backends.distances import Nearest, nearest
from asd_ray.detectors.parts.backends.standard import own_statistics, standardised
from asd_ray.detectors.parts.training import check_whole

METRIC = "euclidean"


@dataclass(frozen=True, kw_only=True)
class BandKnn:
    """The mean over `bands` of the distance to the nearest `k` clips in each, after the idea of BEAM.

    BEAM (arXiv 2603.13749) keeps a memory per sub-band. Chosen here: a band is a part of consecutive dimensions of the
    embedding, and the parts differ by at most one dimension. Distances are Euclidean, between embeddings of length 1,
    and those of a band are in units of its own training clips, so that no band counts more for its larger distances.
    (With one band, this ranks clips as the cosine distance does; within a band, a cosine has no meaning where the band
    is zero.) An embedding with fewer dimensions than `bands` has one band per dimension.
    """

    bands: int = 4
    k: int = 1

    def __post_init__(self) -> None:
        check_whole(self, "bands", 1)
        check_whole(self, "k", 1)

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        units = [own_statistics(band, self.k, METRIC) for band in self._cut(reference)]
        return {"bank": reference, "units": torch.stack(units)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return self.compare(learned, embeddings, nearest)

    def compare(self, learned: Learned, embeddings: Tensor, find: Nearest) -> Tensor:
        """The score, with another way to find the nearest references."""
        parts = zip(self._cut(embeddings), self._cut(learned["bank"]), learned["units"], strict=True)
        by_band = [standardised(find(band, bank, self.k, METRIC)[0].mean(1), unit) for band, bank, unit in parts]
        return torch.stack(by_band).mean(0)

    def _cut(self, embeddings: Tensor) -> list[Tensor]:
        """The bands of the embeddings, [clips, dimensions of the band] each."""
        rows, width = normalize(embeddings.double(), eps=1e-60), embeddings.shape[1]
        bands = min(self.bands, width)
        ends = [width * number // bands for number in range(bands + 1)]
        return [rows[:, first:last] for first, last in zip(ends, ends[1:], strict=False)]
