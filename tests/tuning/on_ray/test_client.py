"""Ctrl-C in a terminal that follows a search on a cluster. The search on the cluster itself: test_faults.py."""

from __future__ import annotations

import signal

import pytest

from asd_ray.tuning.on_ray.client import _counted_interrupts


def test_two_interrupts_are_counted_and_the_third_is_raised() -> None:
    before = signal.getsignal(signal.SIGINT)
    with _counted_interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert len(interrupts) == 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
