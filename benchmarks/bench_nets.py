"""An epoch of training of every family with a convolutional net, against its net in a bare loop of plain PyTorch.

Both sides see the same clips in the same batches; an epoch is one step. The reference gets its inputs ready-made: it
reads no clips, cuts no windows, and makes no spectrograms unless they change in every step. It takes turns with asd_ray
in another process, see `_plain_nets`.

BENCH_NETS chooses rows, separated by commas, and BENCH_ROUNDS how often both sides are measured. Processor time says
more than time on the clock where other programs run.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import Context, Detector, family
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.waves import Waves
from asd_ray.features import FeatureCache
from benchmarks._plain_nets import BUILDERS, Inputs, serve
from benchmarks._timing import Row

Seconds = tuple[float, float]  # on the clock, and of the processor

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
WARM = 2  # rounds before them
# clips, windows in a batch (all of them: an epoch is one step), and other parameters
CASES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "stgram": (32, 32, {}),
    "complex_net": (8, 32, {}),
    "id_classifier mobilenet_v2": (2, 64, {"net": "mobilenet_v2"}),
    "id_classifier resnet50": (2, 64, {"net": "resnet50"}),
    "embedding_knn": (32, 32, {}),
    "aegan_ad": (2, 62, {"hop": 6}),
    "ganomaly": (2, 48, {}),
    "anogan": (2, 48, {}),
    "flow_aff glow": (32, 288, {"flow": "glow"}),
    "flow_aff maf": (8, 496, {"flow": "maf"}),
}


def run() -> Iterator[Row]:
    only = os.environ.get("BENCH_NETS", ",".join(CASES)).split(",")
    with tempfile.TemporaryDirectory() as folder:
        bank = Workspace(Path(folder), seconds=10.0).bank("planted")
        context = Context(features=FeatureCache(Path(folder) / "cache"))
        train = bank.select(split="train")
        for name in only:
            count, batch, changes = CASES[name]
            clips = train.take([round(i * (len(train) - 1) / (count - 1)) for i in range(count)])
            given = {"batch_size": batch, "epochs": 10_000, **changes}
            detector = family(name.split()[0]).detector(context, **given)
            yield from _compared(name, detector, clips, batch)


def _compared(name: str, detector: Detector, clips: ClipSet, batch: int) -> Iterator[Row]:
    threads, classes = torch.get_num_threads(), Classes.from_clips(clips.frame, at_least=1)
    inputs = _inputs(name, detector, clips, classes, batch)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    reference = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, name, inputs, len(classes), threads), daemon=True
    )
    reference.start()
    ours.recv()
    epochs, first = iter(detector.fit(clips)), 0.0
    rounds: list[tuple[Seconds, ...]] = []
    for number in range(ROUNDS + WARM):
        started = time.perf_counter(), time.process_time()
        next(epochs)
        answers = [(time.perf_counter() - started[0], time.process_time() - started[1])]
        first = first or answers[0][0]
        for foreach in (False, True):
            ours.send(foreach)
            answers.append(ours.recv())
        if number >= WARM:
            rounds.append(tuple(answers))
    ours.send(None)
    reference.join()
    mine, unfused, _ = zip(*rounds, strict=True)
    ratio, in_processor = (_ratio(rounds, which=1, kind=kind) for kind in (0, 1))
    detail = (
        f"{_median(mine, 0):.2f} against {_median(unfused, 0):.2f} s a step of {batch}, {threads} threads; "
        f"{_ratio(rounds, which=2, kind=0):.2f}× if Adam uses foreach; in processor time {in_processor:.2f}× "
        f"({_median(mine, 1):.2f} against {_median(unfused, 1):.2f} s); asd_ray's first epoch {first:.2f} s"
    )
    yield f"an epoch of {name}", "its net in a bare loop of plain PyTorch", ratio, detail


def _median(sides: Sequence[Seconds], kind: int) -> float:
    return statistics.median(side[kind] for side in sides)


def _ratio(rounds: Sequence[Sequence[Seconds]], which: int, kind: int) -> float:
    """The median over rounds of a reference's seconds per second of asd_ray's."""
    return statistics.median(sides[which][kind] / sides[0][kind] for sides in rounds)


def _inputs(name: str, detector: Any, clips: ClipSet, classes: Classes, batch: int) -> Inputs:
    """What the reference computes on."""
    kind, labels, context = name.split()[0], classes.labels(clips.frame), detector.context
    if kind in ("stgram", "embedding_knn"):
        waves = Waves(clips, detector.front_end, context.device)(torch.arange(len(clips)))
        spectrograms = {} if kind == "embedding_knn" else {"spectrograms": detector.front_end(waves).transpose(1, 2)}
        return {"waves": waves, "labels": labels, **{key: value.contiguous() for key, value in spectrograms.items()}}
    size = getattr(detector, "_size", getattr(detector, "frames", 128))
    frames, windows = training.frames_of(detector.front_end, clips, size, context, getattr(detector, "hop", size))
    starts, owners = training.window_starts(windows), torch.from_numpy(windows.clip)
    if kind == "complex_net":
        images = detector._images(frames)(starts)
    elif name == "flow_aff maf":
        images = training.rows_of(frames, size)(starts)
    else:
        images = training.images_of(frames, size)(starts)
    images = (images - images.mean()) / images.std()
    return {"images": images[:batch].contiguous(), "labels": labels[owners][:batch]}


assert list(CASES) == list(BUILDERS)
