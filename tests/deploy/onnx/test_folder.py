"""A bundle as a folder of ONNX files, and the program of the page that scores with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_ray import AsdRayError
from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.onnx.folder import MemberFile, export_bundle
from asd_ray.detectors.families.idnn import IDNN
from tests.deploy.conftest import SmallRun

PAGE = Path(__file__).parents[3] / "docs" / "onnx.md"


class Mine(IDNN):
    """A class of a user."""


@pytest.fixture(scope="module")
def exported(small: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[MemberFile, ...]]:
    folder = tmp_path_factory.mktemp("exported") / "fan_onnx"
    return folder, export_bundle(small.load(), folder)


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "onnx.json").read_text())


def with_a_class_of_a_user(bundle: Bundle) -> Bundle:
    """The bundle, with a class of a user in the place of IDNN."""
    (trial,) = (trial for trial, detector in bundle.detectors.items() if isinstance(detector, IDNN))
    mine = Mine(bundle.detectors[trial].context, hidden=16)
    mine.load(bundle.detectors[trial].state())
    return replace(bundle, detectors={**bundle.detectors, trial: mine})


def test_members_of_one_detector_share_a_file(small: SmallRun, exported: tuple[Path, tuple[MemberFile, ...]]) -> None:
    folder, members = exported
    files = {member.family: member.file for member in members}
    assert sorted(files) == ["idnn", "twfr_gmm"]
    assert len(members) == len(small.load().members) == 3  # two of them are variants of IDNN
    assert {path.name for path in folder.iterdir()} == {*files.values(), "onnx.json"}
    assert all(member.file == files[member.family] for member in members)
    assert {m.family: m.exported and m.exported.variants for m in members} == {
        "idnn": tuple(m.variant for m in members if m.family == "idnn"),
        "twfr_gmm": ("gmm",),
    }


def test_the_index_has_what_scoring_takes(small: SmallRun, exported: tuple[Path, tuple[MemberFile, ...]]) -> None:
    index, bundle = read(exported[0]), small.load()
    assert index["format"] == "asd_ray-onnx/1"
    assert (index["machine"], index["rate"], index["channel"]) == ("fan", 16_000, 0)
    assert (index["combine"], index["threshold"]) == (bundle.ensemble.combine, bundle.threshold)
    assert index["statistics"]["centre"] == bundle.calibration.statistics.centre.tolist()
    assert [member["weight"] for member in index["members"]] == [member.weight for member in bundle.members]
    by_family = {member["family"]: member for member in index["members"]}
    assert by_family["idnn"]["ids"] == []
    assert by_family["twfr_gmm"]["ids"] == ["fan/00", "fan/01"]
    assert (by_family["idnn"]["samples"], by_family["idnn"]["least_samples"]) == (None, 2048)


@pytest.mark.parametrize("id", ["00", "01", ""])
def test_the_program_of_the_page_scores_as_the_bundle_does(
    id: str, small: SmallRun, exported: tuple[Path, tuple[MemberFile, ...]], tmp_path: Path
) -> None:
    """In a process that can import neither torch nor asd_ray."""
    program = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE.read_text())[-1]
    without = "import sys; sys.modules.update(torch=None, asd_ray=None, onnx=None)\n"
    bundle = small.load()
    clip = next(path for path in small.clips if f"section_{id}" in path.name)
    own = without + program.replace('"fan_onnx", "new.wav", "00"', f"{str(exported[0])!r}, {str(clip)!r}, {id!r}")
    done = subprocess.run([sys.executable, "-c", own], capture_output=True, text=True, check=True, cwd=tmp_path)
    score, decision = done.stdout.split()
    expected = bundle.score(clip, id=id)
    np.testing.assert_allclose(float(score), expected.score, rtol=1e-4, atol=1e-4)
    assert decision == expected.decision


def test_a_member_that_cannot_be_exported_has_a_reason(small: SmallRun, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    members = export_bundle(with_a_class_of_a_user(small.load()), tmp_path / "out")
    assert {(member.family, member.why_not) for member in members} == {
        ("idnn", "its class has no exporter"),
        ("twfr_gmm", ""),
    }
    for member in read(tmp_path / "out")["members"]:
        left_out = member["family"] == "idnn"
        assert (member["file"] is None) == (member["ids"] is None) == (member["least_samples"] is None) == left_out


def test_files_of_former_members_are_removed_and_no_others(small: SmallRun, tmp_path: Path) -> None:
    bundle, out = with_a_class_of_a_user(small.load()), tmp_path / "out"
    (file,) = {member.file for member in export_bundle(bundle, out) if member.file}
    (out / "mine.txt").write_text("a file of the user")
    former = out / "idnn_t0.onnx"
    former.write_text("of another ensemble")
    index = read(out)
    index["members"][0]["file"] = former.name
    index["members"].append({"file": "../mine.onnx"})
    (out / "onnx.json").write_text(json.dumps(index))
    (tmp_path / "mine.onnx").write_text("a file beside the folder")
    export_bundle(bundle, out)
    assert {path.name for path in out.iterdir()} == {"mine.txt", "onnx.json", file}
    assert (tmp_path / "mine.onnx").is_file()


@pytest.mark.parametrize(("out", "message"), [("file", "is a file, and a folder is needed"), ("s3://b/x", "on a disk")])
def test_a_place_that_cannot_hold_the_files_is_named(
    out: str, message: str, small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(AsdRayError, match=message):
        export_bundle(small.load(), out)


def test_a_folder_with_other_files_is_left_alone(small: SmallRun, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(AsdRayError, match="this folder holds other files; name another place with --out"):
        export_bundle(small.load(), folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
