"""The contract of a backend."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

Learned = dict[str, Tensor]

TINY = 1e-10  # added to a distance or density before division, as scikit-learn does


class Backend(Protocol):
    """What a backend offers. It must accept a single reference clip."""

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        """`reference`, [clips, dimensions], is of normal clips, at least one; `target` marks the target domain."""
        ...

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        """One finite float64 per embedding; it does not depend on the other embeddings of the call."""
        ...
