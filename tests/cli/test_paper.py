from __future__ import annotations

import csv
import io
import shlex

import pytest

from asd_ray.__main__ import main
from asd_ray.papers import PAPERS, find


def shown(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["paper", *words]) == status
    printed = capsys.readouterr()
    return printed.err if status else printed.out


@pytest.mark.parametrize("key", PAPERS)
def test_every_number_of_a_paper_is_shown_in_80_columns(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, key)
    assert max(map(len, out.splitlines())) <= 80
    words = out.split()
    for table in find(key).tables:
        for row in table.rows:
            values = [*row.values.values(), row.average]
            assert {f"{value:.{table.decimals}f}" for own in values for value in own} <= set(words)


def test_numbers_stand_below_their_machine_and_measure(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "liu2022", "--table", "2").splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("pAUC "))
    assert lines[first].split() == ["pAUC", "fan", "pump", "slider", "valve", "Car", "Conveyor", "mean"]
    assert lines[first + 1].split() == ["IDNN", *["52.90", "61.07", "67.58", "64.94", "69.22", "59.70", "62.57"]]
    assert lines[first - 1].split() == ["Toy", "Toy"]
    assert lines[-1] == "next: asd-ray search --jointly --families stgram --trials 1"


def test_totals_alone_have_a_column_for_each_measure(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split() for line in shown(capsys, "baseline2021", "--table", "development").splitlines()]
    assert ["AUC", "pAUC"] in lines
    assert ["Autoencoder", "62.01", "53.43"] in lines


def test_a_row_that_cannot_be_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    out = " ".join(shown(capsys, "jiang2023", "--table", "1").split())
    assert out.count("cannot be run: another team's") == 3
    assert "dcase2022, development set" in out


def test_a_paper_without_numbers_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "No number of the baseline of 2025 is known to us." in shown(capsys, "baseline2025")


@pytest.mark.parametrize("words", [(), ("--list",)])
def test_the_list_has_every_table(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, *words)
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines[2 : lines.index("")]} == set(PAPERS)
    assert "cho2022       Cho 2022               1            dcase2022 dev      3       2" in lines
    (last,) = [shlex.split(line) for line in lines if line.startswith("next: ")]
    assert main(last[2:]) == 0


def test_csv_is_the_table_s_records(capsys: pytest.CaptureFixture[str]) -> None:
    table = find("cho2022").table("1")
    rows = list(csv.DictReader(io.StringIO(shown(capsys, "cho2022", "--csv"))))
    assert [row["row"] for row in rows] == [row.name for row in table.rows]
    assert float(rows[0]["fan pAUC"]) == 56.9
    assert rows[1]["cannot"].startswith("it starts from pretrained weights")


def test_markdown_has_the_words_first_and_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    head, rule, *rows = shown(capsys, "liu2022", "--table", "3", "--markdown").splitlines()
    assert head.startswith("| row | here | in the paper | fan mAUC |")
    assert rule == "|---|---|---|" + "--:|" * 7
    assert len(rows) == 5
    assert rows[-1].endswith("| 81.39 | 83.48 | 98.22 | 98.83 | 83.07 | 64.16 | 84.86 |")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("liu2022", "--csv"), "liu2022 has the tables 2, 3, 4; choose one with --table"),
        (("baseline2025", "--markdown"), "baseline2025 has no table: No number"),
        (("liu2022", "--table", "9"), "unknown table of liu2022 '9'; known: 2, 3, 4"),
        (("lui2022",), "unknown paper 'lui2022'; did you mean 'liu2022'?"),
        (("liu2022", "--list"), "the list of papers takes no other argument"),
        (("--table", "2"), "the list of papers takes no other argument"),
        (("liu2022", "--weights", f"beats={__file__}"), "--weights beats: no row of liu2022 starts from weights of it"),
        (("cho2022", "--weights", f"mobilenet_v9={__file__}"), "they can be given for mobilenet_v3"),
        (("cho2022", "--weights", f"mobilenet_v3={__file__}"), "test_paper.py: it cannot be read as tensors alone"),
    ],
)
def test_what_cannot_be_shown_is_one_message(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in shown(capsys, *words, status=2)
