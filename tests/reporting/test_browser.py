"""The page in a real browser: headless Chromium, from disk, at a desktop's and at a telephone's width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ledger import Ledger, RunLayout
from asd_ray.reporting import gather, write
from tests.reporting.conftest import EVIL, choose, fill_normal_only

TABS = ["overview", "machine-fan", "machine-ToyCar", "families", "provenance"]


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def opened(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page; when the test ends, nothing may have been logged, thrown, asked of the network or answered."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, seen = context.new_page(), list[str]()
    page.on("console", lambda message: seen.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (seen.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda asked: seen.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    page.goto(report.as_uri())
    yield page
    context.close()
    assert seen == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_machine_without_anomalies_has_a_page(browser: Any, tmp_path: Path, width: int) -> None:
    ledger = Ledger(tmp_path / "run")
    fill_normal_only(ledger, "fan", trials=2)
    choose(tmp_path / "run")
    write(gather(ledger), RunLayout(tmp_path), str(tmp_path))
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    card = page.locator("#overview .card", has_text="there are no anomalies")
    assert card.locator("b").inner_text() == "not measured"
    page.locator("[aria-controls=machine-fan]").click()
    panel = page.locator("#machine-fan")
    for words in (
        "Injected faults",
        "Not measured: there are no anomalies; the machine has no test clips.",
        "held-out normal clips",
    ):
        assert words in panel.inner_text()
    assert panel.locator("figure svg[aria-label^='Scores of id']").count() == 8  # of each id and domain, and in order
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.close()


def shown(page: Any) -> list[str]:
    panels = page.locator("main > [role=tabpanel]").all()
    return [panel.get_attribute("id") for panel in panels if panel.is_visible()]


def open_machine(page: Any) -> None:
    """The tab of fan with all its parts, of which a telephone shows the first ones only."""
    page.locator("[aria-controls=machine-fan]").click()
    page.evaluate("for (const part of document.querySelectorAll('#machine-fan details')) part.open = true;")


def test_each_tab_shows_its_panel_alone_and_the_page_never_scrolls_sideways(opened: Any) -> None:
    assert shown(opened) == ["overview"]
    for name in TABS:
        opened.locator(f"[aria-controls={name}]").click()
        assert shown(opened) == [name]
        assert opened.evaluate("location.hash") == f"#{name}"
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert opened.evaluate(wide) == 0


def test_tabs_are_used_by_keyboard(opened: Any) -> None:
    opened.locator("[aria-controls=overview]").focus()
    opened.keyboard.press("ArrowRight")
    assert shown(opened) == ["machine-fan"]
    opened.keyboard.press("End")
    assert shown(opened) == ["provenance"]
    opened.keyboard.press("ArrowRight")
    assert shown(opened) == ["overview"]
    assert opened.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    assert opened.locator("header [role=tab][tabindex='0']").count() == 1


def test_an_address_with_a_name_opens_its_tabs(opened: Any, report: Path) -> None:
    opened.goto("about:blank")
    opened.goto(f"{report.as_uri()}#family-knn")
    assert shown(opened) == ["families"]
    assert opened.locator("#family-knn").is_visible()
    assert not opened.locator("#family-idnn").is_visible()


def test_a_click_on_a_heading_sorts_by_number_and_again_the_other_way(opened: Any) -> None:
    open_machine(opened)
    table = opened.locator("#machine-fan table.board")
    heads = table.locator("thead th").all_inner_texts()
    column = next(at for at, name in enumerate(heads) if name.strip().startswith("seconds"))
    head = table.locator("thead th").nth(column)
    values = f"rows => rows.map(row => parseFloat(row.cells[{column}].textContent))"
    before = table.locator("tbody tr").evaluate_all(values)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert table.locator("tbody tr").evaluate_all(values) == sorted(before, reverse=True) != before
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert table.locator("tbody tr").evaluate_all(values) == sorted(before)


def test_words_are_sorted_as_words(opened: Any) -> None:
    open_machine(opened)
    table = opened.locator("#machine-fan table.board")
    table.locator("thead th", has_text="family").locator("button").click()
    families = table.locator("tbody tr").evaluate_all("rows => rows.map(row => row.cells[2].textContent)")
    assert families == sorted(families)
    assert len(set(families)) == 3


def test_a_name_that_starts_with_a_figure_is_a_word(opened: Any) -> None:
    open_machine(opened)
    rows = opened.locator("#machine-fan table.board tbody tr")
    rows.evaluate_all("rows => rows.forEach((row, at) => row.cells[2].textContent = at % 2 ? '1stFan' : '3DPrinter')")
    opened.locator("#machine-fan table.board thead th", has_text="family").locator("button").click()
    families = rows.evaluate_all("rows => rows.map(row => row.cells[2].textContent)")
    assert families == sorted(families)  # numbers would start with the largest


def test_missing_numbers_are_last_both_ways(opened: Any) -> None:
    open_machine(opened)
    table = opened.get_by_role("region", name="Recipes of fan").locator("table")
    head = table.locator("thead th", has_text="cross_id")
    column = head.evaluate("head => head.cellIndex")
    for _ in range(2):
        head.locator("button").click()
        texts = table.locator("tbody tr").evaluate_all(f"rows => rows.map(row => row.cells[{column}].textContent)")
        assert texts[-2:] == ["–", "–"]  # label_free, combined in two ways
        assert "–" not in texts[:-2]


def test_print_shows_every_tab(opened: Any) -> None:
    opened.emulate_media(media="print")
    assert shown(opened) == TABS
    assert all(panel.is_visible() for panel in opened.locator("#families [role=tabpanel]").all())
    assert not opened.locator("[role=tablist]").first.is_visible()
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_scripts_everything_is_shown(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert shown(page) == TABS
    assert not page.locator("[role=tablist]").first.is_visible()
    context.close()


def test_charts_are_as_wide_as_their_column_at_most(opened: Any) -> None:
    open_machine(opened)
    boxes = [each.bounding_box() for each in opened.locator("#machine-fan figure > svg").all()]
    assert len(boxes) >= 6
    width = opened.viewport_size["width"]
    assert all(box["height"] > 100 and 200 < box["width"] <= width - 2 * boxes[0]["x"] for box in boxes)


def test_sounds_are_decoded_and_as_long_as_the_clip(opened: Any) -> None:
    open_machine(opened)
    sounds = opened.locator("#machine-fan audio")
    assert sounds.count() == 10
    load = """sound => new Promise((done, failed) => {
        sound.onloadedmetadata = () => done(sound.duration);
        sound.onerror = () => failed(sound.error.message);
        sound.preload = "auto"; sound.load();
    })"""
    # a browser may count the whole last block of Vorbis
    assert sounds.nth(0).evaluate(load) == pytest.approx(2.0, abs=0.05)
    assert sounds.nth(9).evaluate(load) == pytest.approx(2.0, abs=0.05)


def test_a_sound_plays(opened: Any) -> None:
    open_machine(opened)
    play = """async sound => {
        sound.muted = true;
        await sound.play();
        while (sound.currentTime < 0.2) await new Promise(next => setTimeout(next, 20));
        sound.pause();
        return sound.currentTime;
    }"""
    assert opened.locator("#machine-fan audio").first.evaluate(play) >= 0.2  # a busy computer may look at its end


def test_maps_are_shown_inside_their_place(opened: Any) -> None:
    open_machine(opened)
    pictures = opened.locator("#machine-fan .sound img")
    assert pictures.count() == 10
    assert pictures.evaluate_all("all => all.every(each => each.naturalWidth === 990 && each.naturalHeight === 352)")
    assert pictures.first.get_attribute("alt") == f"tonal, {EVIL}"
    width = opened.viewport_size["width"]
    for part in (".sound", ".sound audio", ".sound .pan"):
        boxes = [each.bounding_box() for each in opened.locator(f"#machine-fan {part}").all()]
        assert all(box["width"] > 200 and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes), part
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert opened.evaluate(wide) == 0


def test_the_address_of_the_mistakes_opens_their_machine(opened: Any, report: Path) -> None:
    opened.goto("about:blank")
    opened.goto(f"{report.as_uri()}#mistakes-ToyCar")
    assert shown(opened) == ["machine-ToyCar"]
