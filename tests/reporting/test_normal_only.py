"""The report of machines without anomalies, and of one that a search without labels measured afterwards."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_ray.ensembling import EnsembleConfig
from asd_ray.ensembling import choose as choose_ensembles
from asd_ray.ensembling.unmeasured import NOT_MEASURED
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, Settings, TrialRecord, long_scores, trial_hash
from asd_ray.reporting import gather
from asd_ray.reporting.gather import as_json
from asd_ray.reporting.optuna_db import write_optuna_db
from asd_ray.reporting.submission import write_submission
from asd_ray.reporting.text import DASH
from asd_ray.reporting.write import contents
from tests.reporting.conftest import KINDS, choose, fill, fill_normal_only
from tests.reporting.sections import visible
from tests.reporting.test_inference import GivenTimes
from tests.reporting.test_submission import CLIPS, clips_of

NOT_KNOWN = "not measured: there are no known anomalies"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fan has no test clips, pump unlabelled ones, valve labels that its search did not read, ToyCar read ones."""
    root = tmp_path_factory.mktemp("normal") / "run"
    ledger = Ledger(root)
    for machine, test in (("fan", "none"), ("pump", "unknown"), ("valve", "known")):
        fill_normal_only(ledger, machine, test=test)
    fill(ledger, "ToyCar", trials=2)
    choose(root)
    return root


@pytest.fixture(scope="module")
def facts(run: Path) -> Any:
    return gather(Ledger(run))


@pytest.fixture(scope="module")
def files(facts: Any) -> dict[str, str]:
    return dict(contents(facts))


def test_facts_are_strict_json(facts: Any) -> None:
    stored = as_json(facts)
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored


def test_a_machine_without_test_clips_has_all_that_can_be_known(facts: Any) -> None:
    fan = facts["machines"]["fan"]
    assert fan["unmeasured"] == f"{NOT_MEASURED}; the machine has no test clips"
    assert (fan["roc"], fan["worst_clips"], fan["clips"], fan["cells"]) == ([], None, {}, NOT_MEASURED)
    assert fan["shown_clips"] == "held-out normal clips"
    panels = fan["histograms"]["panels"]
    assert sum(panel["labels"]["normal"]["clips"] for panel in panels) == 48
    assert set(fan["on_faults"]["aucs"]) == set(KINDS)
    assert len(fan["on_faults"]["members"]) == len(fan["final"].members)
    assert fan["mistakes"].clips == ()
    assert not any("added to the ledger after" in note for note in fan["notes"])


def test_candidates_are_in_the_order_of_injected_faults(facts: Any) -> None:
    board = facts["machines"]["fan"]["leaderboard"]
    values = [row["faults"] for row in board["rows"]]
    assert values == sorted(values, reverse=True)
    assert board["rows"][0]["name"] == "fan-knn-0003"
    assert (board["measured"], board["on_faults"]) == (False, True)


def test_labels_that_the_search_did_not_read_measure_afterwards(facts: Any) -> None:
    rows = {row["machine"]: row for row in facts["summary"]["rows"]}
    assert rows["valve"]["protocol"] == "label_free"
    assert rows["valve"]["on_faults"] == pytest.approx(facts["machines"]["valve"]["on_faults"]["value"])
    assert (rows["fan"]["measured"], rows["fan"]["forecast"]) == (False, None)
    assert rows["ToyCar"]["on_faults"] is None
    assert facts["summary"]["apart"] == "No mean over machines: fan, pump cannot be measured."
    assert facts["summary"]["over_machines"]["forecast"] is None


def test_the_sentence_on_labels_names_both_ways(facts: Any) -> None:
    searched = "searched with the labels of the test clips or without labels, by faults injected into normal clips"
    assert searched in facts["labels"]
    assert (
        "ensembles of fan, pump were chosen without labels, and how many faults they find is "
        f"{NOT_MEASURED}, or there are no known anomalies" in facts["labels"]
    )


