"""The benchmark of backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray.detectors.parts.backends import BACKENDS
from benchmarks.bench_backends import main, run, table


def test_every_backend_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--machines", "fan", "--seeds", "1", "--epochs", "1", "--size", "tiny")
    assert main([str(tmp_path), *options]) == 0
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["backend", "fan", "mean", "lowest"]
    assert [line[0] for line in lines[2:]] == [f"`{name}`" for name in BACKENDS]
    assert all(0 < float(cell) < 1 for line in lines[2:] for cell in line[1:])
    assert len({tuple(line[1:]) for line in lines[2:]}) > 3  # they are not one score under many names


def test_a_cell_is_the_mean_over_the_seeds() -> None:
    found = {"knn": {"fan": [0.5, 0.7], "pump": [0.4, 0.6]}}
    assert table(found).splitlines()[-1] == "| `knn` | 0.600 | 0.500 | 0.550 | 0.400 |"


def test_the_cost_of_every_backend_is_measured() -> None:
    rows = list(run())
    assert [row[0].split()[1].strip(",") for row in rows] == list(BACKENDS)
    assert all(row[2] > 0 for row in rows)
