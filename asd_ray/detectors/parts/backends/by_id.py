"""Several backends, each fitted to the clips of every id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import State
from asd_ray.detectors.parts.backends._base import Backend, Learned
from asd_ray.detectors.parts.backends.domains import DomainKnn
from asd_ray.detectors.parts.backends.smote import smote
from asd_ray.detectors.parts.backends.table import BACKENDS
from asd_ray.detectors.parts.training import check_whole
from asd_ray.errors import AsdRayError
from asd_ray.features._base import must_be


class Backends:
    """Several backends at once, each fitted separately to the clips of every id.

    A clip of an id that was not in training is scored with the backends of every id, and the lowest score counts: it is
    as normal as the known machine that it resembles most. With `smote_ratio` above 0, interpolated target clips are
    added to the references of each id; see `smote`. `DomainKnn` gets none of them, because its unit is the distance
    between recorded clips, and interpolated ones lie in between. Fitting uses `seed` and no shared random stream, so a
    family may fit again after every epoch.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend] = BACKENDS,
        *,
        seed: int = 0,
        smote_ratio: float = 0.0,
        smote_neighbours: int = 3,
    ) -> None:
        self.backends, self.seed = dict(backends), seed
        self.smote_ratio, self.smote_neighbours = smote_ratio, smote_neighbours
        must_be(self, "smote_ratio", 0 <= smote_ratio <= 1, "in [0, 1]")
        check_whole(self, "smote_neighbours", 1)
        self._learned: dict[str, dict[str, Learned]] = {}  # id -> backend -> what it learned

    def fit(self, embeddings: Tensor, ids: Sequence[str], target: Tensor) -> None:
        """`embeddings` [clips, dimensions] of normal clips, the id of each, and whether it is of the target domain."""
        if len(embeddings) == 0:
            raise AsdRayError("backends learn from clips but got none; check the training split of this machine")
        embeddings = _finite(embeddings)
        learned = {}
        for id, positions in _positions(ids, embeddings.device).items():
            # The same seed for every id, so that the result of an id does not depend on the other ids.
            generator = torch.Generator().manual_seed(self.seed)
            recorded = embeddings[positions], target.to(positions.device)[positions]
            more = smote(*recorded, self.smote_ratio, self.smote_neighbours, generator)
            learned[id] = {
                name: backend.learn(*(recorded if isinstance(backend, DomainKnn) else more), self.seed)
                for name, backend in self.backends.items()
            }
        self._learned = learned

    def score(self, embeddings: Tensor, ids: Sequence[str]) -> dict[str, Tensor]:
        """Name of the backend -> one float64 per clip."""
        if not self._learned:
            raise AsdRayError("score of the backends was called before fit; call fit or load first")
        embeddings = _finite(embeddings)
        scores = {name: embeddings.new_empty(len(embeddings), dtype=torch.float64) for name in self.backends}
        for id, positions in _positions(ids, embeddings.device).items():
            fitted = [self._learned[id]] if id in self._learned else list(self._learned.values())
            for name, backend in self.backends.items():
                per_id = [
                    backend.score(_to_device(learned_by_name[name], positions.device), embeddings[positions])
                    for learned_by_name in fitted
                ]
                scores[name][positions] = torch.stack(per_id).amin(0)
        return scores

    def state(self) -> State:
        return {
            id: {name: _to_device(tensors, torch.device("cpu")) for name, tensors in learned.items()}
            for id, learned in self._learned.items()
        }

    def load(self, state: State) -> None:
        self._learned = dict(state)


def ids_of(clips: ClipSet) -> list[str]:
    """Machine and id of each clip as one text, the form that `Backends` takes."""
    return [f"{machine} {id}" for machine, id in zip(clips.frame["machine"], clips.frame["id"], strict=True)]


def targets_of(clips: ClipSet) -> Tensor:
    """[clips]: whether each clip is of the target domain."""
    return torch.from_numpy(clips.frame["domain"].to_numpy(str) == "target")


def _positions(ids: Sequence[str], device: torch.device) -> dict[str, Tensor]:
    """Id -> positions of its clips."""
    names, numbers = np.unique(np.asarray(ids, dtype=str), return_inverse=True)
    return {str(name): torch.from_numpy(np.flatnonzero(numbers == i)).to(device) for i, name in enumerate(names)}


def _finite(embeddings: Tensor) -> Tensor:
    if not bool(embeddings.isfinite().all()):
        raise AsdRayError("embeddings must be finite, but some are not: the net diverged; lower lr")
    return embeddings.detach()


def _to_device(learned: Learned, device: torch.device) -> Learned:
    return {name: value.detach().to(device) for name, value in learned.items()}
