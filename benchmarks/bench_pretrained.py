"""Frozen encoders: how many clips a second are embedded, and how many trials an hour a search over them runs.

Weights are random: speed does not depend on them. AST-base has its true size in the first row. In the second, its
embeddings have their true shape (12 layers of 768, four bands), from a net with fewer patches. Rates are per second and
hour of processor time of one core, so that what else the computer does counts less.
"""

from __future__ import annotations

import logging
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from asd_ray import Dataset, Run
from asd_ray.clips.demo import make_demo
from asd_ray.detectors.encoders import transformers_nets
from asd_ray.detectors.encoders.embedded import Embedded
from asd_ray.detectors.encoders.loading import encoder_name
from benchmarks._timing import Row

package: Any = vars(transformers_nets)["transformers"]  # imported by us, so that it works beside any torch
CLIPS = 2
TRIALS = 20
RATE = 16_000


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield _embedding(Path(folder) / "base")
        yield _search(Path(folder))


def _processor(work: Callable[[], object]) -> float:
    """Seconds of processor time, of all threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


def _ast(folder: Path, **config: Any) -> Any:
    """AST with random weights, saved to a folder."""
    net = package.ASTModel(package.ASTConfig(**config)).eval()
    net.save_pretrained(folder)
    package.ASTFeatureExtractor(max_length=config.get("max_length", 1024)).save_pretrained(folder)
    return net


def _embedding(folder: Path) -> Row:
    """The front end against the package's own feature extractor and net, clip by clip."""
    torch.manual_seed(0)
    net = _ast(folder)
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


def _search(folder: Path) -> Row:
    """A serial search, once with an empty cache of features and once with a full one."""
    logging.getLogger("asd_ray").setLevel(logging.ERROR)
    strides = {"time_stride": 32, "frequency_stride": 32}
    _ast(folder / "ast", max_length=128, intermediate_size=128, num_attention_heads=2, **strides)
    make_demo(folder / "demo", size="tiny", machines=["fan"])
    os.environ["ASD_RAY_WEIGHTS"] = str(folder)
    data = Dataset(folder / "demo", cache=folder / "cache")
    how: dict[str, Any] = {"families": "pretrained", "serial": True, "quiet": True, "keep_states": "none"}
    cold = _processor(lambda: Run(folder / "first").search(data, "fan", trials=1, **how))
    second = Run(folder / "second")
    warm = _processor(lambda: second.search(data, "fan", trials=TRIALS, **how))
    records = second.records()
    assert len(records) == TRIALS
    assert all(record.status == "complete" for record in records)
    clips = len(data.clips)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    detail = (
        f"{TRIALS * 3600 / warm:,.0f} trials an hour and core, over {clips} clips with 11 backends each; the first "
        f"trial, which embeds them, {cold:.1f} s; "
        f"peak so far {peak:,.0f} MB"
    )
    return "a trial of pretrained, cached", "the first trial of a machine", cold * TRIALS / warm, detail
