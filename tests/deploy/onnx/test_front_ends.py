from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.deploy.onnx.front_ends import exported, images, overlapping, vectors, windows
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, FrontEnd, Magnitude, Raw
from asd_ray.features import spectral as of_features
from tests.deploy.onnx.conftest import waves_of

SPECTRAL = {name: preset for name, preset in PRESETS.items() if isinstance(preset, of_features.Spectral)}
OTHERS = {
    "power": Magnitude(power=0.5),
    "energy": Magnitude(power=2.0),
    "amplitude": replace(SPECTRAL["baseline"], power=1.0),
    "window": replace(SPECTRAL["baseline"], n_fft=1000, win_length=700, hop=300),
    "cut": replace(SPECTRAL["twfr"], seconds=1.5),
}


def spectra(clips: ClipSet, front_end: FrontEnd) -> tuple[torch.Tensor, torch.Tensor]:
    """The features of the module and of the front end. A clip is as long as a front end that repeats makes it."""
    waves = torch.from_numpy(waves_of(clips.take(np.arange(4))))
    if front_end.short == "repeat":
        waves = waves.repeat(1, 4)[:, : front_end.used_samples(1)]
    return exported(front_end)(waves), front_end(waves)


@pytest.mark.parametrize("front_end", [*SPECTRAL.values(), *OTHERS.values()], ids=[*SPECTRAL, *OTHERS])
def test_features_are_those_of_the_front_end(front_end: FrontEnd, demo: tuple[ClipSet, ClipSet]) -> None:
    ours, expected = spectra(demo[1], front_end)
    assert ours.shape == expected.shape
    largest = float(expected.abs().max())
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_features_are_those_of_the_front_end_at_other_rates(rate: int, demo: tuple[ClipSet, ClipSet]) -> None:
    ours, expected = spectra(demo[1], PRESETS["baseline"].at(rate))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-3)


def test_all_presets_of_spectra_are_checked() -> None:
    assert len(SPECTRAL) == len(PRESETS) - 2  # the two of raw samples
    with pytest.raises(AsdRayError, match="ONNX: a front end of kind 'raw' is not one of a spectrum"):
        exported(Raw())


@pytest.mark.parametrize(("size", "hop"), [(8, 4), (8, 8), (9, 4), (7, 3), (5, 1), (4, 6)])
@pytest.mark.parametrize("samples", [9, 24, 31])
def test_frames_and_windows_are_those_of_unfold(size: int, hop: int, samples: int) -> None:
    waves = torch.randn(2, samples)
    expected = waves.unfold(1, size, hop)
    torch.testing.assert_close(overlapping(waves, size, hop), expected, rtol=0, atol=0)
    torch.testing.assert_close(windows(waves[..., None], size, hop)[..., 0], expected, rtol=0, atol=0)
    torch.testing.assert_close(vectors(waves[..., None], size)[..., 0], waves.unfold(1, size, 1), rtol=0, atol=0)


def test_images_are_mel_by_time() -> None:
    frames = torch.randn(2, 20, 3)
    pictures = images(frames, 8, 4)
    assert pictures.shape == (2 * 4, 1, 3, 8)
    torch.testing.assert_close(pictures[5, 0], frames[1, 4:12].T, rtol=0, atol=0)
