"""What the tests of ONNX share: small fitted detectors, and what counts as the same score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from asd_ray.clips.bank import ClipSet, open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.deploy.onnx import Exported, export
from asd_ray.detectors import Context, Detector
from asd_ray.detectors.parts import training
from asd_ray.families import family
from asd_ray.features import FeatureCache
from asd_ray.features._base import FULL_SCALE

BACKENDS = "knn_ldn,kmeans,gmm,pca,knn_dn,bands"  # test_score_nets has the others
SMALL: dict[str, dict[str, Any]] = {  # settings that are fitted and exported in seconds
    "aegan_ad": {"hop": 8, "channels": 4, "latent": 8},
    "anogan": {"hop": 8, "channels": 4, "latent": 8},
    "autoencoder": {"hidden": 16, "layers": 2},
    "complex_net": {"width_factor": 0.1, "test_hop": 16, "backends": "maha,lof"},
    "embedding_knn": {"seconds": 2.0, "sub_clusters": 4, "backends": BACKENDS},
    "flow_aff": {"hidden": 32, "blocks": 2},
    "ganomaly": {"channels": 4, "latent": 8},
    "group_made": {"hidden": 16, "bottleneck": 8, "components": 3},
    "id_classifier": {"frames": 32, "hop": 32, "test_hop": 32, "backends": "knn"},
    "idnn": {"hidden": 16},
    "stgram": {"seconds": 2.0, "net": "mobilefacenet_2023", "backends": "cos"},
    "twfr_gmm": {},
}
SECONDS = 4.2  # of a clip: a window of 128 frames and some more

New = Callable[..., Detector]
Written = Callable[[str], tuple[Path, Exported]]


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """Each test runs on one thread."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipSet, ClipSet]:
    """Training clips of two ids of the demo set's fan, and test clips with and without faults."""
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder / "data", size="tiny", machines=["fan"], seconds=SECONDS, supplemental=True)
    bank = open_bank(folder / "data", cache=folder / "cache", workers=1)
    train, test = (bank.select(split=split) for split in ("train", "test"))
    train, test = (clips.take(clips.frame["id"].isin(["00", "02"]).to_numpy()) for clips in (train, test))
    return train.take(np.arange(0, len(train), 2)), test.take(np.arange(0, len(test), 3))


@pytest.fixture(scope="session")
def strangers(demo: tuple[ClipSet, ClipSet], tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    """The test clips under an id that was not in training."""
    folder = tmp_path_factory.mktemp("strangers")
    place = folder / "data" / "dev_data" / "fan" / "test"
    place.mkdir(parents=True)
    for number in range(len(demo[1])):
        name = f"section_99_source_test_normal_{number:04d}_vel_1.wav"
        soundfile.write(place / name, demo[1].samples(number), 16_000, subtype="PCM_16")
    return open_bank(folder / "data", cache=folder / "cache", workers=1).select(split="test")


@pytest.fixture(scope="session")
def fitted(demo: tuple[ClipSet, ClipSet], tmp_path_factory: pytest.TempPathFactory) -> New:
    """``fitted("idnn", frames=3)``: a detector of one epoch. The same settings are fitted once.

    With `only_id` it learns from the clips of this id, as of a machine that has one.
    """
    cache, known = FeatureCache(tmp_path_factory.mktemp("features")), {}

    def new(name: str, only_id: str = "", **params: Any) -> Detector:
        key = name, only_id, *sorted(params.items())
        train = demo[0].take((demo[0].frame["id"] == only_id).to_numpy()) if only_id else demo[0]
        if key not in known:
            kind = family(name)
            small = {"epochs": 1, "batch_size": 16, **SMALL[name], **params}
            own = {parameter: value for parameter, value in small.items() if parameter in kind.parameters}
            detector: Detector = kind.detector(Context(features=cache), **own)
            for _ in detector.fit(train):
                pass
            known[key] = _with_settled_norms(detector, train)
        return known[key]

    return new


@pytest.fixture(scope="session")
def exported(fitted: New, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """``exported("idnn")``: the file of a fitted detector with all its variants, written once."""
    folder, known = tmp_path_factory.mktemp("exported"), {}

    def write(name: str) -> tuple[Path, Exported]:
        if name not in known:
            known[name] = export(fitted(name), folder / f"{name}.onnx")
        return folder / f"{name}.onnx", known[name]

    return write


def _with_settled_norms(detector: Detector, train: ClipSet) -> Detector:
    """A classifier whose batch normalisations have the statistics of the training clips.

    After one epoch their averages are still near their initial values. All embeddings are then nearly the same, and a
    distance between two of them is rounding.
    """
    classifier = getattr(getattr(detector, "_fitted", None), "classifier", None)
    if classifier is None:
        return detector
    for module in classifier.net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    gather, windows = classifier.inputs(train)
    with torch.no_grad():
        classifier.net.train()(gather(training.window_starts(windows)))
    classifier.train, classifier.fitted_backends = train, None
    classifier._fit_backends()
    return detector


def waves_of(clips: ClipSet, samples: int | None = None) -> npt.NDArray[np.float32]:
    """[clips, samples] in [-1, 1), the input of a graph."""
    waves = np.stack([clips.samples(i) for i in range(len(clips))])[:, :samples]
    return waves.astype(np.float32) / np.float32(FULL_SCALE)


def id_numbers(clips: ClipSet, ids: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The input `id` of a graph."""
    own = clips.frame["machine"] + "/" + clips.frame["id"]
    return np.array([ids.index(id) if id in ids else -1 for id in own])


def assert_same(variant: str, scores: npt.ArrayLike, of_detector: npt.ArrayLike) -> None:
    """Equal to 1e-4 of the score or of the span of all scores: log odds and differences may be near 0."""
    expected = np.asarray(of_detector, np.float64)
    assert np.ptp(expected) > 0, f"{variant}: all clips have the same score, which compares nothing"
    allowed = 1e-4 * (np.abs(expected) + np.ptp(expected))
    worst = float((np.abs(np.asarray(scores, np.float64) - expected) / allowed).max())
    assert worst <= 1, f"{variant}: a score differs by {worst:.3g} times what is allowed"
