"""One clip of 10 s on one thread: a detector's ONNX file in onnxruntime, against the detector itself in torch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from asd_ray.clips.bank import ClipSet, open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.deploy.onnx import Exported, export
from asd_ray.detectors import Context, Detector
from asd_ray.families import family
from asd_ray.features import DirectFeatures
from asd_ray.features._base import FULL_SCALE
from benchmarks._timing import Row, compare

CLIPS = 3  # to learn from: the time of scoring does not depend on what was learned
SETTINGS: dict[str, dict[str, Any]] = {  # the papers' settings, one epoch
    **dict.fromkeys(("autoencoder", "idnn", "group_made", "flow_aff", "twfr_gmm"), {}),
    **dict.fromkeys(("id_classifier", "complex_net", "stgram", "embedding_knn"), {"backends": "knn"}),
    "ganomaly": {"batch_size": 16},
    "aegan_ad": {"hop": 8, "batch_size": 16},  # of 1 frame, an epoch would take minutes
}


def run() -> Iterator[Row]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_demo(folder / "data", size="tiny", machines=["fan"], seconds=10)
        bank = open_bank(folder / "data", cache=folder / "cache")
        train = bank.select(split="train")
        train = train.take(np.linspace(0, len(train) - 1, CLIPS).astype(np.intp))
        wave, id = bank.select(split="test").samples(0), bank.select(split="test").frame["id"].iloc[0]
        clip = ClipSet(WaveBank([wave], machine="fan", rate=16_000, ids=[id]), np.arange(1))
        for name, params in SETTINGS.items():
            yield _row(name, params, train, clip, folder / f"{name}.onnx")


def _row(name: str, params: dict[str, Any], train: ClipSet, clip: ClipSet, path: Path) -> Row:
    features, kind = DirectFeatures(), family(name)
    epochs = {"epochs": 1} if "epochs" in kind.parameters else {}
    detector: Detector = kind.detector(Context(features=features), **epochs, **params)
    for _ in detector.fit(train):
        pass

    def in_torch() -> None:
        detector.score(clip)
        features.forget()

    in_onnxruntime = _session(path, export(detector, path), clip)
    ratio, ours, reference = compare(in_onnxruntime, in_torch, rounds=5)
    detail = f"{1000 * ours:.1f} against {1000 * reference:.1f} ms, {path.stat().st_size / 1e6:.1f} MB"
    return f"{name} in onnxruntime, a clip of 10 s, 1 thread", "torch", ratio, detail


def _session(path: Path, exported: Exported, clip: ClipSet) -> partial[Any]:
    """A call that scores the clip, with all variants."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    samples = clip.samples(0).astype(np.float32) / np.float32(FULL_SCALE)
    inputs = {"samples": samples[None, : exported.samples]}
    if exported.ids:
        inputs["id"] = np.array([exported.ids.index(f"fan/{clip.frame['id'].iloc[0]}")])
    return partial(session.run, None, inputs)
