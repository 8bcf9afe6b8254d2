"""The verb: what it prints, writes, verifies and refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.cli._types import infer_limit
from asd_ray.ensemble import main
from asd_ray.ledger import Ledger, TrialRecord, trial_hash
from tests.cli.ensemble.conftest import QUICK, make_run
from tests.tables import rows_below

HMEAN = "harmonic mean of AUC and pAUC of the test clips"


def test_by_default_every_recipe_that_can_be_followed(run: Path, said: Callable[..., str]) -> None:
    output = said("--run", run, "--wide", *QUICK)
    stored = {path.stem: json.loads(path.read_text()) for path in (run / "ensembles" / "fan").glob("*.json")}
    final = stored.pop("final")
    assert set(stored) == {
        *("best_per_family.max", "best_per_family.mean", "best_single", "greedy.max", "greedy.mean"),
        # the other label_free recipes need injected faults
        *("smooth_weights", "label_free.mean", "label_free.min", "top_k.max", "top_k.mean"),
    }
    honest = {name: (each["metrics"].get("crossval") or each["metrics"]["label_free"]) for name, each in stored.items()}
    assert honest[final["recipe"]["name"]]["value"] == max(each["value"] for each in honest.values())
    own = stored[final["recipe"]["name"]]
    assert final["metrics"].pop("nested")["value"] <= 1  # of the choice, so only the final one has it
    counts = final.pop("counts")
    assert counts["protocol"] == "nested"  # so are the counts of its decisions, from which false alarms are expected
    [expected] = [each for each in final["warnings"] if each["name"] == "false_alarms"]
    assert (expected["numbers"]["exceeding"], expected["numbers"]["clips"]) == (counts["false_alarms"], 16)
    assert expected["sentence"] in output
    for each in (final, own):
        each["warnings"] = [warning for warning in each["warnings"] if warning["name"] != "false_alarms"]
    assert {**final, "checksum": ""} == {**own, "checksum": ""}
    assert final["tried"] == {"recipes": 10, "chosen_by": "crossval", "names": sorted(stored)}
    assert f"fan: 4 candidates of 2 families; {HMEAN}" in output
    assert (
        f"fan: {final['recipe']['name']}, the best of 10 recipes by crossval → {run}/ensembles/fan/final.json" in output
    )
    assert "aegan_best_score needs aegan_ad (its paper's setting), which no complete trial has; run: asd-ray " in output
    assert "no candidate has scores of train clips" in output  # of Giri's recipes
    assert (
        "oracle: chosen with the labels of the very clips it is measured on: an upper bound, not a forecast." in output
    )
    assert output.endswith(f"next: asd-ray report --run {run}\n")


def test_what_the_final_ensemble_is_worth_stands_above_the_table_and_only_there(
    tmp_path: Path, said: Callable[..., str]
) -> None:
    run = make_run(make_run(tmp_path / "run"), "pump")
    lines = said("--run", run, "--recipe", "top_k", *QUICK).splitlines()
    for machine in ("fan", "pump"):
        final = json.loads((run / "ensembles" / machine / "final.json").read_text())
        name, catches, number, trust, table = lines[
            lines.index(f"{machine}: 4 candidates of 2 families; {HMEAN}") - 4 :
        ][:5]
        assert name.startswith(f"{machine}: {final['recipe']['name']}, the best of ")
        assert catches.startswith("  catches ")
        assert number.startswith(f"  nested {final['metrics']['nested']['value']:.4f} (")
        assert "cross_machine" in number
        assert trust.startswith("  trust: ")
        assert all(lines.count(line) == 1 for line in (name, number))


def test_several_machines_have_their_harmonic_mean(tmp_path: Path, said: Callable[..., str]) -> None:
    run = make_run(make_run(tmp_path / "run"), "pump")
    output = said("--run", run, "--recipe", "best_single", *QUICK)
    stored = [json.loads((run / "ensembles" / each / "final.json").read_text())["metrics"] for each in ("fan", "pump")]
    for protocol in ("crossval", "oracle"):
        mean = 2 / sum(1 / each[protocol]["value"] for each in stored)
        assert f"{protocol}: harmonic mean over 2 machines {mean:.4f}" in output
    assert "pump" not in said("fan", "--run", run, "--recipe", "best_single", *QUICK)


def test_one_row_says_crossval_oracle_gap_and_gain_with_intervals(run: Path, said: Callable[..., str]) -> None:
    words = ("fan", "--run", run, "--recipe", "top_k", *QUICK)
    output, wide = said(*words), said(*words, "--wide")
    stored = json.loads((run / "ensembles/fan/top_k.mean.json").read_text())["metrics"]
    row, cells = (next(row for row in rows_below(each, "recipe") if row[0] == "top_k.mean") for each in (output, wide))
    low, high = stored["crossval"]["interval"]
    gain = stored["crossval"]["gain"]
    assert cells == [
        "top_k.mean",
        "4",
        f"{stored['crossval']['value']:.4f}",
        f"{low:.3f} … {high:.3f}",
        f"{stored['oracle']['value']:.4f}",
        f"{stored['gap']:+.4f}",
        f"{gain['value']:+.4f}",
        f"{gain['interval'][0]:+.3f} … {gain['interval'][1]:+.3f}",
    ]
    assert row == [*cells[:5], cells[6]], "without the gap and the interval of the gain"
    assert "gap: oracle minus crossval" in wide
    assert "crossval: chosen on folds of the test clips and measured on the fold left out." in output
    assert "cross_id" in stored
    assert "cross_id" not in output, "it has no column, so it needs no explanation"


def test_json_is_all_that_is_printed(tmp_path: Path, said: Callable[..., str]) -> None:
    run = make_run(make_run(tmp_path / "run"), "pump")
    stored = json.loads(said("--run", run, "--recipe", "best_single", "--json", *QUICK))
    assert stored["format"] == "asd_ray-ensembles/1"
    assert sorted(stored["machines"]) == ["fan", "pump"]
    for machine, ensemble in stored["machines"].items():
        assert ensemble == json.loads((run / "ensembles" / machine / "final.json").read_text())


def test_the_same_command_finds_the_same(run: Path, said: Callable[..., str]) -> None:
    words = ("--run", run, "--recipe", "greedy", "--json", *QUICK)
    one, other = (json.loads(said(*words))["machines"]["fan"] for _ in range(2))
    assert one | {"created": ""} == other | {"created": ""}


def test_options_reach_the_file(run: Path, said: Callable[..., str]) -> None:
    words = ("--maximise", "auc", "--seed", "3", "--threshold", "empirical", "--percentile", "80")
    stored = json.loads(said("--run", run, "--recipe", "best_single", "--json", *words, *QUICK))["machines"]["fan"]
    assert stored["wishes"] == {
        **{"maximise": "auc", "repeats": 1, "folds": 2, "seed": 3, "draws": 1000},
        **{"threshold": "empirical", "percentile": 80.0, "rules": 2},
    }
    assert stored["metrics"]["oracle"]["value"] == stored["metrics"]["oracle"]["auc"]


def test_a_users_own_recipe_is_followed(run: Path, said: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('select = "slots"\ncombine = "min"\n[[slots]]\nfamily = "idnn"\n')
    output = said("fan", "--run", run, "--recipe", tmp_path / "mine.toml", *QUICK)
    assert "fan: mine, the best of 1 recipes by crossval" in output
    assert (run / "ensembles/fan/mine.json").is_file()


def test_verify_rebuilds_the_numbers_of_a_file(run: Path, said: Callable[..., str]) -> None:
    said("fan", "--run", run, "--recipe", "greedy", *QUICK)
    output = said("--verify", run / "ensembles/fan/greedy.mean.json")
    assert output.startswith("fan greedy.mean: ")
    assert f"rebuilt from {run}; the worst differs by 0.0e+00" in output
    copy = run.parent / "copy.json"
    copy.write_bytes((run / "ensembles/fan/final.json").read_bytes())
    assert "rebuilt from" in said("--verify", copy, "--run", run)


def test_verify_refuses_a_number_that_was_changed(
    run: Path, said: Callable[..., str], refused: Callable[..., str]
) -> None:
    said("fan", "--run", run, "--recipe", "greedy", *QUICK)
    path = run / "ensembles/fan/final.json"
    stored = json.loads(path.read_text())
    stored["metrics"]["crossval"]["value"] += 1e-6
    path.write_text(json.dumps(stored))
    message = refused("--verify", path, status=1)
    assert "metrics/crossval/value differs by 1.0e-06, more than 1e-09: the file or the ledger was changed" in message


def test_verify_of_a_file_elsewhere_asks_for_the_run(
    run: Path, refused: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert "the format is None but must be" in refused("--verify", tmp_path / "x.json")
    assert "no such file" in refused("--verify", tmp_path / "y.json")
    assert main(["fan", "--run", str(run), "--recipe", "best_single", *QUICK]) == 0
    (tmp_path / "x.json").write_bytes((run / "ensembles/fan/final.json").read_bytes())
    capsys.readouterr()
    message = refused("--verify", tmp_path / "x.json")
    assert "x.json does not lie in RUN/ensembles/MACHINE/; name the run of its ledger: --run RUN" in message


def test_imported_systems_are_standardised_by_their_test_clips_and_flagged(
    tmp_path: Path, said: Callable[..., str], refused: Callable[..., str]
) -> None:
    run = make_run(tmp_path / "run", splits=("test",), source="import", dataset="dcase2020", data_fingerprint="")
    message = refused("fan", "--run", run, "--recipe", "greedy", "--by", "held_out", *QUICK)
    assert "no candidate has scores of held_out clips, whose statistics standardise; use --by train" in message
    assert "or --by test for imported systems (transductive: every output says so)" in message
    printed = said("fan", "--run", run, "--recipe", "greedy", *QUICK)
    note = "note: only test scores are stored, so --by test was used (transductive): fan"
    assert [line for line in printed.splitlines() if "--by test" in line] == [note]
    assert "--by test" not in said("fan", "--run", run, "--recipe", "greedy", "--by", "test", *QUICK)
    assert "note: transductive: a clip's score depends on other test clips" in printed
    content = json.loads((run / "ensembles/fan/final.json").read_text())
    assert content["transductive"] is True
    assert content["dataset"]["year"] == 2020
    assert "rebuilt from" in said("--verify", run / "ensembles/fan/final.json")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fam"], "unknown machine 'fam'; did you mean 'fan'? known: fan"),
        (["fan", "--recipe", "gredy"], "unknown recipe 'gredy'; did you mean 'greedy'?"),
        (["fan", "--recipe", "nowhere.toml"], "nowhere.toml: no such file; shipped recipes: aegan_best_score, "),
        (["fan", "--recipe", "giri_system_4"], "no candidate has scores of train clips"),
        (
            ["fan", "--recipe", "giri_system_1", "--by", "held_out"],
            "and needs id_classifier (net 'mobilenet_v2', head 'soft",
        ),
        (
            ["fan", "--recipe", "greedy", "--recipe", "greedy"],
            "two recipes would be called greedy.mean; name it once, or rename its file",
        ),
        (["fan", "--folds", "1"], "folds must be 2 or more but got 1"),
        (["fan", "--folds", "0"], "must be a whole number from 1 but got '0'"),
        (["fan", "--repeats", "x"], "must be a whole number from 1 but got 'x'"),
        (["fan", "--seed", "-1"], "seed must be 0 or more but got -1"),
        (["fan", "--percentile", "100"], "percentile must be above 0 and below 100 but got 100.0"),
        (["fan", "--maximise", "f1"], "invalid choice: 'f1'"),
        (["fan", "--by", "heldout"], "invalid choice: 'heldout'"),
        (["fan", "--infer-limit", "soon"], "must be a time such as 50ms or 0.05s, but got 'soon'"),
        (["fan", "--infer-limit", "0ms"], "must be a time such as 50ms or 0.05s, but got '0ms'"),
        (["fan", "--infer-limit", "50m"], "must be a time such as 50ms or 0.05s, but got '50m'"),
        (
            ["fan", "--infer-limit", "50ms", "--recipe", "greedy"],
            "fan: no candidate can be measured, so --infer-limit cannot choose: the search kept no state of them; a "
            "search with --keep-states all keeps those of all its trials",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nonsense_is_refused_with_what_is_wanted(
    run: Path, refused: Callable[..., str], words: list[str], message: str
) -> None:
    assert message in refused(*words, "--run", run)
    assert not (run / "ensembles").exists()


def test_two_datasets_in_one_run_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    run = make_run(make_run(tmp_path / "run"), data_fingerprint="abcabcabc", dataset="mimii")
    message = refused("fan", "--run", run)
    assert "are of 2 datasets, demo (f0f0f0f0) and mimii (abcabcab); their clips differ" in message


def test_the_run_is_the_one_in_runs_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[..., str], refused: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no run in runs/ here; name one: --run runs/NAME, or search first: asd-ray search" in refused("fan")
    os.makedirs(os.fsencode(tmp_path / "runs") + b"/\xff/ledger")  # no run can be in a folder whose name is not UTF-8
    make_run(tmp_path / "runs" / "one")
    assert "runs/one/ensembles/fan/final.json" in said("fan", "--recipe", "best_single", *QUICK)
    make_run(tmp_path / "runs" / "two")
    assert "runs/ holds one, two; name one: --run runs/NAME" in refused("fan")
    assert "no run here" in refused("fan", "--run", tmp_path / "runs" / "three")


def test_help_answers_at_once_and_loads_nothing_heavy(python: Callable[..., Any]) -> None:
    code = """
        import sys, time
        from asd_ray.ensemble import main
        try:
            main(["--help"])
        except SystemExit:
            print(time.process_time())
            print({"torch", "ray", "optuna", "pandas", "numpy", "rich"} & set(sys.modules))
        """
    spent = []
    for _ in range(2):  # the first may have to compile
        expected = python(code).communicate(timeout=120)[0]
        spent.append(float(expected.splitlines()[-2]))  # of the processor: others may be busy on it
        assert expected.endswith("set()\n")
    assert "asd-ray ensemble fan --run runs/demo" in expected
    assert min(spent) < 2


def test_nothing_here_loaded_torch_or_ray_for_choosing(python: Callable[..., Any], run: Path) -> None:
    code = """
        import sys
        from asd_ray.ensemble import main
        assert main([*sys.argv[1:]]) == 0
        print({"torch", "ray"} & set(sys.modules))
        """
    expected = python(code, "fan", "--run", run, "--recipe", "greedy", *QUICK).communicate(timeout=120)[0]
    assert expected.endswith("set()\n")


def test_a_machine_without_a_complete_trial_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", "valve")
    failed = TrialRecord(trial="tf", name="fan-idnn-0000", machine="fan", family="idnn", status="failed", error="broke")
    Ledger(run).commit(failed)
    assert main(["--run", str(run), "--recipe", "best_single", *QUICK]) == 2
    expected = capsys.readouterr()
    assert "fan: " in expected.err
    assert "holds no complete trial of it" in expected.err
    assert (run / "ensembles" / "valve" / "final.json").is_file()
    assert "valve: best_single" in expected.out


def test_a_recipe_whose_name_can_be_no_files_is_refused_first(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "my mix.toml").write_text('select = "best"\n')
    assert "recipe name 'my mix'" in refused("--run", make_run(tmp_path / "run"), "--recipe", tmp_path / "my mix.toml")


def test_a_recipe_of_ones_own_is_remembered_by_its_file(tmp_path: Path, run: Path, said: Callable[..., str]) -> None:
    (tmp_path / "mine.toml").write_text('select = "top_k"\nk = 2\n')
    said("fan", "--run", run, "--recipe", tmp_path / "mine.toml", "--recipe", "best_single", *QUICK)
    folder = run / "ensembles" / "fan"
    assert json.loads((folder / "mine.json").read_text())["recipe_source"] == str(tmp_path / "mine.toml")
    assert json.loads((folder / "best_single.json").read_text())["recipe_source"] == ""


def test_what_left_out_a_candidate_can_be_verified_still(run: Path, said: Callable[..., str]) -> None:
    ledger = Ledger(run)
    record = next(each for each in ledger.records("fan") if each.family == "idnn")
    rows = ledger.scores(record)
    part = rows[rows["clip"] != rows["clip"].iloc[-1]]
    other = replace(record, trial=trial_hash(part=1), name="fan-idnn-0009", number=9)
    ledger.commit(other, part)
    said("fan", "--run", run, "--recipe", "greedy", "--missing", "drop", *QUICK)
    final = run / "ensembles" / "fan" / "final.json"
    assert "values rebuilt" in said("--verify", final)
    assert any("fan-idnn-0009" in note for note in json.loads(final.read_text())["notes"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("50ms", 0.05), ("0.05s", 0.05), ("0.05", 0.05), ("2", 2), ("1.5ms", 0.0015)]
)
def test_a_limit_is_a_time_with_or_without_a_unit(text: str, seconds: float) -> None:
    assert infer_limit(text) == seconds
