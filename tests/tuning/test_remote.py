"""What Ctrl-C does in a terminal that follows a search on a cluster; the following itself is in test_faults.py."""

from __future__ import annotations

import signal

import pytest

from asd_ray.tuning.on_ray.client import _pressed


def test_two_presses_are_noted_and_the_third_is_raised() -> None:
    before = signal.getsignal(signal.SIGINT)
    with _pressed() as presses:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert len(presses) == 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
