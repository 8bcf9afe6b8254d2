"""The maps of the families that have one: they lie on the clip's frames, and relate to its scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.detectors import FAMILIES, Context, family
from asd_ray.detectors.families.aegan_ad import AeganAd
from asd_ray.detectors.families.group_made import GroupMadeNet, degrees
from asd_ray.detectors.parts.error_maps import WindowSums
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS

QUICK: dict[str, dict[str, Any]] = {
    "aegan_ad": {"epochs": 1, "channels": 2, "latent": 4, "hop": 40, "batch_size": 4},
    "autoencoder": {"epochs": 1, "hidden": 16, "layers": 2},
    "group_made": {"epochs": 1, "hidden": 16, "bottleneck": 8, "components": 3, "order": "causal"},
    "idnn": {"epochs": 1, "hidden": 16},
}
SECONDS = (4.5, 5.0, 4.5)  # AEGAN-AD needs 128 frames
RATE = 16_000


@pytest.fixture
def bank(bank_of: Callable[[dict[str, npt.NDArray[np.floating]]], Bank]) -> Bank:
    """Clips of noise to learn from, and three to test, the last with a tone of 3 kHz in its middle second."""
    draw = np.random.default_rng(0)
    waves = {
        f"fan/{split}/section_00_source_{split}_normal_{i:04d}_vel_1": draw.normal(0, 0.05, round(seconds * RATE))
        for split in ("train", "test")
        for i, seconds in enumerate(SECONDS)
    }
    tone = waves["fan/test/section_00_source_test_normal_0002_vel_1"][2 * RATE : 3 * RATE]
    tone += 0.3 * np.sin(2 * np.pi * 3000 * np.arange(RATE) / RATE)
    return bank_of(waves)


def fitted(name: str, context: Context, train: ClipSet) -> Any:
    detector: Any = family(name).detector(context, **QUICK[name])
    for _ in detector.fit(train):
        pass
    return detector


def test_four_families_have_a_map() -> None:
    having = [name for name in FAMILIES if hasattr(family(name).detector, "error_map")]
    assert sorted(having) == sorted(QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_a_map_has_the_frames_and_bands_of_its_clip(name: str, bank: Bank, context: Context) -> None:
    detector, test = fitted(name, context, bank.select(split="train")), bank.select(split="test")
    before = detector.score(test)
    maps = detector.error_map(test)
    assert [each.shape for each in maps] == [
        (detector.front_end.frames(int(samples)), detector.front_end.shape[0]) for samples in test.lengths
    ]
    assert all(np.isfinite(each).all() for each in maps)
    for variant, values in detector.score(test).items():
        np.testing.assert_array_equal(values, before[variant])  # a map changes nothing


@pytest.mark.parametrize("name", ["autoencoder", "group_made", "idnn"])
def test_a_map_is_high_at_a_foreign_tone(name: str, bank: Bank, context: Context) -> None:
    longer = {**QUICK[name], "epochs": 30, "batch_size": 32, "lr": 0.01}
    detector: Any = family(name).detector(context, **longer)
    for _ in detector.fit(bank.select(split="train")):
        pass
    tone, clip = slice(round(2.1 * RATE / 512), round(2.9 * RATE / 512)), bank.select(split="test").take([2])
    loudest = context.features.get(detector.front_end, clip).clip(0)[tone].mean(0).argmax()  # the band of the tone
    (values,) = detector.error_map(clip)
    assert values[tone].mean(0).argmax() == pytest.approx(loudest, abs=1)
    assert values[tone, loudest].mean() > 2 * values[10:50, loudest].mean()


@pytest.mark.parametrize(("name", "variant"), [("autoencoder", "mse"), ("idnn", "mean")])
@pytest.mark.parametrize("short", [False, True])
def test_the_mean_of_a_map_of_errors_is_the_score(
    name: str, variant: str, short: bool, bank: Bank, context: Context, bank_of: Callable[..., Bank]
) -> None:
    detector, test = fitted(name, context, bank.select(split="train")), bank.select(split="test")
    if short:  # 4 frames, where a window has 5
        wave = np.random.default_rng(1).normal(0, 0.1, 1700)
        test = bank_of({"pump/test/section_00_source_test_normal_0000_vel_1": wave}).select("pump")
    means = [each.mean() for each in detector.error_map(test)]
    np.testing.assert_allclose(means, detector.score(test)[variant], rtol=1e-5)


def test_the_weighted_mean_of_the_map_of_group_made_is_its_score(bank: Bank, context: Context) -> None:
    detector, test = fitted("group_made", context, bank.select(split="train")), bank.select(split="test")
    for values, score in zip(detector.error_map(test), detector.score(test)["all"], strict=True):
        vectors = np.convolve(np.ones(len(values) - 4), np.ones(5))  # that have each frame
        assert np.average(values.mean(1), weights=vectors) == pytest.approx(score, rel=1e-5)


def test_the_likelihoods_of_bands_sum_to_those_of_frames() -> None:
    torch.manual_seed(0)
    net = GroupMadeNet(degrees("middle", 5), 8, [12, 12], 3)
    rows = torch.randn(7, 40)
    with torch.inference_mode():
        torch.testing.assert_close(net.nll_of_bands(rows).sum(2), net(rows))


def test_the_map_of_aegan_ad_is_that_of_the_authors(bank: Bank, context: Context) -> None:
    """Computed again as their program does, frame by frame, but with one mean per band."""
    detector, test = fitted("aegan_ad", context, bank.select(split="train")), bank.select(split="test")
    front_end = detector.front_end
    scaled = [
        detector._scale(torch.from_numpy(context.features.get(front_end, clips).clip(i).copy()))
        for clips in (bank.select(split="train"), test.take([1]))
        for i in range(len(clips))
    ]
    mean, frames = torch.cat(scaled[:3]).mean(0), scaled[3]
    windows = frames.unfold(0, 128, 1)[:, None]  # [windows, 1, mels, frames]
    with torch.inference_mode():
        rebuilt = detector._fitted_nets("test").rebuild(windows)[:, 0]
    for frame in (0, 5, 127, len(frames) - 1):
        inside = range(max(0, frame - 127), min(frame + 1, len(windows)))
        average = torch.stack([rebuilt[w, :, frame - w] for w in inside]).mean(0)
        expected = ((average + 1) / 2 - (mean + 1) / 2).abs()
        np.testing.assert_allclose(detector.error_map(test)[1][frame], expected, atol=1e-5)


def test_an_older_state_of_aegan_ad_still_scores_and_asks_for_training(bank: Bank, context: Context) -> None:
    detector, test = fitted("aegan_ad", context, bank.select(split="train")), bank.select(split="test")
    state = detector.state()
    again = AeganAd(context, **QUICK["aegan_ad"])
    again.load(state)
    np.testing.assert_allclose(again.error_map(test)[0], detector.error_map(test)[0])
    del state["mean_frame"]
    older = AeganAd(context, **QUICK["aegan_ad"])
    older.load(state)
    np.testing.assert_allclose(older.score(test)["G_x_2_sum"], detector.score(test)["G_x_2_sum"])
    assert "mean_frame" not in older.state()
    with pytest.raises(AsdRayError, match="train the detector again"):
        older.error_map(test)


@pytest.mark.parametrize("name", QUICK)
def test_a_map_before_fit_is_an_error(name: str, bank: Bank, context: Context) -> None:
    detector: Any = family(name).detector(context, **QUICK[name])
    with pytest.raises(AsdRayError, match="error_map of .* was called before fit"):
        detector.error_map(bank.select(split="test"))


def test_sums_of_windows_fold_a_repeated_clip_onto_itself(bank_of: Callable[..., Bank]) -> None:
    """A clip of 2 frames is repeated to 5; one window holds all of them."""
    clips = bank_of({"fan/test/section_00_source_test_normal_0000_vel_1": np.full(1600, 0.1)}).select("fan")
    front_end = PRESETS["baseline"].at(RATE)
    frames = front_end.frames(1600)
    sums = WindowSums(front_end, clips, 2 * frames + 1, torch.device("cpu"))
    values = torch.arange(2 * frames + 1.0).view(1, -1, 1).expand(-1, -1, 128)
    sums.add(torch.tensor([0]), values)
    averages, contributions = sums.averages()[0][:, 0], sums.contributions()[0]
    first = [0, frames, 2 * frames]  # the positions of the first frame and its copies
    assert averages[0] == pytest.approx(np.mean(first))
    assert averages[1] == pytest.approx(np.mean([1, frames + 1]))
    assert contributions.mean() == pytest.approx(float(values.mean()))
