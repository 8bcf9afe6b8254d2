"""Every number of our tables stands in the paper's text, in the order of its row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest

from asd_ray.papers import PaperTable, find

SHARED = Path(__file__).parents[2] / "../shared"
NUMBER = re.compile(r"\d+\.\d+")
BY_ROWS = {  # (paper, table) -> its text; a line of the text is a row of ours
    ("giri2020", "1"): "giri_dcase2020.txt",
    ("kim2021", "II"): "kim_complex_network.txt",
    ("liu2022", "2"): "liu_stgram_mfn.txt",
    ("cho2022", "1"): "cho_stgram_dcase2022.txt",
    ("jiang2023", "2"): "jiang_aegan_ad.txt",
}
BY_MACHINES = {  # a line of the text is a machine
    ("liu2022", "3"): "liu_stgram_mfn.txt",
    ("liu2022", "4"): "liu_stgram_mfn.txt",
    ("jiang2023", "1"): "jiang_aegan_ad.txt",
}
DAMAGED = "Proposed / Complex / Deep encoder with attention block"  # of Kim; its digits are wrong in the text

pytestmark = pytest.mark.skipif(not (SHARED / "seeds").is_dir(), reason="the papers' texts are not here")


def lines_of(name: str, folder: str = "seeds") -> list[str]:
    return (SHARED / folder / name).read_text().splitlines()


def numbers_of(line: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(line)]


def plain(text: str) -> str:
    return re.sub(r"[^\w+]", "", text).lower()


def place(lines: Sequence[str], numbers: Sequence[float], name: str) -> int:
    """The only line that has exactly these numbers, and the name."""
    found = [at for at, line in enumerate(lines) if numbers_of(line) == list(numbers) and plain(name) in plain(line)]
    assert len(found) == 1, (name, numbers)
    return found[0]


def has_head(lines: Sequence[str], names: Sequence[str], above: int) -> bool:
    """Whether one of the three lines above the table's first has these names in this order."""
    pattern = re.compile(".*".join(re.escape(plain(name)) for name in names))
    return any(pattern.search(plain(line)) for line in lines[above - 3 : above])


@pytest.mark.parametrize(("key", "number"), BY_ROWS, ids=map(" ".join, BY_ROWS))
def test_a_row_of_ours_is_a_row_of_the_text(key: str, number: str) -> None:
    table, lines = find(key).table(number), lines_of(BY_ROWS[key, number])
    places = []
    for row in table.rows:
        if row.name != DAMAGED:
            numbers = [*chain.from_iterable(row.values[machine] for machine in table.machines), *row.average]
            places.append(place(lines, numbers, re.split(" / |, ", row.name)[-1]))
    assert places == sorted(places)
    assert has_head(lines, table.machines, places[0])


@pytest.mark.parametrize(("key", "number"), BY_MACHINES, ids=map(" ".join, BY_MACHINES))
def test_a_machine_of_ours_is_a_row_of_the_text(key: str, number: str) -> None:
    table, lines = find(key).table(number), lines_of(BY_MACHINES[key, number])
    places = [
        place(lines, [*chain.from_iterable(row.values[machine] for row in table.rows)], machine)
        for machine in table.machines
    ]
    averages = [*chain.from_iterable(row.average for row in table.rows)]
    places.append(place(lines, averages, "hmean" if table.rule == "hmean" else "Average"))
    assert places == sorted(places)
    assert has_head(lines, [row.name for row in table.rows], places[0])


def test_kim_s_damaged_row_is_in_the_prose() -> None:
    row = find("kim2021").table("II").row(DAMAGED)
    (average,) = row.average
    (fan,), (pump,), (slider,), (valve,) = row.values.values()
    text = " ".join(lines_of("kim_complex_network.txt"))
    assert f"fan, slider and valve types, achieving {fan}%, {slider}% and {valve}%, respectively" in text
    assert f"an average AUC score of {average}%" in text
    assert f"{pump:.2f}"[1:] in next(line for line in lines_of("kim_complex_network.txt") if "06.40" in line)
    assert pump == pytest.approx(4 * average - fan - slider - valve, abs=0.02 + 1e-9)


