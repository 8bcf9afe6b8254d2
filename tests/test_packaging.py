from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from asd_ray._shipped import shipped
from asd_ray.errors import AsdRayError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["search_spaces", "ensembles", "dashboards"])
def test_this_install_finds_what_we_ship(folder: str) -> None:
    assert (shipped(folder) / "README.md").is_file()


def test_a_folder_that_is_not_shipped_is_an_error() -> None:
    with pytest.raises(AsdRayError, match="reinstall asd_ray"):
        shipped("nothing")


def test_a_wheel_finds_what_we_ship(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    site = tmp_path / "site"
    code = f"import sys; sys.path.insert(0, {str(site)!r}); from asd_ray._shipped import shipped\n"
    code += (
        "for f in ('search_spaces', 'ensembles', 'dashboards'): print(*sorted(p.name for p in shipped(f).iterdir()))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    for folder, listed in zip(("search_spaces", "ensembles", "dashboards"), done.stdout.splitlines(), strict=True):
        assert listed.split() == sorted(p.name for p in (ROOT / folder).iterdir() if p.name != "__pycache__")
    assert not (site / "search_spaces").exists()  # nothing of ours at the top of site-packages


def test_the_command_is_installed() -> None:
    done = subprocess.run([str(Path(sys.executable).parent / "asd-ray"), "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("asd_ray ")


def test_constraints_pin_every_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {w.split("[")[0].split(">")[0].split("<")[0].strip().lower().replace("_", "-") for w in wanted}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert all("==" in line for line in lines)
    assert names <= pinned
    assert "torch==2.13.0" in lines
