from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from torch import Tensor

from asd_ray.clips.bank import Bank
from asd_ray.detectors.parts.backends import (
    BACKENDS,
    Backend,
    Backends,
    Gmm,
    KMeansTarget,
    Knn,
    Lof,
    Mahalanobis,
    MeanCosine,
    gaussians,
    ids_of,
    parse_backends,
    targets_of,
)
from asd_ray.detectors.parts.mixtures import fit_mixture, log_densities
from asd_ray.errors import AsdRayError

EVERY: dict[str, Backend] = {
    **BACKENDS,
    "euclidean": Knn(k=2, metric="euclidean", normalised=True),
    "diag": Gmm(covariance="diag"),
}


DOMAINS = ("source", "target")


def rows(count: int, seed: int = 0, dimensions: int = 8) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def none(count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.bool)


def scored(backend: Backend, bank: Tensor, test: Tensor, target: Tensor | None = None) -> npt.NDArray[np.float64]:
    learned = backend.learn(bank, none(len(bank)) if target is None else target, 0)
    actual = backend.score(learned, test)
    assert actual.shape == (len(test),)
    assert actual.dtype == torch.float64
    return actual.numpy()


def fitted(bank: Tensor, ids: list[str], **settings: Any) -> Backends:
    actual = Backends(EVERY, **settings)
    actual.fit(bank, ids, torch.arange(len(bank)) % 4 == 0)
    return actual


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_knn_matches_scikit_learn(metric: str, k: int) -> None:
    bank, test = rows(300), rows(400, 1)
    theirs = NearestNeighbors(n_neighbors=k, metric=metric).fit(bank.double()).kneighbors(test.double())[0]
    np.testing.assert_allclose(scored(Knn(k=k, metric=metric), bank, test), theirs.mean(1), rtol=1e-9)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k", "density_k"), [(1, 4), (3, 2)])
