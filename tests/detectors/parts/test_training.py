from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from asd_ray.clips.bank import Bank
from asd_ray.detectors import Context
from asd_ray.detectors.parts import training
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, FeatureCache

MakeBank = Callable[[dict[str, npt.NDArray[np.floating]]], Bank]


def test_clips_shorter_than_a_window_are_repeated_up_to_it(bank_of: MakeBank, tmp_path: Path) -> None:
    rng, context = np.random.default_rng(0), Context(features=FeatureCache(tmp_path / "cache"))
    counts = [6, 20, 5]  # frames
    clips = bank_of(
        {
            f"fan/train/section_00_source_train_normal_{i:04d}_vel_1": rng.normal(0, 0.1, 512 * (count - 1))
            for i, count in enumerate(counts)
        }
    ).select()
    plain, _ = training.frames_of(PRESETS["baseline"], clips, 3, context)
    frames, windows = training.frames_of(PRESETS["baseline"], clips, 11, context, hop=4)
    assert windows.counts.tolist() == [1, 3, 1]
    assert windows.start.tolist() == [0, 11, 15, 19, 31]
    one, two, three = plain.split(counts)
    assert torch.equal(frames[:11], torch.cat([one, one[:5]]))
    assert torch.equal(frames[11:31], two)
    assert torch.equal(frames[31:], torch.cat([three, three, three[:1]]))


def test_a_call_before_fit_names_class_and_method() -> None:
    with pytest.raises(AsdRayError, match="state of PosixPath was called before fit; call fit or load first"):
        training.require_fitted(Path(), None, "state")
    assert training.require_fitted(Path(), 0, "state") == 0
