import pytest

from asd_ray.metrics.editions import DECISION, EDITIONS, SCORE, FileName

BASELINE = "anomaly_score_DCASE{}T2ToyTank_section_00_test_seed13711_id(0_)_Eval.csv"


@pytest.mark.parametrize(
    ("year", "name", "meant"),
    [
        (2020, "anomaly_score_ToyCar_id_05.csv", FileName(SCORE, ("ToyCar", "05", ""), True)),
        (2021, "anomaly_score_fan_section_03_source_test.csv", FileName(SCORE, ("fan", "03", "source"), True)),
        (2021, "decision_result_fan_section_03_target_test.csv", FileName(DECISION, ("fan", "03", "target"), True)),
        (2022, "decision_result_fan_section_05_test.csv", FileName(DECISION, ("fan", "05", ""), True)),
        (2024, "anomaly_score_3DPrinter_section_00_test.csv", FileName(SCORE, ("3DPrinter", "00", ""), True)),
        (2023, BASELINE.format(2023), FileName(SCORE, ("ToyTank", "00", ""), False)),
        (2025, BASELINE.format(2025), FileName(SCORE, ("ToyTank", "00", ""), False)),
    ],
)
def test_names_of_a_year_are_understood(year, name, meant):
    assert EDITIONS[year].files.parse(name) == meant


@pytest.mark.parametrize(
    ("year", "name"),
    [
        (2020, "decision_result_ToyCar_id_05.csv"),  # 2020 had no decisions
        (2020, "anomaly_score_ToyCar_id_5.csv"),
        (2020, "anomaly_score_ToyCar_section_00_test.csv"),
        (2021, "anomaly_score_fan_section_03_test.csv"),
        (2022, "anomaly_score_fan_section_03_source_test.csv"),
        (2023, "anomaly_score_fan_section_00_test.CSV"),
        (2023, "anomaly_score_fan_section_00_test.csv.csv"),
        (2023, "Anomaly_score_fan_section_00_test.csv"),
        (2023, "scores.csv"),
        (2024, BASELINE.format(2023)),
    ],
)
def test_names_of_no_or_another_year_are_not(year, name):
    assert EDITIONS[year].files.parse(name) is None


@pytest.mark.parametrize("year", [2020, 2021, 2022, 2023, 2024, 2025])
def test_spelled_names_are_understood_again(year):
    cell = ("fan", "03", "source" if year == 2021 else "")
    files = EDITIONS[year].files
    assert files.parse(files.spell(SCORE, cell)) == FileName(SCORE, cell, True)


def test_the_rule_in_words():
    assert EDITIONS[2020].files.rule() == "anomaly_score_<machine>_id_<NN>.csv"
    assert EDITIONS[2021].files.rule().endswith(" and decision_result_<machine>_section_<NN>_<source|target>_test.csv")
