"""The demo set of two channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asd_ray.clips.bank import open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.clips.demo.machines import MACHINES
from asd_ray.clips.demo.plan import DemoClip
from asd_ray.errors import AsdRayError


def test_a_set_of_two_channels(tmp_path: Path) -> None:
    folder = make_demo(tmp_path / "demo", size="tiny", machines=["fan"], seconds=1.0, channels=2)
    bank = open_bank(folder, channel="all", cache=tmp_path)
    assert bank.channels == 2
    assert len(bank) == 4 * (12 + 3 + 4 * 4)
    assert make_demo(folder, size="tiny", machines=["fan"], seconds=1.0, channels=2) == folder
    with pytest.raises(AsdRayError, match="other settings"):
        make_demo(folder, size="tiny", machines=["fan"], seconds=1.0)
    with pytest.raises(AsdRayError, match="1 or 2 channels but got 3"):
        make_demo(tmp_path / "other", channels=3)


@pytest.mark.parametrize("machine", list(MACHINES))
def test_the_far_microphone_hears_the_same_noise_and_less_of_the_machine(machine: str) -> None:
    both = DemoClip(machine, 0, "train", "source", "normal", 0).on_two_channels(0, 2.0).astype(float)
    assert both.shape == (32_000, 2)
    near, far = np.abs(np.fft.rfft(both, axis=0)).T
    whine = MACHINES[machine].drive_hz[0]
    line = slice(int(2 * whine * 0.97), int(2 * whine * 1.03))  # bins of 0.5 Hz
    assert near[line].max() > 1.5 * far[line].max()
    assert np.corrcoef(both.T)[0, 1] > 0.3
