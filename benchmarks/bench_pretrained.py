"""Frozen encoders: how many clips a second are embedded, and how many trials an hour a search over them runs.

Weights and embeddings are random: speed does not depend on them. Rates are per second and hour of processor time of one
core, so that what else the computer does counts less.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from asd_ray import ClipSet, Context, FrontEnd
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.detectors.encoders.embedded import Embedded
from asd_ray.detectors.encoders.loading import encoder_name
from asd_ray.detectors.families.pretrained import BACKENDS, Pretrained
from asd_ray.features import Features
from benchmarks._encoders import package, random_ast
from benchmarks._timing import Row

CLIPS = 2
RATE = 16_000


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield _embedding(Path(folder) / "base")
    yield _trial()


def _processor(work: Callable[[], object]) -> float:
    """Seconds of processor time, of all threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


def _embedding(folder: Path) -> Row:
    """The front end against the package's own feature extractor and net, clip by clip."""
    torch.manual_seed(0)
    net = random_ast(folder)
    front_end = Embedded(rate=RATE, pretrained=encoder_name("ast", str(folder)), path=str(folder))
    waves = 0.1 * torch.randn(CLIPS, 10 * RATE)
    extractor = package.ASTFeatureExtractor.from_pretrained(folder)

    def of_the_package() -> None:
        with torch.no_grad():
            for wave in waves.numpy():
                net(**extractor(wave, sampling_rate=RATE, return_tensors="pt"), output_hidden_states=True)

    front_end(waves[:1, :RATE])  # loads the net
    ours, reference = _processor(lambda: front_end(waves)), _processor(of_the_package)
    mega = 4 * front_end.frames(10 * RATE) * front_end.shape[0] * front_end.shape[2] * front_end.shape[1] / 2 / 2**20
    detail = f"{CLIPS / ours:.2f} clips of 10 s a second and core, all 12 layers; {mega:.2f} MiB of the cache per clip"
    return "embedding by AST-base", "transformers, clip by clip", reference / ours, detail


class Stored:
    """Embeddings of 500 clips of 10 s in memory, in the shape of AST-base: what the feature cache gives."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.frames = draw.standard_normal((500 * 10, 12, 4, 768), dtype=np.float32).astype(np.float16)

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features:
        return Features([self.frames], np.zeros(len(clips)), clips.rows * 10, np.full(len(clips), 10))


def _trial() -> Row:
    """Learning from 400 clips and scoring 100, with one backend and with all."""
    bank = WaveBank([np.zeros(1, np.int16)] * 500, machine="fan", rate=RATE, ids=["00"] * 500)
    train, test = ClipSet(bank, np.arange(400)), ClipSet(bank, np.arange(400, 500))
    context = Context(features=Stored())

    def trial(backends: str) -> float:
        detector = Pretrained(context, encoder="ast", pretrained="ast:0123456789ab", backends=backends)
        learned = _processor(lambda: list(detector.fit(train)))
        return learned + _processor(lambda: detector.score(test))

    trial(BACKENDS)  # imports scikit-learn
    every, one = trial(BACKENDS), trial("knn")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    detail = (
        f"{3600 / every:,.0f} trials an hour and core over 500 cached clips, {3600 / one:,.0f} with `knn` alone; "
        f"without the search around them; peak so far {peak:,.0f} MB, of which the clips are 369 MB"
    )
    return "a trial of pretrained, 11 backends", "the same with `knn` alone", one / every, detail
