"""Fine-tuning on clusters of the encoder's own embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from optuna.trial import FixedTrial
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score

from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.detectors import Context, family
from asd_ray.detectors.encoders.embedded import Embedded
from asd_ray.detectors.encoders.loading import encoder_name, load_encoder
from asd_ray.detectors.families.finetuned import Finetuned
from asd_ray.detectors.parts.pseudo_labels import METHODS
from asd_ray.families.drawing import draw, paper_draw, redraw

from ...tiny_encoders import save_tiny

MakeBank = Callable[[dict[str, npt.NDArray[np.floating]]], Bank]
SAMPLES = 18 * 512  # the frames of a clip backwards are those of the clip, in reverse order
RISES = np.arange(16) % 2 == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ast")
    save_tiny("ast", folder, config={"max_length": 64, "num_hidden_layers": 2})
    return folder


@pytest.fixture
def tuning(context: Context, folder: Path) -> Callable[..., Finetuned]:
    def new(**params: Any) -> Finetuned:
        own = replace(context, weights={"ast": str(folder)}, seed=3)
        small: dict[str, Any] = {"encoder": "ast", "rank": 2, "epochs": 1, "seconds": 0.57, "backends": "knn"}
        return Finetuned(own, **{**small, "pretrained": encoder_name("ast", str(folder)), **params})

    return new


@pytest.fixture
def sweeps(bank_of: MakeBank) -> ClipSet:
    """Clips of one id without attributes: sweeps that rise, and sweeps that fall because they are played backwards."""
    draw, time, waves = np.random.default_rng(0), np.arange(SAMPLES) / SAMPLES, {}
    for number, rises in enumerate(RISES):
        pitch = 300 + draw.uniform(2950, 3050) * time
        wave = 0.1 * np.sin(2 * np.pi * np.cumsum(pitch) / 16_000) + draw.normal(0, 0.005, SAMPLES)
        waves[f"fan/train/section_00_source_train_normal_{number:04d}_noAttribute"] = wave if rises else wave[::-1]
    return bank_of(waves).select()


@pytest.mark.parametrize("labels", ["real", *METHODS])
def test_groups_that_only_the_embedding_tells_apart_are_found(
    tuning: Callable[..., Finetuned], sweeps: ClipSet, labels: str
) -> None:
    found = {}
    for by in ("spectrum", "embedding"):
        detector = tuning(labels=labels, clusters=2, cluster_by=by, layer=0.0)
        assert detector.suits(sweeps.frame) == ""
        classes, numbers = detector._classes(sweeps)
        assert classes.names == ["fan/00/~0", "fan/00/~1"]
        found[by] = adjusted_rand_score(RISES, numbers.numpy())
    assert found["embedding"] == 1
    assert found["spectrum"] < 0.5


def test_it_trains_on_these_classes(tuning: Callable[..., Finetuned], sweeps: ClipSet) -> None:
    detector, other = (tuning(labels="ward", clusters=2, cluster_by=by) for by in ("embedding", "spectrum"))
    losses = [next(iter(each.fit(sweeps))).losses["train"] for each in (detector, other)]
    assert losses[0] != losses[1]
    again = tuning(labels="ward", clusters=2, cluster_by="embedding")
    again.load(detector.state())
    np.testing.assert_array_equal(again.score(sweeps)["nll"], detector.score(sweeps)["nll"])


@pytest.mark.parametrize("layer", [0.0, 1.0])
def test_what_is_clustered_is_the_mean_frame_of_the_layer(
    tuning: Callable[..., Finetuned], sweeps: ClipSet, layer: float
) -> None:
    detector = tuning(layer=layer)
    encoder = load_encoder(detector.pretrained, detector.context.weights)
    sounds = torch.from_numpy(np.stack([sweeps.samples(i) for i in range(len(sweeps))])) / 32768
    with torch.inference_mode():
        expected = encoder(sounds)[:, int(layer)].mean(1).numpy()
    np.testing.assert_allclose(detector._encoder.clip_means(sweeps, layer), expected, atol=1e-3)


@pytest.mark.parametrize("clusters", [2, 5])
def test_clusters_are_those_of_scikit_learn_on_these_rows(
    tuning: Callable[..., Finetuned], sweeps: ClipSet, clusters: int
) -> None:
    rows = tuning()._encoder.clip_means(sweeps, 1.0)
    theirs = {
        "kmeans": KMeans(clusters, n_init=10, random_state=3).fit_predict(rows),
        "ward": AgglomerativeClustering(clusters, linkage="ward").fit_predict(rows),
    }
    for labels, expected in theirs.items():
        _, numbers = tuning(labels=labels, clusters=clusters, cluster_by="embedding")._classes(sweeps)
        assert adjusted_rand_score(expected, numbers.numpy()) == 1


def test_the_encoder_hears_each_clip_once(
    tuning: Callable[..., Finetuned], sweeps: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning(labels="ward", cluster_by="embedding")._classes(sweeps)
    monkeypatch.delattr(Embedded, "transform")
    tuning(labels="kmeans", clusters=4, cluster_by="embedding", layer=0.0)._classes(sweeps)


def test_earlier_trials_keep_their_parameters() -> None:
    """A trial whose clips are clustered by their spectrum does not name `cluster_by`."""
    tested = family("finetuned")
    space = tested.search_space()
    assert "cluster_by" not in paper_draw(space, tested)
    stored = space.paper | {"labels": "ward", "clusters": 16}
    assert draw(space, FixedTrial({**stored, **space.later})) == stored
    found = redraw(space, stored)
    assert found is not None
    assert (found.params, found.suggested["cluster_by"]) == (stored, "spectrum")
    new = stored | {"cluster_by": "embedding"}
    assert draw(space, FixedTrial({**space.later, **new})) == new