def test_every_form_says_what_was_not_measured(files: dict[str, str]) -> None:
    page, markdown = visible(files["report.html"], tags=True), files["report.md"]
    panel = page[page.index('id="machine-fan"') : page.index('id="machine-pump"')]
    assert panel.count("ot measured: there are no anomalies; the machine has no test clips") == 1
    assert not any(f"{name}</h3>" in panel for name in ("ROC curves", "Clips that single members get wrong"))
    assert f"AUC and pAUC are {NOT_MEASURED}." in panel
    assert "Injected faults</h3>" in panel
    assert f"{NOT_MEASURED}; value on injected faults 0." in page
    own = markdown[markdown.index("## fan") : markdown.index("## pump")]
    assert NOT_MEASURED in own
    assert "### Injected faults" in own
    unlabelled = page[page.index('id="machine-pump"') : page.index('id="machine-valve"')]
    assert NOT_MEASURED not in unlabelled
    assert f"AUC and pAUC are {NOT_KNOWN}." in unlabelled
    assert NOT_KNOWN in markdown[markdown.index("## pump") : markdown.index("## valve")]
    assert "| tone |" in own
    [row] = [line for line in markdown.splitlines() if line.startswith("| fan |") and NOT_MEASURED in line]
    assert row.split(" | ")[4:] == ["not measured"] * 8 + ["not measured |"]
    assert ", no test clips; not measured: there are no anomalies" in markdown
    assert "not measured" in files["fan-leaderboard.csv"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a run whose only machine has normal sound alone, and whose ensemble has a limit on its time."""
    ledger = Ledger(tmp_path_factory.mktemp("alone") / "run")
    fill_normal_only(ledger, "fan")
    config = EnsembleConfig(infer_limit=1.0)
    choose_ensembles(ledger, "fan", ["label_free_top_k", "label_free"], config, timer=GivenTimes(ledger))
    return dict(contents(gather(ledger)))


def test_no_number_stands_as_a_dash_where_it_was_not_measured(alone: dict[str, str]) -> None:
    markdown = alone["report.md"]
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert "| machine | ensemble | real faults | members | value on injected faults |" in tables
    [row] = [line for line in tables if line.startswith("| fan | label\\_free")]
    assert row.startswith(f"| fan | label\\_free\\_top\\_k | {NOT_MEASURED} | ")
    assert [line for line in tables if DASH in line] == []
    page = visible(alone["report.html"], tags=True)
    assert "<span>AUC, pAUC, hmean</span><b>not measured</b><span>there are no anomalies</span>" in page
    assert "hmean, oracle" not in page, "the table of times has no column for it"
    assert DASH not in page[page.index("The numbers") : page.index("How labels were used")]


def test_sentences_of_a_run_without_anomalies(alone: dict[str, str]) -> None:
    page, markdown = visible(alone["report.html"]), alone["report.md"]
    for text in (page, markdown):
        assert "value is value" not in text
        assert "value on injected faults, between 0 and 1" not in text.partition("Families")[0]
        assert "and how many faults they find is not measured: there are no anomalies" in text
    assert "Value: the median over kinds of the harmonic mean of AUC and pAUC." in markdown
    assert "Find out how many faults of fan are found: add a few recordings" in page
    assert "AUC and pAUC are not measured: there are no anomalies." in page
    assert ", no test clips; not measured" in markdown
    data = visible(alone["report.html"], tags=True)
    assert '<td class="t">none</td><td class="t">not measured: there are no anomalies</td>' in data


def test_studies_name_the_unit_of_their_best(facts: Any, files: dict[str, str]) -> None:
    studies = facts["families"]["knn"]["studies"]
    assert {name: study["unit"] for name, study in studies.items()} == {
        "fan": "faults", "pump": "faults", "ToyCar": "hmean", "valve": "faults",
    }  # fmt: skip
    head, *rows = files["trials.csv"].splitlines()
    assert "unit" in head.split(",")
    assert sum(",faults," in row for row in rows) == 24


def test_two_units_of_one_machine_are_two_studies(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    fill(ledger, "fan", trials=2)
    fill_normal_only(ledger, "fan", test="known")
    choose(tmp_path / "run", "label_free")
    studies = gather(ledger)["families"]["knn"]["studies"]
    assert {name: len(study["trials"]) for name, study in studies.items()} == {"fan, hmean": 2, "fan, faults": 4}
    assert {study["machine"] for study in studies.values()} == {"fan"}
    write_optuna_db(ledger, tmp_path / "studies.db")
    with closing(sqlite3.connect(tmp_path / "studies.db")) as stored:
        names = {name for (name,) in stored.execute("SELECT study_name FROM studies")}
    assert {"fan-knn", "fan-knn-faults"} <= names


def test_no_submission_without_test_clips(run: Path, tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="fan: no test clips were scored, so there is nothing to submit"):
        write_submission(Ledger(run), tmp_path / "files", year=2022)


def test_unlabelled_test_clips_are_submitted(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    clips = clips_of("fan", "03", 2022)
    clips["label"] = clips["label"].where(clips["split"] != "test", "unknown")
    record = TrialRecord(
        trial=trial_hash(number=0),
        name="fan-own-0000",
        machine="fan",
        family="own",
        settings=Settings(year=2022, objective="normal-only"),
        paper=True,
    )
    ledger.commit(record, long_scores(clips, {"mse": np.random.default_rng(0).normal(size=len(clips))}))
    assert not choose_ensembles(ledger, "fan").final.metrics
    written = write_submission(ledger, tmp_path / "files")
    assert written.clips == 4 * CLIPS
    assert written.files == ["anomaly_score_fan_section_03_test.csv", "decision_result_fan_section_03_test.csv"]
