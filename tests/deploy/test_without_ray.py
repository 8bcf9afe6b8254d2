"""A bundle on a computer that has neither Ray nor Optuna: a real virtual environment with what scoring needs alone."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from asd_ray.deploy.writing import NEEDS

from .conftest import SmallRun

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[A-Za-z0-9_.-]+")
FORBIDDEN = ("ray", "optuna", "tensorboardX", "yaml", "pytest")


def needed(names: Iterator[str] | list[str], seen: set[str]) -> set[str]:
    """The distributions that these packages need, themselves included."""
    for text in names:
        name = NAME.match(text)
        if name is None or "extra ==" in text or (key := name[0].lower().replace("_", "-")) in seen:
            continue
        try:
            distribution = importlib.metadata.distribution(key)
        except importlib.metadata.PackageNotFoundError:  # of another platform
            continue
        seen.add(key)
        needed(distribution.requires or [], seen)
    return seen


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment whose packages are links to those that are installed here, and asd_ray's own folder."""
    folder = tmp_path_factory.mktemp("small machine") / "venv"
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in sorted(needed(list(NEEDS), set())):
        for file in importlib.metadata.distribution(name).files or []:
            top = file.parts[0]
            source = Path(str(importlib.metadata.distribution(name).locate_file(top)))
            if top not in ("..", "__pycache__") and source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    (site / "asd_ray").symlink_to(ROOT / "asd_ray")
    shutil.copytree(_metadata(), site / "asd_ray-0.1.0.dist-info")
    return folder / "bin" / "python"


def _metadata() -> Path:
    found = importlib.metadata.distribution("asd_ray")
    return Path(str(found.locate_file(next(file for file in found.files or [] if file.name == "METADATA")))).parent


def test_the_environment_has_no_ray(python: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {FORBIDDEN!r} if u.find_spec(n)])"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_bundle_scores_there_as_here(python: Path, small: SmallRun, tmp_path: Path) -> None:
    moved = tmp_path / "fan.bundle"
    shutil.copytree(small.folder, moved)
    clips = list(map(str, small.clips[:3]))
    out = subprocess.run(
        [python, "-m", "asd_ray.score", str(moved), *clips, "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    there = [json.loads(line)["score"] for line in out.stdout.splitlines()]
    here = [small.load().score(clip, id=re.findall(r"section_(\d\d)", clip)[-1]).score for clip in clips]
    assert there == pytest.approx(here, rel=1e-6)


@pytest.mark.parametrize("verb", ["search", "serve"])
def test_what_needs_more_says_what_to_install(python: Path, verb: str, small: SmallRun, tmp_path: Path) -> None:
    words = ["search", "fan"] if verb == "search" else ["serve", str(small.folder)]
    out = subprocess.run([python, "-m", "asd_ray", *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert out.returncode == 2, out.stdout
    assert "Traceback" not in out.stderr
    assert "pip install" in out.stderr


def test_a_watch_runs_there(python: Path, small: SmallRun, tmp_path: Path) -> None:
    samples, rate = soundfile.read(small.clips[0], dtype="int16")
    words = [python, "-m", "asd_ray.watch", str(small.folder), "-", "--rate", str(rate), "--windows"]
    done = subprocess.run(words, input=samples.tobytes(), capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr.decode()
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert (events[0], events[-1]) == ("started", "stopped")
    assert "window" in events
