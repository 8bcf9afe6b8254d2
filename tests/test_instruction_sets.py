"""The benchmark that runs tests under each instruction set."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.instruction_sets import LEVELS, SETTINGS, offers, run

TESTS = """
import os
import pytest

def test_that_passes(): pass
def test_of_the_setting(): assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"
@pytest.mark.skip
def test_that_is_skipped(): pass
"""


@pytest.mark.parametrize(
    ("has", "offered"),
    [
        ("DEFAULT", ["default", "SSE41"]),
        ("AVX2", ["default", "avx2", "SSE41", "AVX2"]),
        ("AVX512", ["default", "avx2", "avx512", "SSE41", "AVX2", "AVX512_CORE"]),
        ("SVE256", ["default", "SSE41"]),
    ],
)
def test_a_processor_is_asked_for_what_it_has(has: str, offered: list[str]) -> None:
    every = [(value, needed) for values in SETTINGS.values() for value, needed in values.items()]
    assert {needed for _, needed in every} == set(LEVELS)
    assert [value for value, needed in every if offers(has, needed)] == offered


@pytest.mark.parametrize(("value", "passed", "failed"), [("avx2", 2, 0), ("default", 1, 1)])
def test_tests_are_counted_under_the_setting(value: str, passed: int, failed: int, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    outcome = run([str(tmp_path)], {"ATEN_CPU_CAPABILITY": value})
    assert (outcome.passed, len(outcome.failed)) == (passed, failed)
    assert all(name.endswith("::test_of_the_setting") for name in outcome.failed)


def test_a_run_without_tests_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no tests ran"):
        run([str(tmp_path)], {})
