"""The last line of a verb names the command that comes next."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

from asd_ray.conformance import CheckResult
from asd_ray.ledger import Ledger
from asd_ray.metrics.editions import EDITIONS
from tests.hostile import Answer, Verbs
from tests.reporting.conftest import choose, fill
from tests.reporting.test_submission import choose as choose_top_k
from tests.reporting.test_submission import clips_of, commit
from tests.truth_2020 import write_truth

ENSEMBLE, LIST = "ensemble --run {run}", "ledger ls {run}"
TINY = "tests.tuning.families_for_tests:Tiny"


@pytest.fixture(scope="module")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "run"
    fill(Ledger(folder), "fan", trials=8)  # of each family, trial 6 is pruned and trial 7 failed
    return folder


@pytest.fixture
def run(filled_once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled_once, tmp_path / "a run")  # the name needs quotes in a shell


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """The truth of 2020 for one machine, beside the folder `system` with one system's scores."""
    return write_truth(tmp_path)


def words(line: str, **paths: Path) -> list[str]:
    return [word.format(**paths) for word in line.split()]


def next_words(answer: Answer) -> list[str]:
    *_, last = answer.out.splitlines()
    assert last.startswith("next: asd-ray ")
    return shlex.split(last.removeprefix("next: asd-ray "))


@pytest.mark.parametrize(
    ("verb", "after"),
    [
        ("status {run}", ENSEMBLE),
        ("search --status {run}", ENSEMBLE),
        ("verify {run}", ENSEMBLE),
        ("ensemble --run {run} --recipe best_single --folds 2 --repeats 1", "report --run {run}"),
        ("ledger ls {run}", "ledger show {run} fan-idnn-0000"),
        ("ledger show {run} fan-idnn-0000", "ledger export {run} scores.csv --machine fan --family idnn"),
        ("ledger show {run} fan-idnn-0007", "ledger ls {run} --machine fan --family idnn"),
        ("ledger verify {run}", ENSEMBLE),
        ("ledger export {run} {table}", "ledger import RUN {table} --year 2022"),
        ("ledger export {run} {table} --status pruned --split unseen", LIST),
        ("ledger compact {run}", LIST),
        ("ledger forget {run} --machine fan --dry-run", "ledger forget {run} --machine fan"),
        ("ledger forget {run} fan-idnn-0007 --failed --dry-run", "ledger forget {run} fan-idnn-0007 --failed"),
        ("ledger forget {run}", LIST),
        ("ledger forget {run} fan-idnn-0000 --failed", LIST),
    ],
)
def test_the_last_line_is_a_command_that_works(verb: str, after: str, run: Path, verbs: Verbs, tmp_path: Path) -> None:
    table = tmp_path / "a table.csv"
    answer = verbs(*words(verb, run=run, table=table))
    assert answer.status == 0, answer
    assert next_words(answer) == words(after, run=run, table=table)
    if after != ENSEMBLE:  # it takes long with all recipes
        named = {"scores.csv": tmp_path / "scores.csv", "RUN": tmp_path / "another run"}
        assert verbs(*(named.get(word, word) for word in next_words(answer))).status == 0


def test_a_verified_run_with_ensembles_is_ready_for_its_report(run: Path, verbs: Verbs) -> None:
    choose(run, "best_single")
    assert next_words(verbs("verify", run)) == ["report", "--run", str(run)]
    path = run / "ensembles/fan/final.json"
    ensemble = json.loads(path.read_text())
    ensemble["threshold"]["value"] += 1
    path.write_text(json.dumps(ensemble))
    assert next_words(verbs("verify", run)) == ["ensemble", "--run", str(run)]


def test_without_a_complete_trial_no_ensemble_is_named(run: Path, verbs: Verbs) -> None:
    for path in (run / "ledger").rglob("*.parquet"):
        if "." not in path.stem:  # the complete ones; others have their status in their names
            path.unlink()
    assert next_words(verbs("status", run)) == ["ledger", "ls", str(run)]
    assert next_words(verbs("verify", run)) == ["ledger", "ls", str(run)]
    assert next_words(verbs("ledger", "verify", run)) == ["ledger", "forget", str(run), "--dry-run"]


