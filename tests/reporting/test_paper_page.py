"""The page of a paper's table that was run: its numbers, its escaping, and its width in a real browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.experiments import PaperResult
from asd_ray.experiments.result import numbers_of
from asd_ray.papers import find
from asd_ray.reporting.paper_page import check_paper_page, paper_page, write_paper_page
from tests.reporting.conftest import EVIL
from tests.reporting.test_html import Reader

PAPER = find("liu2022")
TABLE = PAPER.table("2")


@pytest.fixture(scope="module")
def result() -> PaperResult:
    ours = {machine: {0: (60.0, 50.0), 1: (64.0, 52.0)} for machine in TABLE.machines}
    parts = [numbers_of(TABLE, row, ours if row.name == "IDNN" else {}, TABLE.machines) for row in TABLE.rows]
    numbers = tuple(number for own in parts for number in own)
    differs = {"IDNN": ("in the paper: another protocol", EVIL)}
    return PaperResult(PAPER, TABLE, f"runs/{EVIL}", numbers, differs, (f"Glow-Aff: {EVIL}",), (EVIL, "a note"))


def test_the_page_has_every_published_number_and_ours_below(result: PaperResult) -> None:
    words = [word.strip() for word in Reader(paper_page(result)).words if word.strip()]
    for row in TABLE.rows:
        for values in (*row.values.values(), row.average):
            assert {f"{value:.2f}" for value in values} <= set(words)
    at = words.index("67.71")  # IDNN on fan; its lines follow each other
    assert words.index("IDNN") < at
    lines = words[at:]
    assert lines[lines.index("ours, mean of 2 seeds") + 1] == "62.00"
    assert lines[lines.index("difference") + 1] == "−5.71"
    assert lines[lines.index("spread") + 1] == "2.83"
    assert words.count("difference") == len(TABLE.measures), "rows without ours have the published line alone"


def test_numbers_that_cannot_be_compared_have_no_difference(result: PaperResult) -> None:
    numbers = tuple(replace(each, same_clips=False) for each in result.numbers)
    words = " ".join(Reader(paper_page(replace(result, numbers=numbers))).words)
    assert "ours, mean of 2 seeds" in words
    assert "ifference" not in words


def test_names_are_text_and_nothing_is_loaded(result: PaperResult) -> None:
    read = Reader(paper_page(result))
    assert "img" not in {tag for tag, _ in read.tags}
    assert "script" not in {tag for tag, _ in read.tags}
    assert not [own for _, own in read.tags if (own.get("src") or own.get("href") or "data:,") != "data:,"]
    assert "a note" in read.words


def test_a_page_is_replaced_and_another_file_is_not(result: PaperResult, tmp_path: Path) -> None:
    own, other = tmp_path / "own.html", tmp_path / "other.html"
    write_paper_page(result, own)
    write_paper_page(result, own)
    other.write_text("<html>mine</html>")
    with pytest.raises(AsdRayError, match="other.html exists and was not written by asd-ray paper"):
        write_paper_page(result, other)
    assert other.read_text() == "<html>mine</html>"
    for path, message in (
        (tmp_path / "none" / "a.html", "there is no folder"),
        (tmp_path, "it is a folder, and a file is needed there"),
        (other / "a.html", "other.html is a file"),
    ):
        with pytest.raises(AsdRayError, match=message):
            check_paper_page(path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_never_scrolls_sideways_and_wide_tables_scroll_inside(
    browser: Any, result: PaperResult, tmp_path: Path, width: int, scheme: str
) -> None:
    write_paper_page(result, tmp_path / "page.html")
    page, seen = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme), list[str]()
    page.on("console", lambda message: seen.append(message.text))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    table = page.locator(".scroll").first
    assert table.evaluate("each => each.scrollWidth > each.clientWidth") is (width == 390)
    head = table.locator("tbody th").first
    before = head.bounding_box()["x"]
    table.evaluate("each => { each.scrollLeft = 200 }")
    assert head.bounding_box()["x"] == before, "the names of rows stay in sight"
    page.close()
    assert seen == []
