"""A bundle as a folder of ONNX files, and the program of the page that scores with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray import AsdRayError, Dataset, Run
from asd_ray.__main__ import main
from asd_ray.clips.demo import make_demo
from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.onnx.folder import export_bundle

PAGE = Path(__file__).parents[3] / "docs" / "onnx.md"
MODULE = """
import numpy as np
from asd_ray import PRESETS, Progress, Resources


class Level:
    RESOURCES = Resources()
    VERSION = 1

    def __init__(self, context):
        self.context = context

    @staticmethod
    def space(trial):
        return {}

    @property
    def front_end(self):
        return PRESETS["baseline"].at(self.context.rate)

    def fit(self, train):
        yield Progress(1, {"level": 0.0})

    def score(self, clips):
        return {"level": np.array([np.abs(clips.samples(i) / 32768.0).mean() for i in range(len(clips))])}

    def state(self):
        return {"fitted": True}

    def load(self, state):
        pass
"""


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Dataset, Path]:
    """A run with trials of two of our families and of a class of a user, whose module lies in the folder."""
    folder = tmp_path_factory.mktemp("onnx")
    (folder / "level_of_sound.py").write_text(MODULE)
    make_demo(folder / "demo", size="tiny", machines=["fan"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASD_RAY_CACHE", str(folder / "cache"))
        patch.syspath_prepend(str(folder))
        data, run = Dataset(folder / "demo"), Run(folder / "run")
        families = ["idnn", "twfr_gmm", "level_of_sound:Level"]
        run.search(data, "fan", families=families, trials=1, epochs_cap=1, serial=True, quiet=True)
    return run, data, folder


@pytest.fixture(scope="module")
def bundle_of(search: tuple[Run, Dataset, Path]) -> Callable[..., Path]:
    """``bundle_of("idnn", "twfr_gmm")``: the folder of a bundle of these families, combined by the mean."""
    run, _, folder = search

    def write(*families: str) -> Path:
        out = folder / f"{'_'.join(families)}.bundle"
        if not out.exists():
            recipe = folder / f"{'_'.join(families)}.toml"
            slots = [f'[[slots]]\nfamily = "{family}"\n' for family in families]
            recipe.write_text("\n".join(['select = "slots"\ncombine = "mean"\n', *slots]))
            run.ensemble("fan", recipe, final=True)
            run.bundle("fan", out)
        return out

    return write


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "onnx.json").read_text())


def test_every_member_gets_a_file(
    bundle_of: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["onnx", str(bundle_of("idnn", "twfr_gmm")), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    index = read(out)
    files = sorted(member["file"] for member in index["members"])
    assert [name.rpartition("_")[0] for name in files] == ["idnn", "twfr_gmm"]
    assert {path.name for path in out.iterdir()} == {*files, "onnx.json"}
    lines = printed.out.splitlines()
    assert lines[-1] == str(out / "onnx.json")
    assert [line.split("  ")[0] for line in lines[-3:-1]] == [str(out / name) for name in files]
    assert printed.err == ""
    assert index["format"] == "asd_ray-onnx/1"
    assert (index["machine"], index["rate"], index["combine"]) == ("fan", 16_000, "mean")
    assert {member["family"]: member["ids"] for member in index["members"]} == {
        "idnn": [],
        "twfr_gmm": ["fan/00", "fan/01", "fan/02", "fan/03"],
    }

    (out / "mine.txt").write_text("a file of the user")
    exported = export_bundle(Bundle.load(bundle_of("twfr_gmm")), out)
    assert [member.file for member in exported] == files[1:]
    left = {path.name for path in out.iterdir()}
    assert left == {"mine.txt", "onnx.json", files[1]}  # the file of a former member is gone


def test_the_program_of_the_page_scores_as_the_bundle_does(
    bundle_of: Callable[..., Path],
    search: tuple[Run, Dataset, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = Bundle.load(bundle_of("idnn", "twfr_gmm"))
    export_bundle(bundle, tmp_path / "fan_onnx")
    program = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE.read_text())[-1]
    monkeypatch.chdir(tmp_path)
    test = search[1].bank().select(split="test")
    without = "import sys; sys.modules.update(torch=None, asd_ray=None, onnx=None)\n"  # their import is then an error
    for position, id in ((0, "00"), (len(test) - 1, "03"), (1, "")):
        soundfile.write("new.wav", test.samples(position), 16_000, subtype="PCM_16")
        own = without + program.replace('"new.wav", "00"', f'"new.wav", "{id}"')
        done = subprocess.run([sys.executable, "-c", own], capture_output=True, text=True, check=True)
        score, decision = done.stdout.split()
        expected = bundle.score("new.wav", id=id)
        np.testing.assert_allclose(float(score), expected.score, rtol=1e-4, atol=1e-4)
        assert decision == expected.decision


def test_a_member_that_cannot_be_exported_is_named_with_the_reason(
    bundle_of: Callable[..., Path],
    search: tuple[Run, Dataset, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(search[2]))
    assert main(["onnx", str(bundle_of("twfr_gmm", "level")), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.err.endswith("level: its class has no exporter\n")
    index = read(tmp_path / "out")
    assert {member["family"]: member["why_not"] for member in index["members"]} == {
        "twfr_gmm": "",
        "level": "its class has no exporter",
    }
    (left_out,) = (member for member in index["members"] if member["family"] == "level")
    assert left_out["file"] is left_out["samples"] is left_out["ids"] is None


def test_the_folder_is_named_after_the_bundle(
    bundle_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["onnx", str(bundle_of("twfr_gmm"))]) == 0
    assert (tmp_path / "twfr_gmm_onnx" / "onnx.json").is_file()


@pytest.mark.parametrize(("out", "message"), [("file", "is a file, and a folder is needed"), ("s3://b/x", "on a disk")])
def test_a_place_that_cannot_hold_the_files_is_named(
    out: str, message: str, bundle_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(AsdRayError, match=message):
        export_bundle(Bundle.load(bundle_of("twfr_gmm")), out)


def test_a_folder_with_other_files_is_left_alone(bundle_of: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(AsdRayError, match="this folder holds other files"):
        export_bundle(Bundle.load(bundle_of("twfr_gmm")), folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, bundle_of: Callable[..., Path], tmp_path: Path
) -> None:
    """In another process, where the package cannot be found."""
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *rest: None if name == {package!r} else find(name, *rest)\n"
        "from asd_ray.__main__ import main\n"
        f"sys.exit(main(['onnx', {str(bundle_of('twfr_gmm'))!r}, '--out', {str(tmp_path / 'out')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"asd-ray onnx: exporting to ONNX needs {package}; install it: pip install 'asd_ray[onnx]'\n"
    )
    assert not (tmp_path / "out").exists()
