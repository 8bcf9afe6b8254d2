from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.detectors import Context
from asd_ray.detectors.families.twfr_gmm import TwfrGmm, time_weighted
from asd_ray.errors import AsdRayError
from asd_ray.features import FeatureCache

FRAMES = np.random.default_rng(0).normal(-40, 10, (3, 21, 5)).astype(np.float32)
MakeBank = Callable[[dict[str, Any]], Bank]


def noise(seed: int, samples: int = 8000, level: float = 0.1) -> Any:
    return np.random.default_rng(seed).normal(0, level, samples)


def train_name(n: int, id: str = "00", domain: str = "source", machine: str = "fan") -> str:
    return f"{machine}/train/section_{id}_{domain}_train_normal_{n:04d}_vel_1"


def fitted(tmp_path: Path, clips: ClipSet, **params: Any) -> TwfrGmm:
    detector = TwfrGmm(Context(features=FeatureCache(tmp_path / "cache")), **params)
    (step,) = detector.fit(clips)
    assert step.epoch == 1
    return detector


def test_r_1_is_the_mean_and_r_0_the_maximum() -> None:
    np.testing.assert_allclose(time_weighted(FRAMES, 1.0), FRAMES.mean(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(time_weighted(FRAMES, 0.0), FRAMES.max(axis=1))


@pytest.mark.parametrize("r", [0.02, 0.46, 0.9, 0.98, 1 - 1e-9])
def test_between_0_and_1_loud_frames_have_more_weight(r: float) -> None:
    expected = np.zeros((3, 5))
    for clip in range(3):
        for mel in range(5):
            loud_first = sorted(FRAMES[clip, :, mel].tolist(), reverse=True)
            weights = [r**i for i in range(21)]
            expected[clip, mel] = sum(w * x for w, x in zip(weights, loud_first, strict=True)) / sum(weights)
    np.testing.assert_allclose(time_weighted(FRAMES, r), expected, rtol=1e-6)


def test_the_score_is_the_density_of_the_nearest_gaussian_without_its_weight(tmp_path: Path, bank_of: MakeBank) -> None:
    waves = {train_name(n): noise(n, level=0.1 if n < 9 else 0.3) for n in range(12)}
    clips = bank_of(waves).select()
    detector = fitted(tmp_path, clips, reg=1e-1, r=0.5)
    (mixture,) = detector.state()["fan"].values()
    means, factors = mixture["means"].numpy(), mixture["factors"].numpy()
    assert means.shape == (2, 128)
    features = detector.context.features.get(detector.front_end, clips)
    vectors = np.stack([time_weighted(features.clip(i)[None], 0.5)[0] for i in range(len(clips))])
    densities = [
        multivariate_normal(mean, np.linalg.inv(factor @ factor.T)).logpdf(vectors)
        for mean, factor in zip(means, factors, strict=True)
    ]
    np.testing.assert_allclose(detector.score(clips)["gmm"], -np.max(densities, axis=0), rtol=1e-6)


def test_clips_of_unequal_length_are_pooled_over_their_own_frames(tmp_path: Path, bank_of: MakeBank) -> None:
    clips = bank_of({train_name(n): noise(n, 4000 + 1000 * (n % 3)) for n in range(7)}).select()
    detector = TwfrGmm(Context(features=FeatureCache(tmp_path / "cache")), r=0.9)
    vectors = detector._vectors(clips)
    for i in range(len(clips)):
        np.testing.assert_allclose(vectors[i], detector._vectors(clips.take([i]))[0], rtol=1e-7)


@pytest.mark.parametrize(("clips", "components"), [(1, 1), (2, 2), (3, 3), (9, 4)])
def test_there_are_no_more_components_than_clips(
    tmp_path: Path, bank_of: MakeBank, clips: int, components: int
) -> None:
    detector = fitted(tmp_path, bank_of({train_name(n): noise(n) for n in range(clips)}).select(), components=4)
    assert len(detector.state()["fan"]["00"]["means"]) == components


@pytest.mark.parametrize("wave", [noise(0), np.zeros(8000)], ids=["noise", "silence"])
def test_equal_clips_count_once(tmp_path: Path, bank_of: MakeBank, wave: Any) -> None:
    clips = bank_of({train_name(n): wave for n in range(5)}).select()
    detector = fitted(tmp_path, clips, components=4)
    assert len(detector.state()["fan"]["00"]["means"]) == 1
    assert np.isfinite(detector.score(clips)["gmm"]).all()


def test_a_mixture_belongs_to_one_id_of_one_machine(tmp_path: Path, bank_of: MakeBank) -> None:
    keys = [("fan", "00"), ("fan", "01"), ("pump", "00")]
    waves = {train_name(n, id, machine=m): noise(100 * k + n) for k, (m, id) in enumerate(keys) for n in range(4)}
    bank = bank_of(waves)
    together = fitted(tmp_path, bank.select())
    assert {(machine, id) for machine, ids in together.state().items() for id in ids} == set(keys)
    for machine, id in keys:
        own = bank.select(machine, id=id)
        alone = fitted(tmp_path, own)
        np.testing.assert_array_equal(together.score(own)["gmm"], alone.score(own)["gmm"])


def test_an_unknown_id_is_scored_by_the_mixture_it_fits_best(tmp_path: Path, bank_of: MakeBank) -> None:
    waves = {train_name(n, id): noise(10 * int(id) + n) for id in ("00", "01") for n in range(4)}
    waves["fan/test/section_02_source_test_normal_0000_vel_1"] = noise(99)
    bank = bank_of(waves)
    new = bank.select("fan", id="02")
    detector = fitted(tmp_path, bank.select(split="train"))
    alone = []
    for id in ("00", "01"):
        alone.append(fitted(tmp_path, bank.select(split="train", id=id)).score(new)["gmm"][0])
    assert detector.score(new)["gmm"][0] == min(alone)
    assert len(set(alone)) == 2


def smote_bank(bank_of: MakeBank, target: int) -> Bank:
    names = [train_name(n) for n in range(20)] + [train_name(n, domain="target") for n in range(target)]
    return bank_of({name: noise(i, 6000 if i % 2 else 5000) for i, name in enumerate(names)})


@pytest.mark.parametrize(
    ("target", "ratio", "added"), [(2, 0.2, 2), (2, 0.5, 8), (4, 0.2, 0), (1, 0.2, 0), (0, 0.2, 0)]
)
def test_smote_adds_clips_up_to_the_ratio(
    tmp_path: Path, bank_of: MakeBank, target: int, ratio: float, added: int
) -> None:
    clips = smote_bank(bank_of, target).select()
    detector = TwfrGmm(Context(features=FeatureCache(tmp_path / "cache")), smote=True, smote_ratio=ratio)
    assert detector._synthetic(clips).shape == (added, 128)
    plain, smoted = fitted(tmp_path, clips), fitted(tmp_path, clips, smote=True, smote_ratio=ratio)
    same = np.array_equal(plain.score(clips)["gmm"], smoted.score(clips)["gmm"])
    assert same == (added == 0)


def test_smote_applies_the_front_end_to_its_waves(tmp_path: Path, bank_of: MakeBank) -> None:
    wave = noise(0)  # interpolation between two equal waves gives the same wave
    waves = {train_name(n): noise(n) for n in range(10)} | {train_name(n, domain="target"): wave for n in range(2)}
    clips = bank_of(waves).select()
    detector = TwfrGmm(Context(features=FeatureCache(tmp_path / "cache")), smote=True, smote_ratio=0.5)
    itself = detector._vectors(clips.take(clips.frame["domain"] == "target"))[0]
    np.testing.assert_allclose(detector._synthetic(clips), np.tile(itself, (3, 1)), rtol=1e-4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"r": 1.5}, "r of TwfrGmm must be in \\[0, 1\\] but got 1.5"),
        ({"r": float("nan")}, "r of TwfrGmm"),
        ({"components": 0}, "components of TwfrGmm"),
        ({"components": 2.5}, "components of TwfrGmm must be a whole number from 1 but got 2.5"),
        ({"reg": 0}, "reg of TwfrGmm"),
        ({"tol": -1}, "tol of TwfrGmm"),
        ({"smote": 1}, "smote of TwfrGmm must be True or False"),
        ({"smote_ratio": 0.0}, "smote_ratio of TwfrGmm"),
        ({"smote_neighbours": 0}, "smote_neighbours of TwfrGmm"),
    ],
)
def test_invalid_parameters_are_rejected(params: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        TwfrGmm(Context(), **params)


def test_a_covariance_that_cannot_be_inverted_names_the_cure(tmp_path: Path, bank_of: MakeBank) -> None:
    clips = bank_of({train_name(n): noise(n) for n in range(4)}).select()
    with pytest.raises(AsdRayError, match="fan id 00: .* raise reg"):
        fitted(tmp_path, clips, components=1, reg=1e-300)
