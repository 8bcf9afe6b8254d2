import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from asd_ray.evaluate import main

GOLDEN = Path(__file__).parents[2] / "../shared/golden"
LABELS = [0, 1, 0, 1, 1, 0]
SCORES = {"A": [0.1, 0.9, 0.2, 0.15, 0.7, 0.3], "B": [0.5, 0.4, 0.1, 0.6, 0.2, 0.3]}


@pytest.fixture
def dcase2020(tmp_path: Path) -> Path:
    """A truth of one machine id and two systems, in the shapes of 2020."""
    names = [f"id_01_{number:08d}.wav" for number in range(len(LABELS))]
    rows = [f"{name},{('normal', 'anomaly')[label]}_{name},{label}" for name, label in zip(names, LABELS, strict=True)]
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth/eval_data_list.csv").write_text("\n".join(["fan", *rows]))
    for system, scores in SCORES.items():
        (tmp_path / "teams" / system).mkdir(parents=True)
        lines = [f"{name},{score}" for name, score in zip(names, scores, strict=True)]
        (tmp_path / "teams" / system / "anomaly_score_fan_id_01.csv").write_text("\n".join(lines))
    return tmp_path


def arguments(folder: Path, *submissions: str, year: int = 2020) -> list[str]:
    paths = [str(folder / name) for name in submissions]
    return ["--year", str(year), "--truth", str(folder / "truth"), "--submission", *paths]


