"""The interface of an encoder: waves in, the embeddings of all its layers out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
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

    def piece_frames(self, samples: int) -> int:
        """Frames of a piece of at most `longest` samples; 0 if it is too short."""
        raise NotImplementedError

    def encode(self, waves: Tensor) -> Tensor:
        """[n, samples] with at most `longest` samples -> [n, layers, piece_frames(samples), width]."""
        raise NotImplementedError

    def frames(self, samples: int) -> int:
        """Frames of a clip of `samples`; 0 if it is too short."""
        pieces, length = self._pieces(samples)
        return pieces * self.piece_frames(length)

    def forward(self, waves: Tensor) -> Tensor:
        """[n, samples] in [-1, 1) at `rate` -> [n, layers, frames, width]."""
        count, samples = waves.shape
        pieces, length = self._pieces(samples)
        cut = waves[:, : pieces * length].reshape(count * pieces, length)
        embeddings = self.encode(cut)
        if pieces == 1:
            return embeddings
        by_piece = embeddings.reshape(count, pieces, *embeddings.shape[1:])
        return torch.cat(by_piece.unbind(1), dim=2)

    def _pieces(self, samples: int) -> tuple[int, int]:
        """How many pieces a clip has, and the samples of each."""
        pieces = max(1, -(-samples // self.longest))
        return pieces, samples // pieces
