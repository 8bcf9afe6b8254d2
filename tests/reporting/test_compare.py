"""Runs side by side: what is compared, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.report import main
from asd_ray.reporting import RunComparison, compare, write_comparison
from asd_ray.reporting.compare import MachineComparison
from asd_ray.reporting.compare_page import contents
from tests.reporting.conftest import EVIL, fill_normal_only


@pytest.fixture(scope="module")
def two(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A run, and a copy of it that lacks one machine's ensemble."""
    other = shutil.copytree(filled, tmp_path_factory.mktemp("others") / "other")
    shutil.rmtree(other / "ensembles" / "ToyCar")
    return [str(filled), str(other)]


@pytest.fixture(scope="module")
def comparison(two: list[str]) -> RunComparison:
    return compare(two)


def test_the_machines_of_all_runs_stand_side_by_side(comparison: RunComparison, two: list[str]) -> None:
    assert comparison.runs == tuple(two)
    fan, car = comparison.machines
    assert (fan.machine, car.machine) == ("fan", "ToyCar")
    assert [own.run for own in fan.runs] == two
    assert (fan.without, fan.against) == ((), ())
    assert fan.notes == ("the intervals overlap, so these clips do not show which run is better",)
    assert (car.without, car.against) == ((two[1],), ("only one of the runs has an ensemble of this machine",))
    stored = json.loads((Path(two[0]) / "ensembles/fan/final.json").read_text())
    first = fan.runs[0]
    assert first.protocol is not None
    own = stored["metrics"][first.protocol]
    assert (first.value, first.auc, first.pauc) == (own["value"], own["auc"], own["pauc"])
    assert (first.trials, first.fingerprint) == (3 * 14, "0123456789abcdef")
    assert first.counts is not None
    assert first.seconds is not None


def test_a_file_of_an_earlier_version_has_the_trust_level_of_its_report(two: list[str], tmp_path: Path) -> None:
    """It has no warnings, so they are found in the ledger, as the report does."""
    old = shutil.copytree(two[0], tmp_path / "old")
    file = old / "ensembles/fan/final.json"
    stored = json.loads(file.read_text())
    assert any(warning["name"] == "few_clips" for warning in stored.pop("warnings"))
    file.write_text(json.dumps(stored))
    first, same = compare([two[0], str(old)]).machines[0].runs
    assert same.trust == first.trust


def test_json_reads_back(comparison: RunComparison) -> None:
    stored = json.loads(dict(contents(comparison))["comparison.json"])
    assert stored["format"] == "asd_ray-comparison/1"
    assert RunComparison.from_json(stored).to_json() == comparison.to_json()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fingerprint": "another"}, "they are of other clips"),
        ({"fingerprint": ""}, "an imported system"),
        ({"maximise": "auc"}, "they are of other measures: hmean, auc"),
        ({"year": None}, "they are of other cells: DCASE 2022, no year"),
        ({"value": None}, "nothing was measured in other"),
        ({"protocol": "unseen"}, "other was measured on unseen clips and "),
        ({"forecasts": False}, "the number of other is an upper bound"),
    ],
)
def test_numbers_that_cannot_be_compared_are_refused(
    comparison: RunComparison, changes: dict[str, Any], words: str
) -> None:
    first = comparison.machines[0].runs[0]
    found = MachineComparison.of("fan", [first, replace(first, run="other", **changes)], [])
    assert len(found.against) == 1
    assert words in found.against[0]
    assert found.notes == ()


def test_a_difference_is_called_one_only_where_intervals_are_apart(comparison: RunComparison) -> None:
    first = replace(comparison.machines[0].runs[0], run="a", value=0.6, interval=(0.55, 0.65))
    better = replace(first, run="b", value=0.8, interval=(0.75, 0.85), protocol="label_free")
    notes = MachineComparison.of("fan", [first, better], []).notes
    assert notes[0].startswith("the protocols differ (")
    assert notes[1] == "b is better: its interval lies above all others"
    third = replace(first, run="c", value=0.5, interval=(0.2, 0.79))  # the worst, but hardly measured
    notes = MachineComparison.of("fan", [first, better, third], []).notes
    assert notes[1] == "the intervals overlap, so these clips do not show which run is better"


def test_the_page_escapes_names_and_says_what_cannot_be_compared(comparison: RunComparison) -> None:
    first = comparison.machines[0].runs[0]
    other = replace(first, run=EVIL, detectors=EVIL, fingerprint="another")
    own = MachineComparison.of(EVIL, [first, other], [EVIL])
    given = replace(comparison, runs=(first.run, EVIL), machines=(own,), not_read=(EVIL,))
    page = dict(contents(given))["comparison.html"]
    assert "<script" not in page
    assert "<b>&" not in page
    assert "Do not compare these numbers" in page
    assert first.counts is not None
    assert first.counts.sentence in page


def test_one_run_or_none_with_ensembles_is_an_error(two: list[str], tmp_path: Path) -> None:
    for runs in (two[:1], [two[0], two[0]], [two[0], f"{two[0]}/../{Path(two[0]).name}"], []):
        with pytest.raises(AsdRayError, match="two different runs or more can be compared"):
            compare(runs)
    empty = [Ledger(tmp_path / name) for name in "ab"]
    for ledger in empty:
        fill_normal_only(ledger, "press", trials=1, families=1)
    with pytest.raises(AsdRayError, match="none of these runs has an ensemble; run: asd-ray ensemble --run"):
        compare(empty)


def test_the_command_prints_a_table_and_writes_the_files(
    two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--compare", *two]) == 0
    printed = capsys.readouterr().out
    assert "the intervals overlap" in printed
    assert "do not compare these numbers: only one of the runs" in printed
    assert (tmp_path / "comparison" / "comparison.html").read_text().startswith("<!doctype html>")
    assert main(["--compare", *two]) == 0  # our own files are replaced
    (tmp_path / "comparison" / "comparison.html").write_text("mine")
    assert main(["--compare", *two]) == 2
    assert "was not written by asd-ray report" in capsys.readouterr().err
    assert main(["--compare", two[0]]) == 2
    assert main(["--compare", *two, "--out", ""]) == 2
    assert "--out is empty; name a folder" in capsys.readouterr().err
    assert main(["--compare", *two, "--optuna-db", "x.db"]) == 2


def test_files_are_never_put_into_a_runs_own_folder(comparison: RunComparison, two: list[str]) -> None:
    with pytest.raises(AsdRayError, match="which a run keeps for its own files"):
        write_comparison(comparison, Path(two[0]) / "ledger")


def test_what_is_not_known_is_a_dash(comparison: RunComparison) -> None:
    first = comparison.machines[0].runs[0]
    unknown = replace(first, run="old", counts=None, seconds=None, value=None, interval=None, protocol=None)
    own = MachineComparison.of("fan", [first, replace(unknown, not_measured="not measured: no anomalies")], [])
    page = dict(contents(replace(comparison, machines=(own,))))["comparison.html"]
    assert "not measured: no anomalies" in page