def test_json_of_one_system_is_its_entry(dcase2020, capsys):
    assert main([*arguments(dcase2020, "teams/A"), "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert list(entry) == ["source", "kind", "machines", "derived_not_official"]
    assert (entry["source"], entry["kind"]) == (str(dcase2020 / "teams/A"), "submission")
    cell = entry["machines"]["fan"]["ids"]["01"]
    assert cell["auc"] == pytest.approx(roc_auc_score(LABELS, SCORES["A"]), abs=1e-12)
    assert cell["counts"] == {"normal": 3, "anomaly": 3}


@pytest.mark.parametrize("options", [["teams"], ["teams/A", "teams/B"]])
def test_json_of_several_systems_is_a_file_of_entries(dcase2020, capsys, options):
    assert main([*arguments(dcase2020, *options), "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["format"], output["year"], list(output["systems"])) == ("asd-golden/1", 2020, ["A", "B"])
    for system, entry in output["systems"].items():
        assert entry["derived_not_official"]["mean_auc_over_all_ids"] == pytest.approx(
            roc_auc_score(LABELS, SCORES[system]), abs=1e-12
        )


def test_systems_of_the_same_name_keep_apart(dcase2020, capsys):
    shutil.copytree(dcase2020 / "teams/A", dcase2020 / "other/A")
    assert main([*arguments(dcase2020, "teams/A", "other/A"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["systems"]) == 2


def test_table_shows_cells_means_and_the_definition(dcase2020, capsys):
    assert main(arguments(dcase2020, "teams/A")) == 0
    shown = capsys.readouterr().out
    assert f"{100 * roc_auc_score(LABELS, SCORES['A']):.2f}" in shown
    assert "No official score: the evaluator of 2020 prints none." in shown
    assert "Definition of 2020:" in shown


def test_broken_system_is_named_while_the_others_are_scored(dcase2020, capsys):
    path = dcase2020 / "teams/B/anomaly_score_fan_id_01.csv"
    path.write_text(path.read_text().replace("id_01_00000003.wav,", "id_01_00000002.wav,"))
    assert main([*arguments(dcase2020, "teams"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert list(json.loads(out)["systems"]) == ["A"]
    assert "teams/B has 2 problem(s)" in err
    assert "lists 1 clip(s) more than once: id_01_00000002.wav" in err
    assert "lacks 1 of 6 clips: id_01_00000003.wav" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"year": 2019}, "unknown year '2019'"),
        ({"year": 2026}, "the official score of 2026 is not known yet"),
        ({"year": 2023}, "it needs eval_data_list.csv or eval_data_list_2023.csv, or the folders ground_truth_data"),
        ({"submission": "nowhere"}, "nowhere: no such folder"),
        ({"submission": "empty"}, "holds no csv file"),
    ],
)
def test_input_that_cannot_be_scored_exits_2_with_one_message(dcase2020, capsys, change, message):
    (dcase2020 / "empty").mkdir()
    year = change.get("year", 2020)
    if year == 2023:
        (dcase2020 / "truth/eval_data_list.csv").unlink()
    assert main(arguments(dcase2020, change.get("submission", "teams/A"), year=year)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_stray_file_is_reported_and_the_system_is_scored(dcase2020, capsys):
    (dcase2020 / "teams/A/notes.csv").write_text("mine")
    (dcase2020 / "teams/C/folder.csv").mkdir(parents=True)
    assert main([*arguments(dcase2020, "teams"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert list(json.loads(out)["systems"]) == ["A", "B"]
    assert f"warning: {dcase2020 / 'teams/A'}: notes.csv is misnamed" in err


def test_truth_given_as_a_file_says_to_name_its_folder(dcase2020, capsys):
    options = arguments(dcase2020, "teams/A")
    options[3] = str(dcase2020 / "truth/eval_data_list.csv")
    assert main(options) == 2
    assert f"is a file; name its folder: --truth {dcase2020 / 'truth'}" in capsys.readouterr().err


def golden(year: int, system: str, *options: str) -> list[str]:
    folder = GOLDEN / f"dcase{year}"
    if not folder.is_dir():
        pytest.skip("the golden data is not beside the repository")
    submission = str(folder / "submissions" / system)
    return ["--year", str(year), "--truth", str(folder / "ground_truth"), "--submission", submission, *options]


def test_precision_recall_and_f1_are_in_the_wide_table(capsys):
    words = golden(2023, "synthetic_B")
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "also measured, see --wide: precision, recall, F1\n" in shown
    assert main([*words, "--wide"]) == 0
    wide = capsys.readouterr().out
    assert "also measured" not in wide
    assert {"precision", "recall", "F1"} <= set(wide.split())


@pytest.mark.parametrize(("option", "field"), [("--bug-compatible", "value"), ("--json", "corrected")])
def test_official_score_and_interval_of_2023_are_the_evaluators(capsys, option, field):
    options = golden(2023, "synthetic_B", "--json", option)
    assert main(options) == 0
    ours = json.loads(capsys.readouterr().out)["overall"]
    expected = json.loads((GOLDEN / "dcase2023/expected.json").read_text())["systems"]["synthetic_B"]["overall"]
    assert ours["official_score"] == pytest.approx(expected["official_score"], abs=1e-9)
    interval = expected["official_score_ci95"][field]
    assert ours["official_score_ci95"]["value"] == pytest.approx(interval, rel=1e-6)


def test_scores_alone_will_do_if_asked(tmp_path, capsys):
    options = golden(2023, "synthetic_A")
    shutil.copytree(options[-1], tmp_path / "alone", ignore=shutil.ignore_patterns("decision_result_*"))
    options[-1] = str(tmp_path / "alone")
    assert main(options) == 2
    assert capsys.readouterr().err.count("is missing (or score without decisions: --scores-only)") == 7
    assert main([*options, "--scores-only"]) == 0
    shown = capsys.readouterr().out
    assert "Official score: 65.02 %" in shown
    assert "precision" not in shown


def test_help_answers_at_once_and_ends_with_examples():
    """Neither pandas nor scikit-learn is imported before there is something to score."""
    code = "import sys, asd_ray.evaluate as e\ntry: e.main(['-h'])\nfinally: print(list(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "numpy", "sklearn", "scipy", "torch", "ray"} & set(eval(done.stderr))
    assert "examples:\n  asd-ray evaluate --year 2020" in done.stdout


def test_module_runs_as_a_command(dcase2020):
    command = [sys.executable, "-m", "asd_ray.evaluate", *arguments(dcase2020, "teams/A"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["kind"] == "submission"
