"""``asd-ray bundle`` and ``asd-ray score`` as a user types them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.cli.bundle import main as bundle
from asd_ray.cli.score import main as score

from ..deploy.conftest import SmallRun, small

__all__ = ["small"]


def test_bundle_says_what_it_wrote_and_what_comes_next(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundle(["fan", "--run", small.run.layout.root]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fan: ")
    assert lines[0].endswith("→ fan.bundle")
    assert lines[-1] == "next: asd-ray score fan.bundle new.wav"
    assert all(len(line) <= 100 for line in lines)
    assert (tmp_path / "fan.bundle" / "MODEL_CARD.md").is_file()


def test_bundle_without_an_ensemble_names_the_command(
    small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small.run.layout.root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "ensembles")
    assert bundle(["fan", "--run", str(tmp_path / "run")]) == 2
    assert "run first: asd-ray ensemble fan --run" in capsys.readouterr().err


def test_a_table_for_people(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert score([str(small.folder), *map(str, small.clips)]) == 0
    out = capsys.readouterr()
    lines = out.out.splitlines()
    assert lines[0].startswith(f"anomaly: a score above {small.load().threshold:.4f}; ")
    assert lines[1].split() == ["score", "lower", "decision", "file"]
    assert len(lines) == 2 + len(small.clips) + 1
    assert {line.split()[3] for line in lines[2:-1]} == {"normal", "anomaly"}
    assert score([str(small.folder), *map(str, small.clips), "--wide"]) == 0
    wide = capsys.readouterr().out.splitlines()
    assert {line.split()[4] for line in wide[2:-1]} == {"00", "01"}, "ids come from the names"
    assert lines[-1].startswith(f"next: asd-ray explain {small.folder} ")
    assert out.err == ""


def test_json_lines_and_csv_have_the_same_numbers(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert score([str(small.folder), *map(str, small.clips), "--json"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert score([str(small.folder), *map(str, small.clips), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in rows] == [each["name"] for each in objects] == list(map(str, small.clips))
    assert [float(row["score"]) for row in rows] == [each["score"] for each in objects]
    assert [row["decision"] for row in rows] == [each["decision"] for each in objects]
    assert set(objects[0]) == {
        *("name", "id", "seconds", "score", "share_below", "threshold", "members", "warnings", "decision")
    }
    assert len(objects[0]["members"]) == 3


def test_the_exit_status_tells_a_script(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    low, high = ["--threshold", "-1000000"], ["--threshold", "1e9"]
    clip = str(small.clips[0])
    assert score([str(small.folder), clip, "--exit-status", *low]) == 3
    assert score([str(small.folder), clip, "--exit-status", *high]) == 0
    assert score([str(small.folder), clip, *low]) == 0
    capsys.readouterr()


def test_a_broken_file_is_named_and_the_others_are_scored(
    small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert score([str(small.folder), str(tmp_path / "broken.wav"), str(small.clips[0]), "--json"]) == 2
    out = capsys.readouterr()
    first, second = map(json.loads, out.out.splitlines())
    assert first["name"].endswith("broken.wav")
    assert first["error"]
    assert "score" in second
    assert "1 of 2 files could not be scored" in out.err


def test_notes_on_ids_go_to_standard_error(small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(small.clips[0], tmp_path / "new.wav")
    assert score([str(small.folder), str(tmp_path / "new.wav"), "--json"]) == 0
    out = capsys.readouterr()
    assert "note: every file is compared with all ids of fan (00, 01); name one: --id ID" in out.err
    assert json.loads(out.out)["id"] == ""
    assert score([str(small.folder), str(tmp_path / "new.wav"), "--id", "07"]) == 0
    assert "fan has no id 07 in training" in capsys.readouterr().err
    assert score([str(small.folder), str(tmp_path / "new.wav"), "--id", "01"]) == 0
    assert capsys.readouterr().err == ""


def test_a_dataset_is_scored_by_its_layout(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert score([str(small.folder), str(small.data.root), "--layout", "dcase2022", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == len(small.data.clips)
    assert {row["id"] for row in rows} == {"00", "01"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "1", "--false-alarms", "1%"], "both set the threshold"),
        (["--device", "cuda"], "torch sees no GPU here"),
        (["--layout", "dcase2022"], "give the folder that holds the dataset"),
        (["--device", "toaster"], "device must be cpu, cuda or cuda:N but got 'toaster'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    small: SmallRun, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("this computer has a GPU")
    assert score([str(small.folder), str(small.clips[0]), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0%", "100%", "x", "-1", "2", "nan", ""])
def test_a_share_that_is_none_is_refused(small: SmallRun, share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        score([str(small.folder), str(small.clips[0]), "--false-alarms", share])
    assert "must be a share between 0 and 1" in capsys.readouterr().err


LISTEN = """
import sys
from asd_ray.cli.score import main
status = main(sys.argv[1:])
heavy = {"ray", "optuna", "matplotlib", "tensorboardX"} & set(sys.modules)
assert not heavy, heavy
sys.exit(status)
"""


def test_scoring_loads_neither_ray_nor_optuna(small: SmallRun) -> None:
    command = [sys.executable, "-c", LISTEN, str(small.folder), str(small.clips[0]), "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout)["decision"] in ("normal", "anomaly")
