from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import asd_ray
from asd_ray._shipped import shipped
from asd_ray.errors import AsdRayError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["search_spaces", "ensembles", "dashboards"])
def test_this_install_finds_what_we_ship(folder: str) -> None:
    assert (shipped(folder) / "README.md").is_file()


def test_a_folder_that_is_not_shipped_is_an_error() -> None:
    with pytest.raises(AsdRayError, match="reinstall asd_ray"):
        shipped("nothing")


def for_docker(folder: Path) -> Path:
    """A copy of what .dockerignore lets into the build of an image."""
    folder.mkdir()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            source = ROOT / line[1:]
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / source.name)
    return folder


@pytest.mark.parametrize("where", ["the repository", "the build of an image"])
def test_a_wheel_finds_what_we_ship(where: str, tmp_path: Path) -> None:
    source = ROOT if where == "the repository" else for_docker(tmp_path / "context")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {w.split("[")[0].split(">")[0].split("<")[0].strip().lower().replace("_", "-") for w in wanted}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert all("==" in line for line in lines)
    assert names <= pinned
    assert "torch==2.13.0" in lines


def test_the_image_installs_what_the_project_pins() -> None:
    """The file names no version of a package itself, and its last stage runs the command without root."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert len(installs) == 2
    assert all("pip install -c constraints.txt" in line for line in installs)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (chosen,) = re.findall(r"(?m)^ARG EXTRAS=(.+)$", "\n".join(lines))
    assert set(chosen.split(",")) <= set(extras)
    assert "USER 1000:1000" in lines
    last = "\n".join(lines).rpartition("\nFROM ")[2]
    assert "python3 ca-certificates " in last  # for https and s3
    assert lines[-2:] == ['ENTRYPOINT ["asd-ray"]', 'CMD ["--help"]']


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what the format requires
    assert (cited["version"], cited["license"]) == (asd_ray.__version__, "Apache-2.0")
