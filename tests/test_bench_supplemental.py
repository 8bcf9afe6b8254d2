"""The benchmark of supplemental clips: one row of it, small."""

from __future__ import annotations

import re

import pytest

from benchmarks.bench_supplemental import SETTINGS, USES, main


def test_a_row_compares_a_detector_with_and_without_the_use(capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--size", "tiny", "--seconds", "1", "--machines", "valve", "--seeds", "2", "--families", "twfr_gmm"]
    assert main(short) == 0
    rows = re.findall(
        r"\| `twfr_gmm` \| `subtract_noise` (\S+) \| `gmm` \| (0\.\d{3}) → (0\.\d{3}) \((\S+), (\S+)\) \|",
        capsys.readouterr().out,
    )
    assert [row[0] for row in rows] == ["0.5", "1.0", "2.0"]
    assert len({row[1] for row in rows}) == 1  # the same detector without it
    for _, before, after, *gains in rows:
        assert float(after) - float(before) == pytest.approx(sum(map(float, gains)) / 2, abs=0.002)
        assert float(after) != float(before)


def test_every_use_is_of_a_family_with_settings() -> None:
    assert {use.family for use in USES} == set(SETTINGS)
