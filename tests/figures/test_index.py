"""The figures that can be drawn agree with the papers' tables and texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.families import family
from asd_ray.figures import FIGURES, figures_of, find_figure
from asd_ray.figures.index import NOT_DRAWN

SEEDS = Path(__file__).parents[3] / "shared" / "seeds"
TEXTS = {
    "kim2021": "kim_complex_network.txt",
    "liu2022": "liu_stgram_mfn.txt",
    "cho2022": "cho_stgram_dcase2022.txt",
    "jiang2023": "jiang_aegan_ad.txt",
}


@pytest.mark.parametrize(("key", "number"), [(key, one.number) for key, own in FIGURES.items() for one in own])
def test_rows_and_their_telling_parameter_exist(key: str, number: str) -> None:
    figure = find_figure(key, number)
    rows = figure.paper_rows(key)
    assert figure.table == "" or rows
    for row in rows:
        (member,) = row.members
        params = member.params_on(figure.machines[0])
        assert set(params) <= family(member.family).parameters
        assert figure.told_by == "" or figure.told_by in params
    told = [row.members[0].params.get(figure.told_by) for row in rows]
    assert len(set(map(str, told))) == len(rows)


@pytest.mark.parametrize("key", TEXTS)
def test_every_figure_of_a_paper_is_drawn_or_refused_with_a_reason(key: str) -> None:
    if not SEEDS.is_dir():
        pytest.skip("the papers' texts are not beside this checkout")
    text = (SEEDS / TEXTS[key]).read_text().replace("Figure ", "Fig. ")
    in_text = {number for number in map(str, range(1, 9)) if f"Fig. {number}" in text or f"Fig {number}" in text}
    assert {one.number for one in figures_of(key)} | set(NOT_DRAWN.get(key, {})) == in_text


def test_a_diagram_and_a_wrong_number_are_refused() -> None:
    with pytest.raises(AsdRayError, match="figure 2 of jiang2023 is a diagram of the method; .* the figures 3, 4"):
        find_figure("jiang2023", "2")
    with pytest.raises(AsdRayError, match="unknown figure '9'; of jiang2023 .*Papers with figures: kim2021"):
        find_figure("jiang2023", "9")
    with pytest.raises(AsdRayError, match="no figure of giri2020 is drawn here"):
        find_figure("giri2020", "1")
    with pytest.raises(AsdRayError, match="unknown paper"):
        find_figure("jiang2024", "1")
