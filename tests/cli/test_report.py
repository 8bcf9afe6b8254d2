from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.ledger import Ledger
from asd_ray.report import main
from tests.reporting.conftest import choose, fill


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "runs" / "small"
    fill(Ledger(folder), "fan", trials=2)
    choose(folder, "best_single")
    return folder


def test_files_go_into_the_run_and_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(run)]) == 0
    *printed, bundle, after = capsys.readouterr().out.splitlines()
    assert bundle == f"to score new sound: asd-ray bundle MACHINE --run {run}"
    assert printed[0] == str(run / "report" / "report.html")
    assert after == f"next: open {printed[0]} in a browser"
    names = [
        "report.html",
        "report.json",
        "report.md",
        "summary.csv",
        "recipes.csv",
        "trials.csv",
        "fan-leaderboard.csv",
    ]
    assert printed == [str(run / "report" / name) for name in names]
    assert sorted(path.name for path in (run / "report").iterdir()) == sorted(names)
    assert json.loads((run / "report/report.json").read_text())["format"] == "asd_ray-report/1"


def test_files_go_where_they_are_asked_for(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parents[1])  # the one run in runs/ is meant
    assert main(["--out", str(tmp_path / "there")]) == 0
    assert (tmp_path / "there/report.html").read_text().startswith("<!doctype html>")


def test_a_run_without_ensembles_is_told_the_cure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(Ledger(tmp_path / "run"), "fan", trials=1)
    assert main(["--run", str(tmp_path / "run")]) == 2
    assert "run: asd-ray ensemble --run" in capsys.readouterr().err
    assert not (tmp_path / "run" / "report").exists()


def test_no_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path / "nothing")]) == 2
    assert "no run here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("asd_ray.report", "torch ray optuna pandas numpy jinja2"), ("asd_ray.reporting", "torch ray optuna")],
)
def test_it_starts_quickly(module: str, heavy: str) -> None:
    code = f"import sys, {module}; print(*(set('{heavy}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_report_without_recordings_never_loads_torch(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from asd_ray.report import main; "
        f"main(['--run', {str(run)!r}, '--out', {str(tmp_path / 'report')!r}]); "
        "print('torch' in sys.modules, 'soundfile' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["False", "False"]
    assert (tmp_path / "report" / "report.html").is_file()


def test_optuna_is_imported_where_it_is_needed_alone() -> None:
    folder = Path(sys.modules["asd_ray"].__path__[0]) / "reporting"
    users = [path.name for path in folder.rglob("*.py") if "import optuna" in path.read_text()]
    assert set(users) <= {"importances.py", "optuna_db.py"}
