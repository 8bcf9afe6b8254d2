"""A table on Ray: all searches of one command share one Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd_ray import Run
from asd_ray.__main__ import main
from asd_ray.tuning.config import Runtime
from asd_ray.tuning.on_ray._ray import ray
from asd_ray.tuning.shared_ray import SharedRay


def test_all_searches_of_a_table_run_on_one_ray(folder: Path, tmp_path: Path, python: Callable[..., Any]) -> None:
    """In a process of its own: Ray keeps its token and settings for the life of a process."""
    code = """
        import sys
        from asd_ray import Dataset, Run
        from asd_ray.tuning.on_ray._ray import ray

        started, init = [], ray.init
        ray.init = lambda **how: (started.append(how["num_cpus"]), init(**how))[1]
        data = Dataset(sys.argv[1], cache=sys.argv[3])
        how = dict(epochs_cap=1, seeds=2, cpus=1, memory_per_trial=0.25, dashboard=False, quiet=True)
        result = Run(sys.argv[2]).paper("liu2022", "2", data, "fan", rows="IDNN", **how)
        print(started, ray.is_initialized(), len(result.number("IDNN", "fan", "AUC").ours))
        """
    process = python(code, folder, tmp_path / "run", tmp_path / "cache")
    out, err = process.communicate(timeout=280)
    assert out.splitlines()[-1:] == ["[1] False 2"], err
    assert sorted(Run(tmp_path / "run").trials()["seed"]) == [0, 1]


def test_ray_starts_when_the_first_search_needs_it() -> None:
    with SharedRay(Runtime()):
        assert not ray.is_initialized()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--address", "ray://head:10001"), "run the command on a node of that cluster, with --address auto"),
        (("--address", "127.0.0.1:1"), "nothing answers at 127.0.0.1:1"),
        (("--cpus-per-trial", "4096", "--serial"), "--cpus-per-trial 4096: this computer has"),
    ],
)
def test_what_cannot_run_is_one_message(
    words: tuple[str, ...], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ["paper", "liu2022", "--table", "2", "--row", "IDNN", "--data", str(folder), "--run", str(tmp_path / "run")]
    assert main([*table, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "ledger").exists()
    assert not ray.is_initialized()


def test_options_of_ray_need_a_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "liu2022", "--table", "2", "--address", "auto"]) == 2
    assert "--address is for running a table: give the dataset with --data, too" in capsys.readouterr().err
