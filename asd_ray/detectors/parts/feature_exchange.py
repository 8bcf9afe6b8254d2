"""FeatEx and losses of single branches: heads that only training has, for embeddings of several branches side by side.

FeatEx, feature exchange: Wilkinghoff, "Self-Supervised Learning for Anomalous Sound Detection", ICASSP 2024. Some
embeddings get the branches of different clips. A second head, with trainable centres, has the classes of intact
embeddings and, for each branch, those of the clip that it came from. Its loss is added.

Subspace loss: Fujimura, Kuroyanagi, Toda, "Improvements of Discriminative Feature Space Training for Anomalous Sound
Detection in Unlabeled Conditions", ICASSP 2025. The embedding of each branch has a head and a loss of its own, so that
no branch can rely on the others.

As in ASDKit: with B branches the second head has (B + 1) times the classes; an exchanged embedding keeps its own first
branch and takes each other one from the batch in an order of its own; 1/B of its label is that of each branch's clip;
the extra heads are of the kind of the first one, with trainable centres; the losses of branches are added up, and an
exchange has the probability 0.5 there.

Chosen here: embeddings of mixed clips are exchanged, with their soft labels; a branch may get its own clip again; the
loss of FeatEx has the weight 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asd_ray.detectors.parts.heads import divergence
from asd_ray.detectors.parts.transfer import to_device

NewHead = Callable[[int, int], nn.Module]  # width of the embedding, classes -> a head with trainable centres


@dataclass(frozen=True)
class Exchange:
    """Which embeddings of a batch are exchanged, [n], and from which position each branch is then taken, [branches, n].

    The first branch keeps its position.
    """

    exchanged: Tensor
    sources: Tensor

    def embeddings(self, embedding: Tensor) -> Tensor:
        """[n, branches · width] with the branches of those clips."""
        parts = embedding.chunk(len(self.sources), 1)
        other = torch.cat([part[source] for part, source in zip(parts, self.sources, strict=True)], 1)
        return torch.where(self.exchanged.unsqueeze(1), other, embedding)

    def labels(self, soft: Tensor) -> Tensor:
        """[n, classes] -> [n, (branches + 1) · classes]: first those of intact embeddings, then those by branch."""
        branches, classes = len(self.sources), soft.shape[1]
        intact = pad(soft, (0, branches * classes))
        by_branch = torch.cat([soft[source] for source in self.sources], 1) / branches
        return torch.where(self.exchanged.unsqueeze(1), pad(by_branch, (classes, 0)), intact)


def draw_exchange(
    count: int, branches: int, probability: float, rng: np.random.Generator, device: torch.device | str = "cpu"
) -> Exchange:
    """For a batch of `count` clips."""
    exchanged = rng.random(count) < probability
    sources = np.stack([np.arange(count), *(rng.permutation(count) for _ in range(branches - 1))])
    return Exchange(to_device(torch.from_numpy(exchanged), device), to_device(torch.from_numpy(sources), device))


class ExtraHeads(nn.Module):
    """The second head of FeatEx if `featex` is above 0, and a head per branch if `branch_losses` is.

    `featex` is the probability of an exchange, and `branch_losses` the weight of the sum of the branches' losses.
    """

    def __init__(
        self, new_head: NewHead, branches: int, width: int, classes: int, *, featex: float, branch_losses: float
    ) -> None:
        super().__init__()
        self.count, self.featex, self.branch_losses = branches, featex, branch_losses
        self.exchange = new_head(branches * width, (branches + 1) * classes) if featex else None
        self.branches = nn.ModuleList(new_head(width, classes) for _ in range(branches if branch_losses else 0))

    def losses(self, embedding: Tensor, soft: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """The weighted losses by name: "exchange" and "branches". Only the first uses `rng`."""
        losses = {}
        if self.exchange is not None:
            exchange = draw_exchange(len(soft), self.count, self.featex, rng, soft.device)
            losses["exchange"] = _loss(self.exchange, exchange.embeddings(embedding), exchange.labels(soft))
        if self.branches:
            pairs = zip(self.branches, embedding.chunk(self.count, 1), strict=True)
            losses["branches"] = self.branch_losses * torch.stack([_loss(*pair, soft) for pair in pairs]).sum()
        return losses


def _loss(head: nn.Module, embedding: Tensor, soft: Tensor) -> Tensor:
    logits: Tensor = head.logits(embedding, soft)  # type: ignore[operator]
    return divergence(logits, soft)
