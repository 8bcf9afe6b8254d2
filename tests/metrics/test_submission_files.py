import shutil

import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.metrics import match, read_submission, read_truth

YEARS = (2020, 2021, 2022, 2023, 2024, 2025)
FAN = "anomaly_score_fan_section_00_test.csv"


def matched(made, **options) -> pd.DataFrame:
    return match(read_truth(made.truth, made.year), read_submission(made.submission, made.year), **options)


def problems(made, **options) -> str:
    with pytest.raises(AsdRayError) as raised:
        matched(made, **options)
    return str(raised.value)


def edit(path, change):
    """Rewrite a csv file's rows."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("".join(",".join(row) + "\n" for row in change(rows)))


def expect_the_worlds_values(made, table):
    keys = ["machine", "id", "domain", "clip"]
    joined = made.table.merge(table, on=[*keys, "label"], suffixes=("", "_read"))
    assert len(joined) == len(made.table) == len(table)
    assert (joined["score"] == joined["score_read"]).all()
    if "decision" in table:
        assert (joined["decision"] == joined["decision_read"]).all()


@pytest.mark.parametrize("year", YEARS)
def test_rows_pair_by_name_whatever_their_order_line_ends_or_byte_order_mark(world, year):
    made = world(year)
    for number, path in enumerate(sorted(made.submission.iterdir())):
        lines = path.read_text().splitlines()[:: -1 if number % 2 else 1]
        mark = "\ufeff" if number % 3 == 0 else ""
        path.write_bytes((mark + "\r\n".join(lines) + "\r\n\r\n").encode())
    (made.submission / "team_task2_1.meta.yaml").write_text("submission:\n")
    (made.submission / "._anomaly_score_fan.csv").write_bytes(b"\x00\x05")  # what macOS leaves behind
    submission = read_submission(made.submission, year)
    assert (submission.system, submission.problems) == ("system", [])
    assert list(submission.scores) == ["machine", "id", "domain", "clip", "score"]
    assert list(submission.decisions) == ["machine", "id", "domain", "clip", "decision"]
    assert set(submission.scores["domain"]) == ({"source", "target"} if year == 2021 else {""})
    table = match(read_truth(made.truth, year), submission)
    assert ("decision" in table) == (year != 2020)
    expect_the_worlds_values(made, table)


def test_exports_of_the_baseline_are_read_where_official_names_are_absent(world):
    made = world(2023)
    for path in list(made.submission.glob("*_fan_*")):
        kind = path.name.split("_fan_")[0]
        path.rename(made.submission / f"{kind}_DCASE2023T2fan_section_00_test_seed13711_id(0_)_Eval.csv")
    shutil.copy(  # beside a complete official pair the baseline's own file is not looked at
        made.submission / "anomaly_score_ToyCar_section_00_test.csv",
        made.submission / "anomaly_score_DCASE2023T2bearing_section_00_test_seed1_Eval.csv",
    )
    expect_the_worlds_values(made, matched(made))


def test_two_exports_of_one_section_are_named(world):
    made = world(2023)
    (made.submission / FAN).unlink()
    for seed in (1, 2):
        (made.submission / f"anomaly_score_DCASE2023T2fan_section_00_test_seed{seed}_Eval.csv").write_text("a.wav,1\n")
    assert "are of the same machine and section; keep one" in problems(made)


EXPORT = "{}_DCASE2023T2fan_section_00_test_seed1_Eval.csv"


def export_of_another(made, *kinds):
    """Files that a baseline might have left in the folder: all scores 9, all decisions 1."""
    for kind, value in (("anomaly_score", "9"), ("decision_result", "1")):
        if kind in kinds:
            official = made.submission / f"{kind}_fan_section_00_test.csv"
            (made.submission / EXPORT.format(kind)).write_bytes(official.read_bytes())
            edit(made.submission / EXPORT.format(kind), lambda rows, value=value: [[row[0], value] for row in rows])


BOTH = ("anomaly_score", "decision_result")


@pytest.mark.parametrize("kinds", [BOTH, BOTH[:1], BOTH[1:]])
def test_an_export_never_takes_the_place_of_official_scores_when_scores_alone_count(world, kinds):
    made = world(2023)
    export_of_another(made, *kinds)
    for path in made.submission.glob("decision_result_*_section_00_test.csv"):
        path.unlink()
    submission = read_submission(made.submission, 2023, scores_only=True)
    assert submission.files["anomaly_score", ("fan", "00", "")] == FAN
    expect_the_worlds_values(made, match(read_truth(made.truth, 2023), submission, scores_only=True))


def test_scores_that_gave_way_to_an_export_are_not_scored_alone(world):
    made = world(2023)
    export_of_another(made, *BOTH)
    (made.submission / "decision_result_fan_section_00_test.csv").unlink()
    table = matched(made)
    assert set(table.loc[table["machine"] == "fan", "score"]) == {9.0}, "the evaluators take the pair that is whole"
    assert f"{FAN} gave way to a baseline's own export" in problems(made, scores_only=True)


def test_official_scores_stay_beside_exported_scores_without_decisions(world):
    made = world(2023)
    export_of_another(made, "anomaly_score")
    (made.submission / "decision_result_fan_section_00_test.csv").unlink()
    assert read_submission(made.submission, 2023).files["anomaly_score", ("fan", "00", "")] == FAN
    assert "decision_result_fan_section_00_test.csv is missing" in problems(made)


def test_official_scores_with_exported_decisions_are_two_systems(world):
    made = world(2023)
    export_of_another(made, "decision_result")
    (made.submission / "decision_result_fan_section_00_test.csv").unlink()
    assert f"{FAN}, {EXPORT.format('decision_result')}: official files beside exports, neither whole" in problems(made)


def test_a_stray_file_is_a_problem_only_if_something_is_missing(world):
    made = world(2023)
    (made.submission / "notes.csv").write_text("mine")
    (made.submission / "folder.csv").mkdir()
    submission = read_submission(made.submission, 2023)
    assert submission.misnamed == ["notes.csv"]
    assert submission.problems == submission.strays
    assert len(submission.strays) == 1
    expect_the_worlds_values(made, matched(made))
    edit(made.submission / FAN, lambda rows: rows[1:])
    assert "notes.csv is misnamed" in problems(made)


def test_long_names_are_known(world, tmp_path):
    made = world(2020)
    long = dict(zip(zip(made.table["machine"], made.table["clip"], strict=True), made.table["long"], strict=True))
    path = made.submission / "anomaly_score_fan_id_01.csv"
    edit(path, lambda rows: [[long["fan", name], value] for name, value in rows])
    expect_the_worlds_values(made, matched(made))


def test_names_of_the_readme_of_2022_are_known(world):
    made = world(2022)
    for path in made.submission.glob("*_fan_section_03_test.csv"):
        path.write_text(path.read_text().replace("section_03_", "section_03_test_"))
    expect_the_worlds_values(made, matched(made))


def test_one_clip_under_two_names_is_named(world):
    made = world(2020)
    path = made.submission / "anomaly_score_fan_id_01.csv"
    long = made.table["long"].iloc[0]
    edit(path, lambda rows: [*rows, [long, "0.5"]])
    assert f"lists one clip under two names, {made.table['clip'].iloc[0]} and {long}" in problems(made)


def drop(path):
    path.unlink()


def rename(path):
    path.rename(path.with_name("anomaly_score_fan_Section_00.csv"))


BREAKS = {  # what is done to the fan's score file -> what is said
    "missing file": (drop, f"{FAN} is missing"),
    "misnamed file": (rename, "anomaly_score_fan_Section_00.csv is misnamed: 2023 has anomaly_score_<machine>_"),
    "file meant": (rename, f"{FAN} is missing; is it anomaly_score_fan_Section_00.csv?"),
    "empty file": (lambda path: path.write_text(""), f"{FAN} is empty"),
    "missing clips": (lambda path: edit(path, lambda rows: rows[2:]), "lacks 2 of"),
    "doubled clip": (lambda path: edit(path, lambda rows: [*rows, rows[0]]), "lists 1 clip(s) more than once: section"),
    "unknown clip": (
        lambda path: edit(path, lambda rows: [["section_00_0000", rows[0][1]], *rows[1:]]),
        "names 1 clip(s) that the ground truth does not know: section_00_0000; did you mean 'section_00_0000.wav'?",
    ),
    "path instead of name": (
        lambda path: edit(path, lambda rows: [["fan/test/" + name, value] for name, value in rows]),
        "did you mean 'section_00_0000.wav'?",
    ),
    "header": (lambda path: edit(path, lambda rows: [["file", "score"], *rows]), "line 1 is a header row; delete it"),
    "not a number": (
        lambda path: edit(path, lambda rows: [[rows[0][0], "high"], *rows[1:]]),
        "line 1 has a value that is not a number",
    ),
    "python's number": (
        lambda path: edit(path, lambda rows: [[rows[0][0], "1_000"], *rows[1:]]),
        "line 1 has a value that is not a number",
    ),
    "nan": (
        lambda path: edit(path, lambda rows: [rows[0], [rows[1][0], "nan"], *rows[2:]]),
        "line 2 has the value 'nan', which is not finite",
    ),
    "infinite": (
        lambda path: edit(path, lambda rows: [[rows[0][0], "-inf"], *rows[1:]]),
        "line 1 has the value '-inf', which is not finite",
    ),
    "third column": (
        lambda path: edit(path, lambda rows: [[*row, "0"] for row in rows]),
        "line 1, 2, 3, 4, 5 and",
    ),
    "another encoding": (
        lambda path: path.write_text("a.wav,1\n", encoding="utf-16"),
        "cannot be read as csv in UTF-8",
    ),
}


@pytest.mark.parametrize(("broken", "said"), BREAKS.values(), ids=BREAKS)
def test_what_is_wrong_with_a_score_file_is_said(world, broken, said):
    made = world(2023)
    broken(made.submission / FAN)
    assert said in problems(made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [[rows[0][0], "2"], *rows[1:]], "line 1 has the value '2', which is neither 0 nor 1"),
        (lambda rows: rows[1:], "decision_result_fan_section_00_test.csv lacks 1 of"),
        (lambda rows: [[name, f"{value}.0"] for name, value in rows], None),
    ],
)
def test_decisions_are_0_or_1_for_every_clip(world, change, said):
    made = world(2023)
    edit(made.submission / "decision_result_fan_section_00_test.csv", change)
    if said is None:
        expect_the_worlds_values(made, matched(made))
    else:
        assert said in problems(made)


def test_all_problems_are_said_at_once(world):
    made = world(2021)
    shutil.rmtree(made.submission)
    made.submission.mkdir()
    (made.submission / "anomaly_score_fan_id_01.csv").write_text("id_01_00000000.wav,1\n")
    said = problems(made)
    files = 4 * 3 * 2 * 2  # machines, sections, domains, kinds
    assert f"has {files + 1} problem(s)" in said
    assert said.count(" is missing") == files
    assert "1 file(s) are named as in 2020, not as in 2021: anomaly_score_fan_id_01.csv; try that year" in said


def test_decisions_are_asked_for_unless_scores_alone_will_do(world):
    made = world(2024)
    for path in made.submission.glob("decision_result_*"):
        path.write_text("broken") if "fan" in path.name else path.unlink()
    said = problems(made)
    assert "decision_result_ToyCar_section_00_test.csv is missing (or score without decisions: --scores-only)" in said
    table = matched(made, scores_only=True)
    assert "decision" not in table
    expect_the_worlds_values(made, table)


def test_files_of_other_machines_are_left_alone_if_nothing_is_missing(world):
    made = world(2023)
    (made.submission / "anomaly_score_pump_section_00_test.csv").write_text("section_00_0000.wav,1\n")
    expect_the_worlds_values(made, matched(made))


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AsdRayError, match="nowhere: no such folder"):
        read_submission(tmp_path / "nowhere", 2020)


def test_folder_without_csv_files_says_what_it_needs(tmp_path):
    assert (
        "holds no csv file; 2020 has anomaly_score_<machine>_id_<NN>.csv" in read_submission(tmp_path, 2020).problems[0]
    )
