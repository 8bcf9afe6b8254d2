import shutil

import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.metrics import match, read_submission, read_truth

YEARS = (2020, 2021, 2022, 2023, 2024, 2025)
FAN = "anomaly_score_fan_section_00_test.csv"


def matched(case, **options) -> pd.DataFrame:
    return match(read_truth(case.truth, case.year), read_submission(case.submission, case.year), **options)


def problems(case, **options) -> str:
    with pytest.raises(AsdRayError) as raised:
        matched(case, **options)
    return str(raised.value)


def edit(path, change):
    """Rewrite a csv file's rows."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("".join(",".join(row) + "\n" for row in change(rows)))


def expect_the_worlds_values(case, table):
    keys = ["machine", "id", "domain", "clip"]
    joined = case.table.merge(table, on=[*keys, "label"], suffixes=("", "_read"))
    assert len(joined) == len(case.table) == len(table)
    assert (joined["score"] == joined["score_read"]).all()
    if "decision" in table:
        assert (joined["decision"] == joined["decision_read"]).all()


@pytest.mark.parametrize("year", YEARS)
def test_rows_pair_by_name_whatever_their_order_line_ends_or_byte_order_mark(world, year):
    case = world(year)
    for number, path in enumerate(sorted(case.submission.iterdir())):
        lines = path.read_text().splitlines()[:: -1 if number % 2 else 1]
        mark = "\ufeff" if number % 3 == 0 else ""
        path.write_bytes((mark + "\r\n".join(lines) + "\r\n\r\n").encode())
    (case.submission / "team_task2_1.meta.yaml").write_text("submission:\n")
    (case.submission / "._anomaly_score_fan.csv").write_bytes(b"\x00\x05")  # what macOS leaves behind
    submission = read_submission(case.submission, year)
    assert (submission.system, submission.problems) == ("system", [])
    assert list(submission.scores) == ["machine", "id", "domain", "clip", "score"]
    assert list(submission.decisions) == ["machine", "id", "domain", "clip", "decision"]
    assert set(submission.scores["domain"]) == ({"source", "target"} if year == 2021 else {""})
    table = match(read_truth(case.truth, year), submission)
    assert ("decision" in table) == (year != 2020)
    expect_the_worlds_values(case, table)


def test_exports_of_the_baseline_are_read_where_official_names_are_absent(world):
    case = world(2023)
    for path in list(case.submission.glob("*_fan_*")):
        kind = path.name.split("_fan_")[0]
        path.rename(case.submission / f"{kind}_DCASE2023T2fan_section_00_test_seed13711_id(0_)_Eval.csv")
    shutil.copy(  # beside a complete official pair the baseline's own file is not looked at
        case.submission / "anomaly_score_ToyCar_section_00_test.csv",
        case.submission / "anomaly_score_DCASE2023T2bearing_section_00_test_seed1_Eval.csv",
    )
    expect_the_worlds_values(case, matched(case))


def test_two_exports_of_one_section_are_named(world):
    case = world(2023)
    (case.submission / FAN).unlink()
    for seed in (1, 2):
        (case.submission / f"anomaly_score_DCASE2023T2fan_section_00_test_seed{seed}_Eval.csv").write_text("a.wav,1\n")
    assert "are of the same machine and section; keep one" in problems(case)


EXPORT = "{}_DCASE2023T2fan_section_00_test_seed1_Eval.csv"


def export_of_another(case, *kinds):
    """Files that a baseline might have left in the folder: all scores 9, all decisions 1."""
    for kind, value in (("anomaly_score", "9"), ("decision_result", "1")):
        if kind in kinds:
            official = case.submission / f"{kind}_fan_section_00_test.csv"
            (case.submission / EXPORT.format(kind)).write_bytes(official.read_bytes())
            edit(case.submission / EXPORT.format(kind), lambda rows, value=value: [[row[0], value] for row in rows])


BOTH = ("anomaly_score", "decision_result")


@pytest.mark.parametrize("kinds", [BOTH, BOTH[:1], BOTH[1:]])
def test_an_export_never_takes_the_place_of_official_scores_when_scores_alone_count(world, kinds):
    case = world(2023)
    export_of_another(case, *kinds)
    for path in case.submission.glob("decision_result_*_section_00_test.csv"):
        path.unlink()
    submission = read_submission(case.submission, 2023, scores_only=True)
    assert submission.files["anomaly_score", ("fan", "00", "")] == FAN
    expect_the_worlds_values(case, match(read_truth(case.truth, 2023), submission, scores_only=True))


def test_scores_that_gave_way_to_an_export_are_not_scored_alone(world):
    case = world(2023)
    export_of_another(case, *BOTH)
    (case.submission / "decision_result_fan_section_00_test.csv").unlink()
    table = matched(case)
    assert set(table.loc[table["machine"] == "fan", "score"]) == {9.0}, "the evaluators take the pair that is whole"
    assert f"{FAN} was replaced by a baseline's own export" in problems(case, scores_only=True)


def test_official_scores_stay_beside_exported_scores_without_decisions(world):
    case = world(2023)
    export_of_another(case, "anomaly_score")
    (case.submission / "decision_result_fan_section_00_test.csv").unlink()
    assert read_submission(case.submission, 2023).files["anomaly_score", ("fan", "00", "")] == FAN
    assert "decision_result_fan_section_00_test.csv is missing" in problems(case)


def test_official_scores_with_exported_decisions_are_two_systems(world):
    case = world(2023)
    export_of_another(case, "decision_result")
    (case.submission / "decision_result_fan_section_00_test.csv").unlink()
    assert f"{FAN}, {EXPORT.format('decision_result')}: official files beside exports, neither whole" in problems(case)


def test_a_stray_file_is_a_problem_only_if_something_is_missing(world):
    case = world(2023)
    (case.submission / "notes.csv").write_text("mine")
    (case.submission / "folder.csv").mkdir()
    submission = read_submission(case.submission, 2023)
    assert submission.misnamed == ["notes.csv"]
    assert submission.problems == submission.strays
    assert len(submission.strays) == 1
    expect_the_worlds_values(case, matched(case))
    edit(case.submission / FAN, lambda rows: rows[1:])
    assert "notes.csv is misnamed" in problems(case)


def test_long_names_are_known(world, tmp_path):
    case = world(2020)
    long = dict(zip(zip(case.table["machine"], case.table["clip"], strict=True), case.table["long"], strict=True))
    path = case.submission / "anomaly_score_fan_id_01.csv"
    edit(path, lambda rows: [[long["fan", name], value] for name, value in rows])
    expect_the_worlds_values(case, matched(case))


def test_names_of_the_readme_of_2022_are_known(world):
    case = world(2022)
    for path in case.submission.glob("*_fan_section_03_test.csv"):
        path.write_text(path.read_text().replace("section_03_", "section_03_test_"))
    expect_the_worlds_values(case, matched(case))


def test_one_clip_under_two_names_is_named(world):
    case = world(2020)
    path = case.submission / "anomaly_score_fan_id_01.csv"
    long = case.table["long"].iloc[0]
    edit(path, lambda rows: [*rows, [long, "0.5"]])
    assert f"lists one clip under two names, {case.table['clip'].iloc[0]} and {long}" in problems(case)


def drop(path):
    path.unlink()


def rename(path):
    path.rename(path.with_name("anomaly_score_fan_Section_00.csv"))


BREAKS = {  # what is done to the fan's score file -> the problem that is reported
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


@pytest.mark.parametrize(("broken", "message"), BREAKS.values(), ids=BREAKS)
def test_what_is_wrong_with_a_score_file_is_reported(world, broken, message):
    case = world(2023)
    broken(case.submission / FAN)
    assert message in problems(case)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [[rows[0][0], "2"], *rows[1:]], "line 1 has the value '2', which is neither 0 nor 1"),
        (lambda rows: rows[1:], "decision_result_fan_section_00_test.csv lacks 1 of"),
        (lambda rows: [[name, f"{value}.0"] for name, value in rows], None),
    ],
)
def test_decisions_are_0_or_1_for_every_clip(world, change, message):
    case = world(2023)
    edit(case.submission / "decision_result_fan_section_00_test.csv", change)
    if message is None:
        expect_the_worlds_values(case, matched(case))
    else:
        assert message in problems(case)


def test_all_problems_are_reported_at_once(world):
    case = world(2021)
    shutil.rmtree(case.submission)
    case.submission.mkdir()
    (case.submission / "anomaly_score_fan_id_01.csv").write_text("id_01_00000000.wav,1\n")
    message = problems(case)
    files = 4 * 3 * 2 * 2  # machines, sections, domains, kinds
    assert f"has {files + 1} problem(s)" in message
    assert message.count(" is missing") == files
    assert "1 file(s) are named as in 2020, not as in 2021: anomaly_score_fan_id_01.csv; try that year" in message


def test_decisions_are_asked_for_unless_scores_alone_will_do(world):
    case = world(2024)
    for path in case.submission.glob("decision_result_*"):
        path.write_text("broken") if "fan" in path.name else path.unlink()
    message = problems(case)
    assert (
        "decision_result_ToyCar_section_00_test.csv is missing (or score without decisions: --scores-only)" in message
    )
    table = matched(case, scores_only=True)
    assert "decision" not in table
    expect_the_worlds_values(case, table)


def test_files_of_other_machines_are_left_alone_if_nothing_is_missing(world):
    case = world(2023)
    (case.submission / "anomaly_score_pump_section_00_test.csv").write_text("section_00_0000.wav,1\n")
    expect_the_worlds_values(case, matched(case))


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AsdRayError, match="nowhere: no such folder"):
        read_submission(tmp_path / "nowhere", 2020)


def test_folder_without_csv_files_says_what_it_needs(tmp_path):
    assert (
        "holds no csv file; 2020 has anomaly_score_<machine>_id_<NN>.csv" in read_submission(tmp_path, 2020).problems[0]
    )
