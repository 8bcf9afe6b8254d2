from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asd_ray.deploy.explain import Explanation, Grid, explain
from asd_ray.errors import StorageError

from .conftest import RATE, BandEnergy, hiss, samples, with_tone


@pytest.fixture(scope="module")
def explanation(scorer: BandEnergy) -> Explanation:
    return explain(scorer, with_tone(), "00", name="recordings/new.wav")


def colours(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"), float)


def test_the_picture_has_the_spectrogram_left_and_a_red_spot_right(explanation: Explanation, tmp_path: Path) -> None:
    pixels = colours(explanation.save_png(tmp_path / "new.png"))
    height, width, _ = pixels.shape
    assert width > 2 * height
    red = (pixels[..., 0] > 100) & (pixels[..., 1:].max(2) < 60)
    rows, columns = np.nonzero(red[:, : round(0.9 * width)])  # without the bar of colours
    assert len(rows) > 100
    spot = columns.mean() / width
    axes = 0.53, 0.925  # of the right part, as shares of the width
    assert (spot - axes[0]) / (axes[1] - axes[0]) * 6 == pytest.approx(4.5, abs=0.4)  # seconds
    left = pixels[height // 3 : 2 * height // 3, width // 8 : width // 3]
    assert left.std() > 10  # noise, not one colour


def test_a_map_of_noise_is_pale(scorer: BandEnergy, tmp_path: Path) -> None:
    normal = explain(scorer, samples(hiss(4.0, 60)))
    loud = replace(normal, score=normal.typical + 100 * normal.map.values.max())
    pixels = colours(loud.save_png(tmp_path / "pale.png"))
    height, width, _ = pixels.shape
    inside = pixels[height // 3 : 2 * height // 3, round(0.6 * width) : round(0.85 * width)]
    assert inside.min() > 150


@pytest.mark.parametrize("name", ["a$b$\\frac.wav", "x\x1b[31m\u202e.wav", "ü" * 150 + ".wav", ""])
def test_any_name_can_stand_in_the_title(explanation: Explanation, name: str, tmp_path: Path) -> None:
    colours(replace(explanation, name=name).save_png(tmp_path / "named.png"))


def test_silence_and_long_clips_can_be_drawn(scorer: BandEnergy, tmp_path: Path) -> None:
    for number, wave in enumerate((np.zeros(RATE, np.int16), samples(hiss(40.0)))):
        colours(explain(scorer, wave, grid=Grid(2, 10.0)).later(7.0).save_png(tmp_path / f"{number}.png"))


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing(explanation: Explanation, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="--out"):
        explanation.save_png(tmp_path / "missing" / "new.png")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_loaded_when_a_picture_is_written_and_not_before() -> None:
    code = "import sys, asd_ray.deploy.explain.files; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