def test_an_export_without_a_year_is_imported_without_and_one_that_lacks_trials_is_verified(
    run: Path, verbs: Verbs, tmp_path: Path
) -> None:
    other, table = tmp_path / "other", tmp_path / "table.csv"
    commit(Ledger(other), clips_of("fan", "03", 2022), None)
    after = ["ledger", "import", "RUN", str(table)]
    assert next_words(verbs("ledger", "export", other, table)) == after
    assert verbs(*(run.parent / "imported" if word == "RUN" else word for word in after)).status == 0
    path = next((run / "ledger").rglob("*.parquet"))
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 400 + content[404:])
    answer = verbs("ledger", "export", run, table)
    assert "1 trials were left out, because their files are broken" in answer.out
    assert next_words(answer) == ["ledger", "verify", str(run)]


def test_written_files_are_checked_by_their_run(verbs: Verbs, tmp_path: Path) -> None:
    run, files = tmp_path / "a run", tmp_path / "our files"
    commit(Ledger(run), pd.concat([clips_of("fan", id, 2022) for id in ("03", "05")]), 2022)
    choose_top_k(Ledger(run))
    after = next_words(verbs("submission", "write", run, files))
    assert after == ["submission", "check", str(files), "--year", "2022", "--run", str(run)]
    answer = verbs(*after)
    assert (answer.status, "next:" in answer.out) == (0, False)


def test_files_of_an_evaluation_set_are_evaluated(verbs: Verbs, tmp_path: Path) -> None:
    files, truth, lines = tmp_path / "our files", tmp_path / "truth", list[str]()
    files.mkdir()
    truth.mkdir()
    for machine, ids in EDITIONS[2020].evaluation.items():
        lines.append(machine)
        for id in ids:
            clips = [f"id_{id}_{at:08d}.wav" for at in range(4)]
            lines += [f"{clip},{at % 2}_{clip},{at % 2}" for at, clip in enumerate(clips)]
            scores = "\n".join(f"{clip},0.{at}" for at, clip in enumerate(clips))
            (files / f"anomaly_score_{machine}_id_{id}.csv").write_text(scores)
    (truth / "eval_data_list.csv").write_text("\n".join(lines))
    after = next_words(verbs("submission", "check", files, "--year", 2020))
    assert after == ["evaluate", "--year", "2020", "--truth", "TRUTH", "--submission", str(files)]
    assert verbs(*(truth if word == "TRUTH" else word for word in after)).status == 0


def test_trials_of_one_name_are_shown_by_hash_and_machine(verbs: Verbs, tmp_path: Path) -> None:
    table, run = tmp_path / "table.csv", tmp_path / "run"
    rows = [f"theirs,{machine},00,{machine}_{at}.wav,0.{at}" for machine in ("fan", "pump") for at in range(4)]
    table.write_text("\n".join(["system,machine,id,clip,score", *rows]))
    verbs("ledger", "import", run, table)
    after = next_words(verbs("ledger", "ls", run))
    record = Ledger(run).records()[0]
    assert after == ["ledger", "show", str(run), record.trial, "--machine", "fan"]
    assert verbs(*after).status == 0


def test_evaluated_scores_are_imported_and_then_combined(truth: Path, verbs: Verbs, tmp_path: Path) -> None:
    run, system = tmp_path / "imported", tmp_path / "system"
    answer = verbs("evaluate", "--year", 2020, "--truth", truth, "--submission", system, "--scores-only")
    after = next_words(answer)
    assert after == ["ledger", "import", "RUN", str(system), "--truth", str(truth), "--year", "2020"]
    answer = verbs(*(run if word == "RUN" else word for word in after))
    assert next_words(answer) == ["ensemble", "--run", str(run)]


@pytest.mark.parametrize("verb", ["ledger ls {run} --json", "ledger show {run} fan-idnn-0000 --json"])
def test_json_is_for_programs(verb: str, run: Path, verbs: Verbs) -> None:
    assert "next:" not in verbs(*words(verb, run=run)).text


def test_a_family_that_passes_is_searched_and_one_that_fails_is_traced(
    verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [CheckResult("a check")]
    monkeypatch.setattr("asd_ray.conformance.check_family", lambda *args, **options: results)
    assert next_words(verbs("conformance", TINY, "--rate", 48_000, "--seconds", 2)) == (
        ["search", "MACHINE", "--families", TINY, "--rate", "48000"]
    )
    results[:] = [CheckResult("a check", "it failed")]
    answer = verbs("conformance", TINY, "--rate", 48_000, "--seconds", 2)
    assert answer.status == 1
    assert next_words(answer) == ["conformance", TINY, "--seconds", "2.0", "--rate", "48000", "--debug"]
    assert "next:" not in verbs("conformance", TINY, "--debug").out
