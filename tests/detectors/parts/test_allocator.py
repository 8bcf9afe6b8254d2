from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from asd_ray.detectors.parts import allocator
from asd_ray.detectors.parts.allocator import kept_memory

PAGES = (64 << 20) // resource.getpagesize()  # of one large array

pytestmark = pytest.mark.skipif(allocator._glibc() is None, reason="needs glibc")


def faults_of_a_large_array() -> int:
    """Pages that the kernel gives this thread while it writes and frees 64 MB."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    np.full(64 << 20, 1, np.uint8)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_large_arrays_take_the_same_memory_again_and_give_it_back_at_the_end() -> None:
    with kept_memory():
        faults_of_a_large_array()
        assert faults_of_a_large_array() < PAGES / 8
        with kept_memory():
            pass
        assert faults_of_a_large_array() < PAGES / 8, "the first to leave must not end it for the others"
        inside = resident_pages()
    assert inside - resident_pages() > PAGES / 2


def test_an_error_inside_ends_it_too() -> None:
    with pytest.raises(ValueError, match="inside"), kept_memory():
        raise ValueError("inside")
    assert allocator._holders == 0


def test_without_glibc_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with kept_memory():
        assert allocator._holders == 0
