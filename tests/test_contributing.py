"""CONTRIBUTING.md names files that exist, and the template of a detector keeps the contract."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:md|toml|txt))`")  # with a slash, or a file at the top
EXAMPLE = re.compile(r"`(\w+\.py)` is a short one")
TEMPLATE = ROOT / "templates" / "my_detector.py"


def sections() -> dict[str, str]:
    parts = re.split(r"(?m)^## (.+)$", PAGE.read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_file_that_is_named_exists() -> None:
    paths = PATH.findall(PAGE.read_text())
    assert len(paths) >= 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("item", ["A family", "A layout", "An edition", "A protocol", "A criterion"])
def test_each_item_has_the_files_that_it_touches(item: str) -> None:
    text = sections()[item]
    code, tests, pages = (re.findall(rf"`({folder}[^`]+)`", text) for folder in ("asd_ray/", "tests/", "docs/"))
    assert len(code) >= 2
    assert tests
    assert pages
    for name in EXAMPLE.findall(text):
        assert (ROOT / code[0] / name).is_file()


@pytest.mark.parametrize(
    ("item", "names"),
    [
        ("A layout", ("name", "year", "expected", "claims", "name_clips")),
        ("A protocol", ("name", "sentence", "forecasts", "possible", "measure")),
        ("A criterion", ("name", "sentence", "transductive", "reason_against", "values")),
    ],
)
def test_the_members_of_an_interface_are_those_that_are_named(item: str, names: tuple[str, ...]) -> None:
    from asd_ray.clips.layouts import Layout
    from asd_ray.ensembling.criteria import Criterion
    from asd_ray.ensembling.protocols import Protocol

    interface = {"A layout": Layout, "A protocol": Protocol, "A criterion": Criterion}[item]
    members = {name for one in interface.__mro__ for name in vars(one) if not name.startswith("_")}
    assert members - {"register"} == set(names)
    first_row = next(line for line in sections()[item].splitlines() if line.startswith("| `asd_ray/"))
    assert set(names) <= set(re.findall(r"`(\w+)`", first_row))


def test_the_template_of_a_detector_passes_the_conformance_suite(tmp_path: Path) -> None:
    shutil.copy(TEMPLATE, tmp_path)
    words = [sys.executable, "-m", "asd_ray", "conformance", "my_detector:MyDetector"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 of 20 checks passed" in done.stdout
    assert all(command in TEMPLATE.read_text() for command in (" ".join(["asd-ray", *words[3:]]), "--families"))
