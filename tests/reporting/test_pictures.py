"""The script that makes the pictures of docs/, once: each picture has its size and shows something."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.deploy.conftest import SmallRun, small
from tests.reporting.conftest import CHROMIUM

__all__ = ["small"]
SCRIPT = Path(__file__).parents[2] / "docs/pictures.py"


def test_every_picture_of_the_docs_is_made(report: Path, small: SmallRun, tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
    if not CHROMIUM:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    (tmp_path / "run/report").mkdir(parents=True)
    shutil.copy(report, tmp_path / "run/report/report.html")
    make, out = runpy.run_path(str(SCRIPT))["main"], tmp_path / "images"
    words = [tmp_path / "run", small.folder, small.clips[0], "--out", out]
    assert make([str(word) for word in words]) == 0
    sizes = {}
    for path in out.iterdir():
        with Image.open(path) as image:
            sizes[path.stem] = image.size
            assert len(image.getcolors() or ()) > 30, f"{path.name} shows nothing"
    wide, front = sizes.pop("explain"), sizes.pop("front")
    assert sizes == {
        "report": (1100, 640),
        "report-dark": (1100, 640),
        "report-phone": (390, 844),
        "report-machine": (1100, 1100),
    }
    assert wide[0] == front[0] == 1100
    assert front[1] == 430 + 2 + wide[1]
