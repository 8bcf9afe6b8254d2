from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score

from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import Context
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.pseudo_labels import (
    LABELS,
    METHODS,
    Rows,
    clustered,
    codebook,
    principal_components,
    spectrum_statistics,
    training_classes,
    why_no_classes,
)
from asd_ray.errors import AsdRayError

MakeBank = Callable[[dict[str, npt.NDArray[np.floating]]], Bank]
PITCHES = (200, 700, 2500)  # Hz


@pytest.fixture
def rows() -> Rows:
    return np.random.default_rng(0).normal(size=(60, 5)) * [3, 2, 1, 1, 1]


def planted(draw: np.random.Generator, counts: tuple[int, ...]) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Rows around centres that are ten deviations apart, in a random order, and the centre of each."""
    truth = draw.permutation(np.repeat(np.arange(len(counts)), counts))
    return draw.normal(size=(len(truth), 4)) + 10 * np.eye(4, k=0)[truth % 4] * (1 + truth[:, None] // 4), truth


def with_labels(clips: ClipSet, **columns: Any) -> ClipSet:
    """The same sound with other ids or attributes."""
    bank = copy.copy(clips.bank)
    bank.frame = clips.bank.frame.assign(**columns)
    return ClipSet(bank, clips.rows)


@pytest.fixture
def hums(bank_of: MakeBank) -> ClipSet:
    """Twelve clips of one id without attributes that hum at three pitches, at random levels."""
    draw, time = np.random.default_rng(0), np.arange(8000) / 16_000
    waves = {}
    for number in range(12):
        hum = np.sin(2 * np.pi * PITCHES[number % 3] * draw.uniform(0.98, 1.02) * time)
        name = f"fan/train/section_00_source_train_normal_{number:04d}_noAttribute"
        waves[name] = draw.uniform(0.05, 0.3) * (hum + draw.normal(0, 0.1, len(time)))
    return bank_of(waves).select()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("counts", [(20, 20), (5, 30, 12), (9, 1, 9, 9, 9)])
def test_planted_clusters_are_found(method: str, counts: tuple[int, ...]) -> None:
    for seed in range(3):
        rows, truth = planted(np.random.default_rng(seed), counts)
        assert adjusted_rand_score(clustered(rows, len(counts), method, seed), truth) == 1


def test_two_methods_are_those_of_scikit_learn(rows: Rows) -> None:
    for clusters in (2, 7, 16):
        theirs = KMeans(clusters, n_init=10, random_state=3).fit_predict(rows)
        assert adjusted_rand_score(clustered(rows, clusters, "kmeans", 3), theirs) == 1
        theirs = AgglomerativeClustering(clusters, linkage="ward").fit_predict(rows)
        assert adjusted_rand_score(clustered(rows, clusters, "ward", 3), theirs) == 1


@pytest.mark.parametrize("size", [1, 2, 5, 13])
def test_a_codebook_has_the_means_of_its_cells(rows: Rows, size: int) -> None:
    codes = codebook(rows, size)
    distances = ((rows[:, None] - codes) ** 2).sum(2)
    assert codes.shape == (size, 5)
    for number in range(size):
        np.testing.assert_allclose(rows[distances.argmin(1) == number].mean(0), codes[number])
    best = KMeans(size, n_init=10, random_state=0).fit(rows).inertia_
    assert distances.min(1).sum() <= 1.2 * best


@pytest.mark.parametrize("method", METHODS)
def test_numbers_follow_the_clips_and_depend_on_nothing_else(method: str, rows: Rows) -> None:
    first = clustered(rows, 6, method, 1)
    np.testing.assert_array_equal(first, clustered(rows.copy(), 6, method, 1))
    assert [*dict.fromkeys(first.tolist())] == [*range(6)]
    assert (method == "kmeans") == any((clustered(rows, 12, method, seed) != clustered(rows, 12, method, 1)).any()
                                       for seed in range(2, 6))  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("different", [1, 2, 3])
def test_equal_rows_share_a_cluster(method: str, different: int) -> None:
    rows = np.random.default_rng(0).normal(size=(different, 4))[np.arange(20) % different]
    found = clustered(rows, 8, method, 0)
    assert len(set(found.tolist())) == different
    np.testing.assert_array_equal(found, np.arange(20) % different)


def test_components_keep_the_distances_between_clips() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(40, 3)) @ draw.normal(size=(3, 30)) * draw.uniform(0.1, 50, 30) + 7
    found = principal_components(rows)
    assert found.shape == (40, 16)
    assert found[:, 3:] == pytest.approx(0, abs=1e-5)  # three directions are all that vary
    np.testing.assert_allclose(pdist(found), pdist(rows), rtol=1e-5)
    assert [*found.std(0)] == sorted(found.std(0), reverse=True)
    assert principal_components(rows[:1]).shape == (1, 1)


def test_statistics_do_not_depend_on_the_level(context: Context, bank_of: MakeBank) -> None:
    name = "fan/train/section_00_source_train_normal_{:04d}_noAttribute"
    wave = np.random.default_rng(0).normal(0, 0.05, 8000)
    quiet, loud = spectrum_statistics(bank_of({name.format(20): wave, name.format(21): 2 * wave}).select(), context)[
        -2:
    ]
    np.testing.assert_allclose(quiet, loud, atol=0.05)


@pytest.mark.parametrize("labels", LABELS)
def test_clips_of_one_class_are_told_apart_by_their_sound(labels: str, hums: ClipSet, context: Context) -> None:
    classes, numbers = training_classes(hums, context, labels, 3)
    assert classes.names == ["fan/00/~0", "fan/00/~1", "fan/00/~2"]
    assert numbers.tolist() == [0, 1, 2] * 4
    assert classes.allowed(hums.frame).all()
    assert any(Path(context.features.folder).iterdir())  # type: ignore[attr-defined]  # the log-mels are kept
    again, same = training_classes(hums, context, labels, 3)
    assert (again.names, same.tolist()) == (classes.names, numbers.tolist())


@pytest.mark.parametrize("rate", [4_000, 8_000, 44_100])
def test_sound_of_another_rate_is_clustered(rate: int, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, seconds=0.3, rate=rate)
    train = workspace.bank("plain").select(split="train")
    hidden = with_labels(train, id="00", attributes="{}")
    _, numbers = training_classes(hidden, workspace.context(), "real", 2)
    ids = train.frame["id"].to_numpy()
    assert adjusted_rand_score(numbers.numpy(), ids) == 1


def test_real_classes_are_kept_where_there_are_some(hums: ClipSet, context: Context) -> None:
    ids = with_labels(hums, id=[f"{number % 2:02d}" for number in range(12)])
    both = with_labels(hums, attributes=['{"v": "1"}', '{"v": "2"}'] * 6)
    for clips in (ids, both):
        classes, numbers = training_classes(clips, context)
        expected = Classes.from_clips(clips.frame)
        assert (classes.names, numbers.tolist()) == (expected.names, expected.labels(clips.frame).tolist())
    assert training_classes(hums, context, at_least=1)[0].names == ["fan/00"]  # enough for a family with warps


def test_a_method_splits_what_has_no_attributes(hums: ClipSet, context: Context) -> None:
    mixed = with_labels(
        hums,
        id=["00"] * 6 + ["01"] * 6,
        attributes=['{"v": "1"}', '{"v": "2"}', "{}", "{}", "{}", "{}"] + ['{"v": "1"}'] * 6,
    )
    classes, numbers = training_classes(mixed, context, "ward", 3)
    assert classes.names == [
        *('fan/00/{"v": "1"}', 'fan/00/{"v": "2"}', "fan/00/~0", "fan/00/~1", "fan/00/~2"),
        *("fan/01/~0", "fan/01/~1", "fan/01/~2"),  # whose attributes tell nothing apart
    ]
    assert numbers.tolist() == [0, 1, 2, 3, 4, 2, 5, 6, 7, 5, 6, 7]
    assert classes.allowed(mixed.frame).sum(1).tolist() == [5] * 6 + [3] * 6


def test_machines_of_one_id_are_split_each_by_itself(hums: ClipSet, context: Context) -> None:
    two = with_labels(hums, machine=["fan"] * 6 + ["pump"] * 6)
    assert training_classes(two, context)[0].names == ["fan/00", "pump/00"]
    names = training_classes(two, context, "vq", 2)[0].names
    assert names == ["fan/00/~0", "fan/00/~1", "pump/00/~0", "pump/00/~1"]


@pytest.mark.parametrize("labels", LABELS)
def test_clips_that_are_all_the_same_are_one_class(labels: str, context: Context, bank_of: MakeBank) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 4000)
    names = [f"fan/train/section_00_source_train_normal_{number:04d}_noAttribute" for number in range(3)]
    clips = bank_of(dict.fromkeys(names, wave)).select()
    with pytest.raises(AsdRayError, match="^fan/00: it learns to tell .* all training clips sound the same; record"):
        training_classes(clips, context, labels)
    assert "sound the same" in why_no_classes(clips.frame)
    with pytest.raises(AsdRayError, match=r"at least 2 classes but got 0 \(no clips\)"):
        training_classes(clips.take(np.zeros(3, bool)), context, labels)


def test_what_can_be_clustered_suits(hums: ClipSet) -> None:
    frame = hums.frame
    assert why_no_classes(frame) == ""
    assert why_no_classes(frame.drop(columns="digest")) == ""
    assert "a single training clip" in why_no_classes(frame.iloc[:1])
    assert why_no_classes(frame.iloc[:1], at_least=1) == ""
    twice = pd.concat([frame.iloc[:1], frame.iloc[:1].assign(id="01")])
    assert why_no_classes(twice) == ""  # two ids
