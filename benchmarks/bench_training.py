"""Training the autoencoder in batches of 256, against a bare training loop and against a torch DataLoader.

All sides make the same number of steps on the same net. asd_ray builds its vectors from the frames of the clips; the
references get ready-made vectors.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from asd_ray.clips.bank import ClipSet, open_bank
from asd_ray.detectors import Context
from asd_ray.detectors.families.autoencoder import Autoencoder
from asd_ray.features import FeatureCache, vectors, windows_of
from benchmarks._timing import Row, compare

CLIPS, SECONDS, RATE, BATCH, SIZE = 60, 10, 16_000, 256, 5


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as temporary:
        clips = _clips(Path(temporary))
        context = Context(features=FeatureCache(Path(temporary) / "cache"))
        features = context.features.get(Autoencoder(context).front_end, clips)
        ready = vectors(features.tensor(), SIZE)[torch.from_numpy(windows_of(features.lengths, SIZE).start)]
        epochs = iter(Autoencoder(context, batch_size=BATCH, epochs=10_000, validation=0.0).fit(clips))
        steps, width = -(-len(ready) // BATCH), ready.shape[1]
        random, loader = torch.randn(BATCH, width), DataLoader(TensorDataset(ready), BATCH, shuffle=True)
        bare, plain = _Loop(width), _Loop(width)
        references = (
            ("the bare steps on one random batch", lambda: bare.run(random for _ in range(steps)), steps * BATCH),
            ("torch DataLoader of ready vectors, in process", lambda: plain.run(x for (x,) in loader), len(ready)),
        )
        for name, reference, seen in references:
            ratio, mine, theirs = compare(lambda: next(epochs), reference, rounds=9)
            ratio *= len(ready) / seen  # the last batch of the bare loop is a full one
            detail = f"{len(ready) / mine:,.0f} against {seen / theirs:,.0f} vectors a second"
            yield f"an epoch of Autoencoder, batches of {BATCH}", name, ratio, f"{detail}, {_threads()}"


class _Loop:
    """Only forward pass, backward pass and fused Adam."""

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        widths = [width, *[128] * 4, 8, *[128] * 4]
        for into, out in itertools.pairwise(widths):
            layers += [nn.Linear(into, out), nn.BatchNorm1d(out, eps=1e-3, momentum=0.01), nn.ReLU()]
        self.net: nn.Module = nn.Sequential(*layers, nn.Linear(128, width))
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=1e-3, fused=True)

    def run(self, batches: Iterable[Tensor]) -> None:
        for batch in batches:
            self.optimiser.zero_grad()
            loss = mse_loss(self.net(batch), batch)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()


def _threads() -> str:
    return f"{torch.get_num_threads()} threads"


def _clips(folder: Path) -> ClipSet:
    """Write seeded noise as a dataset and open it."""
    (folder / "normal").mkdir()
    rng = np.random.default_rng(0)
    for i in range(CLIPS):
        wave = (rng.standard_normal(SECONDS * RATE) * 1000).astype(np.int16)
        soundfile.write(folder / "normal" / f"{i}.wav", wave, RATE)
    return open_bank(folder, cache=folder / "cache").select()
