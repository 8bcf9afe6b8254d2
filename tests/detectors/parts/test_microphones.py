"""Microphones: what is heard of two channels, and what far sound takes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from asd_ray.clips.bank import Bank, ClipSet, open_bank
from asd_ray.conformance import checks
from asd_ray.conformance.workspace import Workspace, fit_on
from asd_ray.deploy.onnx.errors import CannotExport
from asd_ray.deploy.onnx.families import score_net
from asd_ray.detectors import Context, family
from asd_ray.detectors.parts import microphones
from asd_ray.detectors.parts.pseudo_labels import training_classes
from asd_ray.errors import AsdRayError
from asd_ray.families.drawing import first_draw, redraw
from asd_ray.features import PRESETS, FeatureCache, LogMel, Magnitude

SMALL: dict[str, dict[str, Any]] = {
    "autoencoder": {"hidden": 16, "layers": 1, "epochs": 2},
    "embedding_knn": {"seconds": 1.0, "epochs": 1, "batch_size": 8, "backends": "knn"},
    "twfr_gmm": {"smote": True, "smote_ratio": 0.9},
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("two"), channels=2)


def on_one(two: Workspace, channel: int) -> Bank:
    """The same clips in a bank of one channel."""
    two.bank("plain")
    return open_bank(two.folder / "plain", channel=channel, cache=two.folder / "cache", workers=1)


def scores(two: Workspace, name: str, bank: Bank, **params: Any) -> dict[str, Any]:
    detector = family(name).detector(two.context(), **{**SMALL[name], **params})
    return dict(fit_on(detector, bank).score(bank.select(split="test")))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_near_and_far_are_the_banks_of_one_channel(name: str, two: Workspace) -> None:
    every, found = two.bank("plain"), []
    for channel, microphone in enumerate(("near", "far")):
        own = scores(two, name, every, microphone=microphone)
        expected = scores(two, name, on_one(two, channel))
        for variant, values in expected.items():
            np.testing.assert_array_equal(own[variant], values)
        found.append(own)
    for where in ("embedding", "spectrum") if name == "embedding_knn" else ("",):
        both = scores(two, name, every, microphone="near-far", **({"subtract": where} if where else {}))
        changed = [variant for variant in both if (both[variant] != found[0][variant]).any()]
        assert changed == (["knn"] if where == "embedding" else list(both)), "classes are scored by the near one"


@pytest.mark.parametrize("subtract", ["embedding", "spectrum"])
def test_a_share_of_0_takes_nothing_away(subtract: str, two: Workspace) -> None:
    nothing = scores(two, "embedding_knn", two.bank("plain"), microphone="near-far", far_share=0.0, subtract=subtract)
    near = scores(two, "embedding_knn", two.bank("plain"))
    for variant in near:
        assert nothing[variant] == pytest.approx(near[variant], rel=0.02, abs=0.01), "training amplifies rounding"


@pytest.mark.parametrize("front_end", [PRESETS["baseline"], PRESETS["twfr"], LogMel(power=1.0), Magnitude(power=2.0)])
def test_features_are_those_of_the_difference_of_powers(front_end: Any) -> None:
    """Two tones: one that the far microphone hears as loud as the near one, and one that it does not hear."""
    time = torch.arange(16_000) / 16_000
    noise = torch.randn(16_000, generator=torch.Generator().manual_seed(0)) * 1e-4
    shared, own = 0.1 * torch.sin(2 * np.pi * 500 * time), 0.1 * torch.sin(2 * np.pi * 3000 * time)
    near, far = ((wave + noise)[None] for wave in (shared + own, shared))
    of_near, of_far, alone = front_end(near), front_end(far), front_end(own[None])
    left = microphones.subtracted_features(front_end, of_near, of_far, 1.0)
    at_own, at_shared = alone[0, 5].argmax(), of_far[0, 5].argmax()
    assert at_own != at_shared
    assert left[0, 5, at_own] == pytest.approx(float(of_near[0, 5, at_own]), rel=1e-3)
    fallen = of_near[0, 5, at_shared] - left[0, 5, at_shared]
    ratio = left[0, 5, at_shared] / of_near[0, 5, at_shared]
    if isinstance(front_end, LogMel):
        assert float(fallen) == pytest.approx(microphones.FLOOR_DB, abs=0.1)
    else:
        assert float(ratio) == pytest.approx(0.01, rel=0.1)
    half = microphones.subtracted_features(front_end, of_near, of_far, 0.5)
    unit = 10 ** (half * front_end.power / 20) if isinstance(front_end, LogMel) else half
    whole = 10 ** (of_near * front_end.power / 20) if isinstance(front_end, LogMel) else of_near
    assert float(unit[0, 5, at_shared] / whole[0, 5, at_shared]) == pytest.approx(0.5, abs=0.01)


def test_waves_lose_what_the_far_microphone_hears() -> None:
    time = torch.arange(16_000) / 16_000
    shared, own = torch.sin(2 * np.pi * 500 * time)[None], torch.sin(2 * np.pi * 3000 * time)[None]
    left = microphones.subtracted_waves(0.1 * (shared + own), 0.1 * shared, 1.0, 16_000)
    spectrum = torch.fft.rfft(left[0, 2_000:14_000]).abs()
    assert float(spectrum[375] / spectrum[2250]) == pytest.approx(0.1, abs=0.03), "20 dB softer"
    same = microphones.subtracted_waves(0.1 * shared, 0.1 * own, 0.0, 16_000)
    assert float((same - 0.1 * shared).abs().max()) < 1e-5


@pytest.mark.parametrize(("length", "rate"), [(8_703, 16_000), (8_672, 16_000), (160_000, 16_000), (30_719, 48_000)])
def test_no_end_of_a_wave_rises(length: int, rate: int) -> None:
    time = torch.arange(length) / rate
    noise = 0.01 * torch.randn(2, length, generator=torch.Generator().manual_seed(0))
    near = (0.1 * torch.sin(2 * np.pi * 500 * time) + noise[0])[None]
    far = (0.1 * torch.sin(2 * np.pi * 500 * time + 1) + noise[1])[None]
    left = microphones.subtracted_waves(near, far, 0.8, rate)
    assert left.shape == near.shape
    assert float(left.abs().max()) < 1.03 * float(near.abs().max())
    assert float(left[0, -rate // 100 :].abs().max()) < 0.8 * float(near.abs().max())
    torch.testing.assert_close(microphones.subtracted_waves(near, far, 0.0, rate), near, rtol=0, atol=1e-5)


def test_classes_are_clustered_by_the_microphone_that_is_heard(two: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []

    def note(clips: ClipSet, *settings: Any) -> Any:
        heard.append(clips.channel)
        return training_classes(clips, *settings)

    monkeypatch.setattr("asd_ray.detectors.families.embedding_knn.training_classes", note)
    for microphone in microphones.MICROPHONES:
        scores(two, "embedding_knn", two.bank("plain"), microphone=microphone, labels="ward")
    assert heard == [0, 1, 0]


def test_recordings_of_one_channel_are_not_told_to_keep_all() -> None:
    table = pd.DataFrame({microphones.KEPT: [1, 1], "channels": [1, 1]})
    assert microphones.why_unheard("far", table) == (
        "microphone 'far' needs a second channel, and the recordings have one; use microphone 'near'"
    )
    assert "--channel all" in microphones.why_unheard("far", table.assign(channels=2))


def test_features_of_both_are_made_of_the_cached_ones(two: Workspace, tmp_path: Path) -> None:
    cache, clips, front_end = FeatureCache(tmp_path), two.bank("ragged").select(), PRESETS["twfr"]
    for share in (0.2, 0.7):
        heard = microphones.HeardFeatures(cache, "near-far", share).get(front_end, clips)
        assert heard.lengths.tolist() == cache.get(front_end, clips).lengths.tolist()
    assert len(list((tmp_path / "features").glob("*.feat"))) == 2
    near, far = (torch.tensor(cache.get(front_end, clips.on_channel(n)).clip(3)) for n in (0, 1))
    expected = microphones.subtracted_features(front_end, near, far, 0.7)
    np.testing.assert_array_equal(heard.clip(3), expected.numpy())
    with pytest.raises(AsdRayError, match="cannot be subtracted from features of kind complex"):
        microphones.HeardFeatures(cache, "near-far", 0.5).get(PRESETS["kim_complex"], clips)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_one_channel_is_told_before_anything_is_trained(name: str, two: Workspace) -> None:
    bank = on_one(two, 0)
    table = bank.select(split="train").frame
    for microphone in ("far", "near-far"):
        detector = family(name).detector(two.context(), **SMALL[name], microphone=microphone)
        assert "--channel all" in detector.suits(table.assign(kept_channels=1))
        assert detector.suits(table.assign(kept_channels=2)) == ""
        assert detector.suits(table) == "", "not known yet"
        with pytest.raises(AsdRayError, match=r"no channel 1.*--channel all"):
            fit_on(detector, bank)
    with pytest.raises(AsdRayError, match="microphone of .* must be one of near, far, near-far"):
        family(name).detector(two.context(), microphone="left")
    with pytest.raises(AsdRayError, match="far_share of .* must be 0 or more"):
        family(name).detector(two.context(), far_share=-0.5)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_space_draws_microphones_where_there_are_some(name: str) -> None:
    space = family(name).search_space()
    assert "microphone" in first_draw(space).suggested
    assert first_draw(space).params == space.paper
    alone = space.without(["microphone"])
    assert "microphone" not in first_draw(alone).suggested
    assert first_draw(alone).params == space.paper
    far = {**space.paper, "microphone": "near-far", "far_share": 0.7}
    assert redraw(space, far) is not None
    assert redraw(alone, far) is None


@pytest.mark.parametrize("name", sorted(SMALL))
@pytest.mark.parametrize(
    "check",
    [checks.check_unequal_lengths, checks.check_clips_are_scored_alone, checks.check_state],
)
def test_conformance_with_both(name: str, check: Any, two: Workspace) -> None:
    smaller = {**SMALL[name], "microphone": "near-far"}
    check(family(name), Workspace(two.folder, channels=2, smaller=smaller))


def test_a_file_of_onnx_takes_one_channel(two: Workspace) -> None:
    detector = family("twfr_gmm").detector(two.context(), microphone="far")
    with pytest.raises(CannotExport, match="takes? one channel"):
        score_net(fit_on(detector, two.bank("plain")))


def test_error_maps_are_of_what_is_heard(two: Workspace, tmp_path: Path) -> None:
    context = Context(features=FeatureCache(tmp_path))
    detector = family("autoencoder").detector(context, **SMALL["autoencoder"], microphone="near-far")
    bank = two.bank("plain")
    fit_on(detector, bank)
    clips: ClipSet = bank.select(split="test").take([0, 1])
    means = [float(each.mean()) for each in detector.error_map(clips)]
    assert means == pytest.approx(detector.score(clips)["mse"], rel=1e-4)