def test_local_density_normalisation_matches_a_plain_loop(metric: str, k: int, density_k: int) -> None:
    bank, test = rows(40).double().numpy(), rows(9, 1).double().numpy()

    def distance(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
        if metric == "euclidean":
            return math.dist(a, b)
        return 1 - float(sum(a * b)) / math.sqrt(sum(a * a) * sum(b * b))

    densities = []
    for i, one in enumerate(bank):
        to_others = sorted(distance(one, other) for j, other in enumerate(bank) if j != i)
        densities.append(sum(to_others[:density_k]) / density_k)
    expected = []
    for clip in test:
        ratios = sorted(distance(clip, one) / density for one, density in zip(bank, densities, strict=True))
        expected.append(sum(ratios[:k]) / k)
    backend = Knn(k=k, metric=metric, normalised=True, density_k=density_k)
    actual = scored(backend, torch.from_numpy(bank), torch.from_numpy(test))
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_a_density_uses_at_most_all_neighbours() -> None:
    few, many = (scored(Knn(normalised=True, density_k=k), rows(3), rows(9, 1)) for k in (2, 10))
    np.testing.assert_array_equal(few, many)


def test_local_density_normalisation_makes_a_wide_and_a_narrow_domain_comparable() -> None:
    """The same clips, with distances ten times as large in one domain."""
    wide, far = rows(50, dimensions=4), torch.tensor([100.0, 0, 0, 0])
    bank, test = torch.cat([wide, wide / 10 + far]), rows(20, 1, 4) * 2
    for normalised, ratio in ((False, 10), (True, 1)):
        backend = Knn(metric="euclidean", normalised=normalised)
        actual = scored(backend, bank, torch.cat([test, test / 10 + far]))
        np.testing.assert_allclose(actual[:20] / actual[20:], ratio, rtol=1e-3)


@pytest.mark.parametrize(("clips", "k"), [(300, 4), (300, 1), (300, 20), (2, 4), (3, 4), (5, 4), (6, 4)])
def test_lof_matches_scikit_learn(clips: int, k: int) -> None:
    bank, test = rows(clips), torch.cat([rows(300, 1), rows(1)])
    theirs = LocalOutlierFactor(min(k, clips), metric="cosine", novelty=True).fit(bank.double())
    np.testing.assert_allclose(scored(Lof(k=k), bank, test), -theirs.score_samples(test.double().numpy()), rtol=1e-7)


def test_lof_of_duplicates_matches_scikit_learn() -> None:
    bank, test = torch.cat([rows(1).repeat(9, 1), rows(40, 1)]), torch.cat([rows(30, 2), rows(1)])
    theirs = LocalOutlierFactor(4, metric="cosine", novelty=True).fit(bank.double())
    actual = scored(Lof(), bank, test)
    np.testing.assert_allclose(actual, -theirs.score_samples(test.double().numpy()), rtol=1e-4)
    assert actual[-1] == pytest.approx(1)


def test_mahalanobis_matches_scikit_learn_with_the_unbiased_covariance() -> None:
    bank = rows(200) @ rows(8, 5) + 3
    test = rows(50, 1) * 4
    actual = scored(Mahalanobis(), bank, test)
    squared = EmpiricalCovariance().fit(bank.double()).mahalanobis(test.double())
    np.testing.assert_allclose(actual, np.sqrt(squared * 199 / 200), rtol=1e-7)
    away, inverse = (test - bank.mean(0)).double().numpy(), np.linalg.inv(np.cov(bank.double().numpy().T))
    np.testing.assert_allclose(actual, np.sqrt(np.einsum("nd,de,ne->n", away, inverse, away)), rtol=1e-4)


def test_mahalanobis_scores_directions_that_no_reference_has() -> None:
    bank = torch.cat([rows(5, dimensions=4), torch.zeros(5, 4)], 1)  # always zero in the last four dimensions
    within = bank.mean(0) + torch.cat([bank[0, :4] - bank[:, :4].mean(0), torch.zeros(4)])
    foreign = within + torch.tensor([0.0] * 7 + [0.1])
    normal, anomalous = scored(Mahalanobis(), bank, torch.stack([within, foreign]))
    assert anomalous > 10 * normal


@pytest.mark.parametrize("bank", [rows(5), rows(1), rows(1).repeat(4, 1)], ids=["few", "one", "equal"])
def test_mahalanobis_of_wide_embeddings_keeps_only_the_axes_of_the_references(
    bank: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = torch.cat([rows(50, 1) * 4, bank])
    expected = scored(Mahalanobis(), bank, test)
    monkeypatch.setattr(gaussians, "WIDE", 4)
    learned = Mahalanobis().learn(bank, torch.zeros(len(bank), dtype=torch.bool), 0)
    assert learned["axes"].shape[0] <= len(bank)
    assert "whitening" not in learned
    np.testing.assert_allclose(scored(Mahalanobis(), bank, test), expected, rtol=1e-6, atol=1e-6)


def test_cos_is_the_cosine_distance_to_the_mean() -> None:
    bank, test = rows(30) + 1, rows(20, 1)
    mean = bank.double().mean(0)
    expected = [1 - float(each @ mean / each.norm() / mean.norm()) for each in test.double()]
    np.testing.assert_allclose(scored(MeanCosine(), bank, test), expected, rtol=1e-9)


@pytest.mark.parametrize("covariance", ["full", "diag"])
@pytest.mark.parametrize("components", [1, 3])
def test_the_mixture_matches_scikit_learn(covariance: str, components: int) -> None:
    middles = torch.tensor([[0.0], [30], [-30]]).repeat(40, 1)
    bank, test = rows(120) * 5 + middles, rows(40, 1) * 20
    reg = 1e-2
    theirs = GaussianMixture(
        components,
        covariance_type=covariance,
        random_state=0,
        reg_covar=reg * float(bank.double().var(0, correction=0).mean()),
    ).fit(bank.double())
    actual = scored(Gmm(components=components, covariance=covariance, reg=reg), bank, test)
    np.testing.assert_allclose(actual, -theirs.score_samples(test.double()), rtol=1e-6)


def test_log_densities_leave_the_weights_out() -> None:
    bank = torch.cat([rows(90), rows(10, 1) + 20]).double()
    learned = fit_mixture(bank, 2, "full", 1e-6, 1e-6, 0)
    actual = log_densities(bank, learned["means"], learned["factors"])
    theirs = GaussianMixture(2, tol=1e-6, random_state=0).fit(bank.numpy())
    joint = (actual + learned["weights"].log()).logsumexp(1).numpy()
    np.testing.assert_allclose(joint, theirs.score_samples(bank.numpy()), rtol=1e-7)
    assert sorted(learned["weights"].tolist()) == pytest.approx([0.1, 0.9])


def test_kmeans_keeps_centres_of_the_source_and_every_target_clip() -> None:
    groups = torch.eye(8)[:3]  # three directions
    bank = torch.cat([groups.repeat(20, 1) * 5 + 0.01 * rows(60), torch.eye(8)[6:] * 3])
    target = torch.arange(62) >= 60
    learned = KMeansTarget(clusters=3).learn(bank, target, 0)
    assert learned["bank"].shape == (5, 8)
    actual = KMeansTarget().score(learned, torch.eye(8))
    assert (actual[[0, 1, 2, 6, 7]] < 1e-3).all()
    assert (actual[3:6] > 0.9).all()


@pytest.mark.parametrize(("source", "target", "kept"), [(0, 3, 3), (5, 0, 5), (2, 1, 3), (40, 2, 18)])
def test_kmeans_has_no_more_centres_than_clips(source: int, target: int, kept: int) -> None:
    domain = torch.arange(source + target) >= source
    assert len(KMeansTarget().learn(rows(source + target), domain, 0)["bank"]) == kept


def banks() -> dict[str, Tensor]:
    references = {f"{n} clips": rows(n, dimensions=32) for n in (1, 2, 3, 5)}
    references |= {f"{n} equal clips": rows(1, dimensions=32).repeat(n, 1) for n in (2, 3, 9, 40)}
    references["some equal"] = torch.cat([rows(1, dimensions=32).repeat(9, 1), rows(4, 1, 32)])
    references["pairs"] = rows(3, dimensions=32).repeat(2, 1)
    references["zeros"] = torch.zeros(6, 32)
    references["some zeros"] = torch.cat([torch.zeros(6, 32), rows(5, 1, 32)])
    references["tiny numbers"] = rows(5, dimensions=32) * 1e-20
    references["large numbers"] = rows(5, dimensions=32) * 1e20
    return references


@pytest.mark.parametrize("bank", banks().values(), ids=list(banks()))
def test_scores_are_finite_for_few_or_equal_references_and_higher_for_a_foreign_clip(bank: Tensor) -> None:
    size = bank.abs().max().clamp_min(1e-20)
    foreign = -3 * bank.sum(0, keepdim=True) + size * rows(1, 7, 32)
    test = torch.cat([bank, foreign, torch.zeros(1, 32)])
    found = {name: scored(backend, bank, test) for name, backend in EVERY.items()}
    found["kmeans, half target"] = scored(KMeansTarget(), bank, test, torch.arange(len(bank)) % 2 == 0)
    found["kmeans, all target"] = scored(KMeansTarget(), bank, test, ~none(len(bank)))
    for name, scores in found.items():
        assert np.isfinite(scores).all(), name
        # Next to many equal clips any other is an outlier to LOF, even a reference, as in scikit-learn.
        assert name == "lof" or scores[len(bank)] >= scores[: len(bank)].max(), name


def test_equal_references_do_not_normalise_distances() -> None:
    test = rows(9, 1)
    for bank in (rows(1), rows(1).repeat(7, 1)):
        for metric in ("cosine", "euclidean"):
            plain, normalised = (scored(Knn(metric=metric, normalised=each), bank, test) for each in (False, True))
            np.testing.assert_array_equal(plain, normalised)
        euclidean = (test - bank[0]).double().norm(dim=1).numpy()
        np.testing.assert_allclose(scored(Mahalanobis(), bank, test), euclidean, rtol=1e-6)


@pytest.mark.parametrize("smote_ratio", [0.0, 0.5])
def test_an_id_learns_from_its_own_clips_only(smote_ratio: float) -> None:
    bank, ids = rows(60), [str(i % 3) for i in range(60)]
    together = fitted(bank, ids, smote_ratio=smote_ratio)
    for id in "012":
        positions = torch.tensor([i for i in range(60) if ids[i] == id])
        alone = Backends(EVERY, smote_ratio=smote_ratio)
        alone.fit(bank[positions], [id] * 20, positions % 4 == 0)
        expected = alone.score(rows(10, 1), [id] * 10)
        for name, values in together.score(rows(10, 1), [id] * 10).items():
            assert torch.equal(values, expected[name]), name


def test_an_unknown_id_gets_the_lowest_score_of_all_ids() -> None:
    backends, test = fitted(rows(40), ["a", "b"] * 20), rows(12, 1)
    a, b, new = (backends.score(test, [id] * 12) for id in ("a", "b", "c"))
    for name, values in new.items():
        assert torch.equal(values, torch.minimum(a[name], b[name]))
        assert not torch.equal(a[name], b[name])
    lowest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(rows(40).double()).kneighbors(test.double())[0][:, 0]
    np.testing.assert_allclose(new["knn"].numpy(), lowest, rtol=1e-9)


def test_the_score_of_a_clip_does_not_depend_on_other_clips() -> None:
    backends, test = fitted(rows(90), ["a", "b", "c"] * 30), rows(600, 1)  # more than one block
    ids = [("a", "b", "c", "new")[i % 4] for i in range(600)]
    together = backends.score(test, ids)
    assert set(together) == set(EVERY)
    for i in range(0, 600, 37):
        for name, values in backends.score(test[[i]], [ids[i]]).items():
            np.testing.assert_allclose(values.numpy(), together[name][[i]].numpy(), rtol=1e-7, err_msg=name)
    assert all(len(values) == 0 for values in backends.score(test[:0], []).values())


def test_the_same_seed_gives_the_same_scores_and_uses_no_global_random_stream() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (fitted(rows(90), ["a"] * 90, seed=s, smote_ratio=0.9) for s in (1, 1, 2))
    scores = [each.score(rows(20, 1), ["a"] * 20) for each in (first, again, other)]
    for name, values in scores[0].items():
        assert torch.equal(values, scores[1][name]), name
        # domain normalisation gets no interpolated clips, so it has nothing to draw
        assert torch.equal(values, scores[2][name]) == (name == "knn_dn"), name
    assert torch.equal(before, torch.random.get_rng_state())


def test_state_survives_a_file_and_another_fit() -> None:
    backends, test, file = fitted(rows(40), ["a", "b"] * 20), rows(12, 1), io.BytesIO()
    ids = ["a", "b", "new"] * 4
    state, scores = backends.state(), backends.score(test, ids)
    backends.fit(rows(40, 5), ["a", "b"] * 20, none(40))
    torch.save(state, file)
    file.seek(0)
    other = Backends(EVERY, seed=9)
    other.load(torch.load(file, weights_only=True))
    for name, values in other.score(test, ids).items():
        assert torch.equal(values, scores[name]), name


def test_embeddings_may_be_of_half_precision_and_require_gradients() -> None:
    bank = rows(40).requires_grad_()
    backends = fitted(bank, ["a"] * 40)
    for values in backends.score(rows(5, 1).to(torch.bfloat16), ["a"] * 5).values():
        assert values.isfinite().all()
        assert not values.requires_grad


def test_a_test_set_is_scored_within_three_seconds() -> None:
    bank, test = rows(6000, dimensions=512), rows(1200, 1, 512)
    for name in ("knn", "cos"):
        learned = BACKENDS[name].learn(bank, none(6000), 0)
        begin = time.process_time()
        BACKENDS[name].score(learned, test)
        assert time.process_time() - begin < 3  # takes 0.4 s on an idle machine


def test_ids_and_domains_of_clips(bank_of: Callable[[dict[str, npt.NDArray[Any]]], Bank]) -> None:
    cells = [(machine, id, domain) for machine in ("fan", "pump") for id in ("00", "01") for domain in DOMAINS]
    names = [f"{machine}/train/section_{id}_{domain}_train_normal_0000_vel_1" for machine, id, domain in cells]
    clips = bank_of({name: rows(1, i, 1600)[0].numpy() / 9 for i, name in enumerate(names)}).select()
    actual = sorted(zip(ids_of(clips), targets_of(clips).tolist(), strict=True))
    assert actual == sorted((f"{machine} {id}", domain == "target") for machine, id, domain in cells)


def test_backends_are_parsed_from_names() -> None:
    assert parse_backends("knn, lof") == {"knn": Knn(), "lof": Lof()}
    with pytest.raises(AsdRayError, match="unknown backend 'maho'; did you mean 'maha'"):
        parse_backends("knn,maho")


def test_errors_name_the_cure() -> None:
    with pytest.raises(AsdRayError, match="before fit; call fit or load"):
        Backends().score(rows(2), ["a", "a"])
    with pytest.raises(AsdRayError, match="but got none; check the training split"):
        Backends().fit(rows(0), [], none(0))
    with pytest.raises(AsdRayError, match="must be finite.*lower lr"):
        Backends().fit(rows(2) * torch.nan, ["a", "a"], none(2))
    backends = fitted(rows(9), ["a"] * 9)
    with pytest.raises(AsdRayError, match="must be finite"):
        backends.score(rows(2) * torch.inf, ["a", "a"])
    with pytest.raises(AsdRayError, match="Gaussian mixture cannot be fitted: .*; raise reg, which is 1e-300"):
        fit_mixture(rows(3).double(), 1, "full", 1e-300, 1e-3, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Knn(k=0), "k of Knn must be a whole number of at least 1 but got 0"),
        (lambda: Knn(density_k=0), "density_k of Knn must be a whole number"),
        (lambda: Knn(metric="dot"), "metric of Knn must be 'cosine' or 'euclidean' but got 'dot'"),
        (lambda: Lof(k=True), "k of Lof must be a whole number"),
        (lambda: Mahalanobis(floor=0), "floor of Mahalanobis must be above 0 and at most 1 but got 0"),
        (lambda: Gmm(components=0), "components of Gmm must be"),
        (lambda: Gmm(covariance="tied"), "covariance of Gmm must be 'full' or 'diag' but got 'tied'"),
        (lambda: Gmm(reg=0), "reg of Gmm must be above 0"),
        (lambda: KMeansTarget(clusters=0), "clusters of KMeansTarget must be"),
        (lambda: Backends(smote_ratio=2), "smote_ratio of Backends must be in \\[0, 1\\] but got 2"),
        (lambda: Backends(smote_neighbours=0), "smote_neighbours of Backends must be"),
    ],
)
def test_an_invalid_setting_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        make()
