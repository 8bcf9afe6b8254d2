"""``asd-ray onnx`` as a user types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.cli.onnx import main as onnx

from ..deploy.conftest import SmallRun, small

__all__ = ["small"]

OWN_CLASS = """
from asd_ray.detectors.families.twfr_gmm import TwfrGmm


class Mine(TwfrGmm):
    VERSION = 1

    @staticmethod
    def space(trial):
        return {}
"""


def test_it_lists_what_it_wrote(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert onnx([str(small.folder)]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert all(line.startswith("exporting fan-") for line in lines[:2])
    assert lines[2].startswith("fan_onnx/idnn_t")
    assert lines[3].startswith("fan_onnx/twfr_gmm_t")
    assert lines[4:] == ["fan_onnx/onnx.json"]
    assert all(Path(line.split("  ")[0]).is_file() for line in lines[2:])
    assert printed.err == ""


def test_a_member_that_is_left_out_is_named_and_the_status_is_1(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(OWN_CLASS)
    monkeypatch.syspath_prepend(str(tmp_path))
    from asd_ray import Run

    run = Run(tmp_path / "run")
    run.search(small.data, "fan", families="mine:Mine", trials=1, serial=True, quiet=True)
    run.ensemble("fan", "best_single")
    run.bundle("fan", tmp_path / "mine.bundle")
    capsys.readouterr()
    assert onnx([str(tmp_path / "mine.bundle"), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.err == "asd-ray onnx: left out: fan-mine-0000 gmm: its class has no exporter\n"
    assert printed.out.splitlines() == ["exporting fan-mine-0000", str(tmp_path / "out" / "onnx.json")]


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, small: SmallRun, tmp_path: Path
) -> None:
    """In another process, where the package cannot be found."""
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *rest: None if name == {package!r} else find(name, *rest)\n"
        "from asd_ray.__main__ import main\n"
        f"sys.exit(main(['onnx', {str(small.folder)!r}, '--out', {str(tmp_path / 'out')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"asd-ray onnx: exporting to ONNX needs {package}; install it: pip install 'asd_ray[onnx]'\n"
    assert not (tmp_path / "out").exists()