def test_every_table_of_a_seed_is_read() -> None:
    tables = {(key, table.number) for key in {key for key, _ in (*BY_ROWS, *BY_MACHINES)} for table in find(key).tables}
    assert tables == {*BY_ROWS, *BY_MACHINES, ("jiang2023", "README")}  # the README is in our notes


def shares(table: PaperTable, name: str) -> list[str]:
    """The averages of a row as the sources print them: .686 for 68.6 %."""
    digits = table.decimals + 2
    return [f"{value / 100:.{digits}f}"[1:] for value in table.row(name).average]


@pytest.mark.parametrize(
    ("year", "split", "row", "words"),
    [
        (2021, "development", "Autoencoder", "2021 README dev harmonic mean AUC {} pAUC {};"),
        (2022, "development", "Autoencoder", "2022 README overall harmonic AUC_s {}, AUC_t {}, pAUC {} "),
        (2021, "development", "MobileNetV2", "2021 harmonic AUC {}, pAUC {};"),
        (2022, "development", "MobileNetV2", "2022 harmonic AUC_s {}, AUC_t {}, pAUC {} "),
        (2023, "evaluation", "Autoencoder, MSE", "2023 eval MSE {},"),
        (2023, "evaluation", "Autoencoder, MAHALA", "MAHALA {};"),
        (2024, "evaluation", "Autoencoder, MSE", "2024 eval MSE {}."),
    ],
)
def test_baselines_are_as_in_our_notes(year: int, split: str, row: str, words: str) -> None:
    table = find(f"baseline{year}").table(split)
    assert words.format(*shares(table, row)) in " ".join(" ".join(lines_of("detectors.md", "reference")).split())


def test_other_numbers_are_as_in_our_notes() -> None:
    detectors, records = (lines_of(name, "reference") for name in ("detectors.md", "records.md"))
    table = find("baseline2020").table("development")
    for machine, (auc, pauc) in table.row("Autoencoder").values.items():
        pair = f"{machine} {auc / 100:.4f}/{pauc / 100:.4f}".replace(" 0.", " .").replace("/0.", "/.")
        assert pair in " ".join(" ".join(detectors).split())
    (of_2021,) = find("baseline2021").table("evaluation").row("Baseline").average
    (of_2022,) = find("baseline2022").table("evaluation").row("Baseline").average
    assert any(f"2021: baseline eval {of_2021:.2f}," in line for line in records)
    assert any(f"Eval official: baseline {of_2022:.2f};" in line for line in records)
    (row,) = find("choi2024").table("README").rows
    (line,) = (line for line in records if line.startswith("| TASTgram"))
    assert numbers_of(line)[:14] == [*chain.from_iterable(row.values.values()), *row.average]


def test_aegan_ad_on_dcase_2020_is_as_in_our_notes() -> None:
    (row,) = find("jiang2023").table("README").rows
    own = {machine: value for machine, (value,) in row.values.items()}
    words = f"{', '.join(f'{value:.2f}' for value in own.values())} for {', '.join(own)} [D]"
    detectors, records = (lines_of(name, "reference") for name in ("detectors.md", "records.md"))
    assert f"DCASE2020 (mean of AUC and pAUC): {words}" in " ".join(" ".join(detectors).split())
    (head,) = (line for line in records if line.startswith("| system | fan |"))
    (line,) = (line for line in records if line.startswith("| AEGAN-AD (mean of AUC, pAUC) |"))
    cells = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert {machine: float(cells[machine]) for machine in own} == own
    (of_2020,) = re.findall(r"\(2020\): (fan dev .*?)\. ", " ".join(" ".join(detectors).split()))
    additional = [clause for clause in of_2020.split("; ") if "dev+eval" in clause]
    assert set(row.additional) == {machine for machine in own if machine in " ".join(additional)} == {*own} - {"fan"}
