"""What the tests of detectors share: one thread, a context, banks of any waves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.detectors import Context, Detector
from asd_ray.features import FeatureCache


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """Each test of a detector runs on one thread."""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(features=FeatureCache(tmp_path / "cache"))


@pytest.fixture
def seed_alone_decides() -> Callable[[Callable[[int], Detector], Bank], list[dict[str, float]]]:
    """Asserts that detectors of one seed score the same to the last bit, even if one of them scored while it learned,
    and those of another seed otherwise: ``seed_alone_decides(lambda seed: Mine(Context(seed=seed)), bank)``.

    Gives the losses of each epoch.
    """

    def check(new: Callable[[int], Detector], bank: Bank) -> list[dict[str, float]]:
        test, losses, found = bank.select(split="test"), [], []
        for seed, asks in ((1, True), (1, False), (2, False)):
            detector = new(seed)
            for progress in detector.fit(bank.select(split="train")):
                if asks:
                    detector.score(test)
                    losses.append(progress.losses)
            found.append(detector.score(test))
        for variant, values in found[0].items():
            np.testing.assert_array_equal(values, found[1][variant])
            assert (values != found[2][variant]).any(), variant
        return losses

    return check


@pytest.fixture
def bank_of(tmp_path: Path) -> Callable[[dict[str, npt.NDArray[np.floating]]], Bank]:
    """A bank of given waves: ``bank_of({"fan/train/section_00_source_train_normal_0000_vel_1": wave})``."""

    def make(waves: dict[str, npt.NDArray[np.floating]]) -> Bank:
        for name, wave in waves.items():
            path = tmp_path / "waves" / "dev_data" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wave, 16_000, subtype="PCM_16")
        return open_bank(tmp_path / "waves", workers=1)

    return make
