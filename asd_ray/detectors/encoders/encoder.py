"""The interface of an encoder: waves in, the embeddings of all its layers out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A pretrained net. An adapter sets the attributes and writes `piece_frames` and `encode`.

    A clip longer than `longest` is cut into equal pieces, each encoded on its own; up to (pieces - 1) samples at its
    end are not used. A net of patches has `bands` embeddings per step of time, one for each band of frequencies: they
    are frames, too, in the order of time, and within a step from low to high frequencies.
    """

    rate: int  # Hz of the waves
    layers: int
    width: int  # dimensions of an embedding
    longest: int  # samples that the net takes at once
    bands: int = 1
    tunable: bool = True  # whether gradients reach its weights

    @abstractmethod
    def piece_frames(self, samples: int) -> int:
        """Frames of a piece of at most `longest` samples; 0 if it is too short."""

    @abstractmethod
    def encode(self, waves: Tensor) -> Tensor | Sequence[Tensor]:
        """[n, samples] with at most `longest` samples -> [n, layers, piece_frames(samples), width].

        Or the layers one by one, each [n, frames, width], so that training of one leaves later blocks alone.
        """

    def frames(self, samples: int) -> int:
        """Frames of a clip of `samples`; 0 if it is too short."""
        pieces, length = self._pieces(samples)
        return pieces * self.piece_frames(length)

    def forward(self, waves: Tensor) -> Tensor:
        """[n, samples] in [-1, 1) at `rate` -> [n, layers, frames, width]."""
        pieces, layers = self._layers(waves)
        return _joined(layers if isinstance(layers, Tensor) else torch.stack([*layers], 1), pieces)

    def layer(self, waves: Tensor, number: int) -> Tensor:
        """As `forward`, of one layer: [n, frames, width]. Gradients reach only the blocks that it is computed by."""
        pieces, layers = self._layers(waves)
        one = layers[:, number] if isinstance(layers, Tensor) else layers[number]
        return _joined(one[:, None], pieces)[:, 0]

    def _layers(self, waves: Tensor) -> tuple[int, Tensor | Sequence[Tensor]]:
        """How many pieces each wave has, and what `encode` returns for all of them."""
        count, samples = waves.shape
        pieces, length = self._pieces(samples)
        return pieces, self.encode(waves[:, : pieces * length].reshape(count * pieces, length))

    def _pieces(self, samples: int) -> tuple[int, int]:
        """How many pieces a clip has, and the samples of each."""
        pieces = max(1, -(-samples // self.longest))
        return pieces, samples // pieces


def _joined(embeddings: Tensor, pieces: int) -> Tensor:
    """[n * pieces, layers, frames, width] -> [n, layers, pieces * frames, width]."""
    if pieces == 1:
        return embeddings
    by_piece = embeddings.reshape(len(embeddings) // pieces, pieces, *embeddings.shape[1:])
    return torch.cat(by_piece.unbind(1), dim=2)
