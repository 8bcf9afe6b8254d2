"""PCA residual, MemMixup, domain normalisation, bands and K by cluster exit, against what they must equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn.functional import normalize

from asd_ray.detectors.parts.backends import (
    BACKENDS,
    Backend,
    BandKnn,
    DomainKnn,
    ExitKnn,
    Knn,
    MixedKnn,
    PcaResidual,
    distances,
)
from asd_ray.errors import AsdRayError

NEW: dict[str, Backend] = {name: BACKENDS[name] for name in ("pca", "knn_mix", "knn_dn", "bands", "knn_exit")}


def rows(count: int, seed: int = 0, dimensions: int = 8) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def last(count: int, of: int) -> Tensor:
    """The last `count` clips are of the target domain."""
    return torch.arange(of) >= of - count


def scored(backend: Backend, bank: Tensor, test: Tensor, target: Tensor | None = None) -> npt.NDArray[np.float64]:
    learned = backend.learn(bank, last(0, len(bank)) if target is None else target, 0)
    return backend.score(learned, test).numpy()


def own_distances(bank: Tensor) -> npt.NDArray[np.float64]:
    """The cosine distance of each clip to the nearest other."""
    apart = distances(bank.double(), bank.double(), "cosine").numpy()
    np.fill_diagonal(apart, np.inf)
    return apart.min(1)


def deviations(bank: Tensor, test: Tensor) -> npt.NDArray[np.float64]:
    """The distance of each test clip to the nearest of `bank`, in deviations of the bank's own distances."""
    own = own_distances(bank)
    return (scored(Knn(), bank, test) - own.mean()) / own.std()


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
@pytest.mark.parametrize(("clips", "dimensions"), [(200, 8), (60, 100)])
def test_pca_matches_scikit_learn(share: float, clips: int, dimensions: int) -> None:
    spread = torch.logspace(1, -1, dimensions)
    bank, test = rows(clips, 0, dimensions) * spread + 3, rows(30, 1, dimensions) * spread * 2
    theirs = PCA(share, svd_solver="full").fit(bank.double())
    if theirs.n_components_ > (clips - 1) // 2:
        theirs = PCA((clips - 1) // 2, svd_solver="full").fit(bank.double())
    rebuilt = theirs.inverse_transform(theirs.transform(test.double()))
    expected = np.linalg.norm(test.double().numpy() - rebuilt, axis=1)
    np.testing.assert_allclose(scored(PcaResidual(share=share), bank, test), expected, rtol=1e-7)


@pytest.mark.parametrize("clips", [1, 2])
def test_pca_of_one_or_two_clips_is_the_distance_to_their_mean(clips: int) -> None:
    bank, test = rows(clips), rows(9, 1)
    expected = (test - bank.mean(0)).double().norm(dim=1).numpy()
    np.testing.assert_allclose(scored(PcaResidual(), bank, test), expected, rtol=1e-6)


def test_pca_leaves_out_what_the_training_clips_vary_in() -> None:
    bank = torch.cat([rows(50, dimensions=2) * 10, rows(50, 1, 6) / 10], 1)
    along, across = torch.zeros(1, 8), torch.zeros(1, 8)
    along[0, :2], across[0, 7] = 8, 8
    residuals = scored(PcaResidual(), bank, torch.cat([along, across]))
    assert residuals[1] > 20 * residuals[0]


@pytest.mark.parametrize("k", [1, 3])
def test_mixing_without_target_clips_or_with_the_weight_one_is_knn(k: int) -> None:
    bank, test = rows(40), rows(30, 1)
    plain = scored(Knn(k=k), bank, test)
    np.testing.assert_array_equal(scored(MixedKnn(k=k), bank, test), plain)
    np.testing.assert_array_equal(scored(MixedKnn(k=k), bank, test, last(40, 40)), plain)  # no source clips either
    np.testing.assert_array_equal(scored(MixedKnn(k=k, weight=1), bank, test, last(5, 40)), plain)


def test_each_target_clip_is_mixed_with_its_nearest_source_clips() -> None:
    source, own = rows(20), rows(3, 1)
    memory = MixedKnn(weight=0.75, neighbours=2).learn(torch.cat([source, own]), last(3, 23), 0)["bank"]
    assert memory.dtype == torch.float32
    assert torch.equal(memory[:23], torch.cat([source, own]))
    expected = []
    for clip in own:
        order = distances(clip[None].double(), source.double(), "cosine")[0].argsort()
        expected += [0.75 * clip + 0.25 * source[position] for position in order[:2]]
    torch.testing.assert_close(memory[23:], torch.stack(expected))


def test_mixtures_bring_clips_between_the_domains_nearer() -> None:
    source, own = rows(60) / 4 + torch.eye(8)[0] * 3, rows(4, 1) / 4 + torch.eye(8)[1] * 3
    between = source[:10] * 0.1 + own[:1] * 0.9
    bank, target = torch.cat([source, own]), last(4, 64)
    plain, mixed = scored(Knn(), bank, between, target), scored(MixedKnn(neighbours=20), bank, between, target)
    assert (mixed <= plain).all()
    assert mixed.mean() < 0.8 * plain.mean()


@pytest.mark.parametrize("target", [0, 40])
def test_normalisation_of_one_domain_is_its_standardised_distance(target: int) -> None:
    bank, test = rows(40), rows(30, 1)
    actual = scored(DomainKnn(), bank, test, last(target, 40))
    np.testing.assert_allclose(actual, deviations(bank, test), rtol=1e-9)
    np.testing.assert_array_equal(actual.argsort(), scored(Knn(), bank, test).argsort())


def test_the_smaller_of_both_domains_counts_in_its_own_unit() -> None:
    centres = torch.eye(8) * 3
    narrow, wide = rows(30) / 20 + centres[0], rows(12, 1) / 2 + centres[1]
    test = torch.cat([rows(30, 2) / 20 + centres[0], rows(12, 3) / 2 + centres[1]])
    actual = scored(DomainKnn(), torch.cat([narrow, wide]), test, last(12, 42))
    np.testing.assert_allclose(actual, np.minimum(deviations(narrow, test), deviations(wide, test)), rtol=1e-9)
    plain = scored(Knn(), torch.cat([narrow, wide]), test)
    assert plain[30:].mean() > 10 * plain[:30].mean()  # in one unit, clips of the wide domain look anomalous
    assert abs(actual[30:].mean() - actual[:30].mean()) < 2


def test_a_domain_of_one_clip_has_the_unit_of_the_other() -> None:
    bank, test = rows(21), rows(30, 1)
    own = own_distances(bank[:20])
    nearest = np.minimum(scored(Knn(), bank[:20], test), scored(Knn(), bank[20:], test))
    actual = scored(DomainKnn(), bank, test, last(1, 21))
    np.testing.assert_allclose(actual, (nearest - own.mean()) / own.std(), rtol=1e-9)


def banded(bank: Tensor, test: Tensor, cuts: list[tuple[int, int]]) -> npt.NDArray[np.float64]:
    """A plain loop over the bands of embeddings of length 1."""
    bank, test = normalize(bank.double()), normalize(test.double())
    by_band = []
    for first, end in cuts:
        own = torch.cdist(bank[:, first:end], bank[:, first:end]).fill_diagonal_(torch.inf).amin(1)
        apart = torch.cdist(test[:, first:end], bank[:, first:end]).amin(1)
        by_band.append(((apart - own.mean()) / max(own.std(correction=0), 0.1 * own.mean())).numpy())
    return np.mean(by_band, axis=0)


def test_one_band_ranks_clips_as_the_cosine_distance() -> None:
    bank, test = rows(40), rows(30, 1)
    actual = scored(BandKnn(bands=1), bank, test)
    np.testing.assert_allclose(actual, banded(bank, test, [(0, 8)]), rtol=1e-7)
    np.testing.assert_array_equal(actual.argsort(), scored(Knn(), bank, test).argsort())


@pytest.mark.parametrize(("width", "bands", "ends"), [(8, 2, [4]), (7, 3, [2, 4]), (3, 9, [1, 2]), (257, 2, [128])])
def test_bands_are_consecutive_parts_of_any_width(width: int, bands: int, ends: list[int]) -> None:
    bank, test = rows(40, 0, width) + 1, rows(30, 1, width) + 1
    cuts = [*zip([0, *ends], [*ends, width], strict=True)]
    np.testing.assert_allclose(scored(BandKnn(bands=bands), bank, test), banded(bank, test, cuts), rtol=1e-7)


def test_a_fault_in_a_quiet_band_counts_as_much_as_one_in_a_loud_band() -> None:
    loudness = torch.tensor([10.0] * 4 + [0.1] * 4)
    bank, normal, faulty = rows(200) * loudness, rows(40, 2), rows(40, 2)
    faulty[:, 4:] = rows(40, 1)[:, 4:] * 5
    by_band, plain = (
        [scored(backend, bank, test * loudness).mean() for test in (normal, faulty)]
        for backend in (BandKnn(bands=2), Knn())
    )
    assert by_band[1] > by_band[0] + 3
    assert plain[1] < 1.2 * plain[0]


@pytest.mark.parametrize("clips", [1, 2, 9, 60, 300])
def test_cluster_exit_is_knn_with_the_chosen_k(clips: int) -> None:
    bank, test, backend = rows(clips), rows(30, 1), ExitKnn(clusters=3)
    learned = backend.learn(bank, last(0, clips), 0)
    k = int(learned["k"])
    assert 1 <= k <= max(1, min(backend.most, clips - 1))
    np.testing.assert_array_equal(backend.score(learned, test).numpy(), scored(Knn(k=k), bank, test))


def test_k_is_the_median_of_the_neighbours_before_one_of_another_cluster() -> None:
    bank = rows(90)
    unit = normalize(bank.double()).numpy()
    labels = KMeans(4, n_init=1, random_state=7).fit(unit).labels_
    apart, runs = 1 - unit @ unit.T, []
    for i in range(90):
        order = [j for j in np.argsort(apart[i]) if j != i]
        runs.append(next(at for at, j in enumerate(order) if labels[j] != labels[i]))
    expected = sorted(runs)[44]  # the lower one of the two in the middle
    assert int(ExitKnn(clusters=4, most=89).learn(bank, last(0, 90), 7)["k"]) == max(1, expected)


def test_clear_clusters_have_a_k_of_their_size() -> None:
    """Three groups of 11 clips: each has ten neighbours before one of another group."""
    bank = torch.eye(8)[:3].repeat(11, 1) * 9 + rows(33) / 10
    assert int(ExitKnn(clusters=3).learn(bank, last(0, 33), 0)["k"]) == 10
    assert int(ExitKnn(clusters=3, most=4).learn(bank, last(0, 33), 0)["k"]) == 4
    assert int(ExitKnn(clusters=1).learn(bank, last(0, 33), 0)["k"]) == 32


@pytest.mark.parametrize("target", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
def test_scores_are_finite_for_any_split_into_domains(target: int, size: float) -> None:
    equal = rows(1, dimensions=5).repeat(6, 1)
    for bank in (rows(6, dimensions=5), equal, torch.cat([equal[:3], rows(3, 1, 5)]), torch.zeros(6, 5)):
        test = torch.cat([bank, rows(9, 2, 5), torch.zeros(1, 5)])
        for name, backend in NEW.items():
            scores = scored(backend, bank * size, test * size, last(target, 6))
            assert scores.dtype == np.float64, name
            assert np.isfinite(scores).all(), name


@pytest.mark.parametrize("backend", NEW.values(), ids=[*NEW])
def test_the_same_seed_gives_the_same_scores(backend: Backend) -> None:
    first, again = (scored(backend, rows(60), rows(9, 1), last(6, 60)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("backend", "settings", "message"),
    [
        (PcaResidual, {"share": 1.0}, "share of PcaResidual must be above 0 and below 1 but got 1.0"),
        (MixedKnn, {"weight": 0.0}, "weight of MixedKnn must be above 0 and at most 1 but got 0.0"),
        (MixedKnn, {"neighbours": 0}, "neighbours of MixedKnn must be a whole number of at least 1"),
        (DomainKnn, {"metric": "dot"}, "metric of DomainKnn must be 'cosine' or 'euclidean' but got 'dot'"),
        (BandKnn, {"bands": 0}, "bands of BandKnn must be a whole number of at least 1 but got 0"),
        (ExitKnn, {"most": 0}, "most of ExitKnn must be a whole number of at least 1 but got 0"),
    ],
)
def test_settings_are_checked(backend: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        backend(**settings)
