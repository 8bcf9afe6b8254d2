"""Every page on three screens, light and dark: widths, contrast, names, headings, keyboard, fingers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_ray.experiments import PaperResult
from asd_ray.experiments.result import numbers_of
from asd_ray.ledger import Ledger, RunLayout
from asd_ray.papers import find
from asd_ray.reporting import compare, gather, write, write_comparison
from asd_ray.reporting.paper_page import write_paper_page
from tests.reporting.conftest import EVIL, choose, fill_normal_only

TELEPHONE, LAPTOP, DESKTOP = (390, 844), (1280, 800), (1920, 1080)
SIX = [(screen, scheme) for screen in (TELEPHONE, LAPTOP, DESKTOP) for scheme in ("light", "dark")]
LONGEST = 6500  # pixels of a machine's tab on a telephone, as it opens; it was 14,000 before sections were folded

OVERFLOW = """() => {
    const root = document.documentElement, width = root.clientWidth;
    const outside = [...document.querySelectorAll("body *")].filter((each) => {
        const box = each.getBoundingClientRect();
        const out = box.width && (box.right > width + 1 || box.left < -1);
        return out && !each.closest(".scroll, .pan, .charts, pre, thead");
    });
    return [root.scrollWidth - width, outside.map((each) => each.outerHTML.slice(0, 120))];
}"""
HEADINGS = """() => [...document.querySelectorAll("main :is(h2, h3, h4)")].filter((each) => {
    const line = each.closest("summary") || each, level = Number(each.nodeName[1]), next = line.nextElementSibling;
    const after = next && (next.matches("details.part") ? next.querySelector(":is(h2, h3, h4)") : next);
    return !after || (/^H[1-6]$/.test(after.nodeName) && Number(after.nodeName[1]) <= level);
}).map((each) => each.outerHTML)"""

# axe takes a minute for a whole report, in which rows of a table, machines, families and marks of a chart are alike.
ONE_OF_EACH = """() => {
    const drop = (all) => all.forEach((each) => each.remove());
    for (const kind of ["machine-", "family-"]) {
        drop([...document.querySelectorAll(`[role=tabpanel][id^=${kind}]`)].slice(1));
        drop([...document.querySelectorAll(`[role=tab][aria-controls^=${kind}]`)].slice(1));
    }
    for (const rows of document.querySelectorAll("tbody")) drop([...rows.rows].slice(4));
    for (const chart of document.querySelectorAll("svg")) drop([...chart.querySelectorAll("circle, path")].slice(2));
    for (const panel of document.querySelectorAll("[role=tabpanel]")) panel.hidden = false;
    for (const part of document.querySelectorAll("details")) part.open = true;
}"""


@pytest.fixture(scope="module")
def pages(report: Path, filled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind that we write."""
    folder = tmp_path_factory.mktemp("normal")
    ledger = Ledger(folder / "run")
    fill_normal_only(ledger, "fan", trials=2)
    choose(folder / "run")
    write(gather(ledger), RunLayout(folder), str(folder))
    write_comparison(compare([str(filled), str(folder / "run")]), folder)
    return {
        "labels": report,
        "normal": folder / "report.html",
        "paper": paper(folder / "paper.html"),
        "compare": folder / "comparison.html",
    }


def paper(path: Path) -> Path:
    published = find("liu2022")
    table = published.table("2")
    ours = {machine: {0: (60.0, 50.0), 1: (64.0, 52.0)} for machine in table.machines}
    numbers = (number for row in table.rows for number in numbers_of(table, row, ours, table.machines))
    write_paper_page(PaperResult(published, table, EVIL, tuple(numbers), {"IDNN": (EVIL,)}, (EVIL,), (EVIL,)), path)
    return path


def visit(browser: Any, path: Path, screen: tuple[int, int], **how: Any) -> Iterator[tuple[str, Any]]:
    """The page at each of its tabs, also the ones of families."""
    context = browser.new_context(viewport={"width": screen[0], "height": screen[1]}, **how)
    page = context.new_page()
    page.goto(path.as_uri())
    names = page.locator("[role=tab]").evaluate_all("tabs => tabs.map(each => each.getAttribute('aria-controls'))")
    for name in names or ["paper"]:
        if names:
            page.evaluate("name => { location.hash = name }", name)
            page.locator(f'[id="{name}"]').wait_for()
        yield name, page
    context.close()


def show_on(page: Any, screen: tuple[int, int], scheme: str) -> None:
    page.set_viewport_size({"width": screen[0], "height": screen[1]})
    page.emulate_media(color_scheme=scheme)


def test_nothing_is_wider_than_the_screen(browser: Any, pages: dict[str, Path]) -> None:
    for kind, path in pages.items():
        for tab, page in visit(browser, path, DESKTOP):  # there all parts are open
            for screen, scheme in SIX:
                show_on(page, screen, scheme)
                assert page.evaluate(OVERFLOW) == [0, []], (kind, tab, screen, scheme)


def test_headings_go_down_by_one_and_have_something_below_them(browser: Any, pages: dict[str, Path]) -> None:
    for kind, path in pages.items():
        page = browser.new_page()
        page.goto(path.as_uri())
        levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(each => Number(each.nodeName[1]))")
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), (kind, levels)
        assert page.evaluate(HEADINGS) == [], kind
        page.close()


def faults_found(page: Any) -> list[str]:
    """What axe finds: contrast, names, roles, headings, and targets below 24 pixels."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    options = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    found = axe.run(page, options=options).response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("kind", ["labels", "normal", "paper", "compare"])
def test_axe_finds_no_fault(browser: Any, pages: dict[str, Path], kind: str) -> None:
    page = browser.new_page()
    page.goto(pages[kind].as_uri())
    page.evaluate(ONE_OF_EACH)
    for screen, scheme in SIX:
        show_on(page, screen, scheme)
        assert faults_found(page) == [], (screen, scheme)
    page.close()


def test_the_checks_see_a_broken_page(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.html").write_text(
        "<html lang=en><title>broken</title><meta name=viewport content='width=device-width'><body><main><h1>a</h1>"
        "<h2>empty</h2><h2>b</h2><p style='color: #aaa'>pale</p><div style='width: 500px'>wide</div><h3>last</h3>"
        "<button style='width: 9px'></button><button style='width: 9px'>x</button></main></body></html>"
    )
    page = browser.new_page(viewport={"width": TELEPHONE[0], "height": TELEPHONE[1]})
    page.goto((tmp_path / "broken.html").as_uri())
    assert {found.partition(":")[0] for found in faults_found(page)} == {"button-name", "color-contrast", "target-size"}
    wide, outside = page.evaluate(OVERFLOW)
    assert wide > 0
    assert any("500px" in each for each in outside)
    assert page.evaluate(HEADINGS) == ["<h2>empty</h2>"]
    page.close()


def test_a_machines_tab_is_short_on_a_telephone_and_its_sections_unfold(browser: Any, pages: dict[str, Path]) -> None:
    for tab, page in visit(browser, pages["labels"], TELEPHONE):
        if tab.startswith("machine-"):
            assert page.evaluate("document.documentElement.scrollHeight") < LONGEST
            parts = page.locator(f'[id="{tab}"] > details.part')
            opened = parts.evaluate_all("all => all.map(each => each.open)")
            assert opened[0], "the first sections are open"
            assert not opened[-1], "the last ones are folded"
            parts.last.locator("summary").first.press("Enter")
            assert parts.last.evaluate("each => each.open")


def test_sections_are_open_on_a_large_screen(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page.goto(pages["labels"].as_uri())
    parts = page.locator("details.part")
    assert parts.count() > 10
    assert parts.evaluate_all("all => all.every(each => each.open)")
    page.close()


@pytest.mark.parametrize("kind", ["labels", "paper"])
def test_a_wide_table_fades_until_its_end_and_keeps_the_names_of_rows(
    browser: Any, pages: dict[str, Path], kind: str
) -> None:
    page = browser.new_page(viewport={"width": TELEPHONE[0], "height": TELEPHONE[1]})
    page.goto(pages[kind].as_uri())
    page.evaluate(ONE_OF_EACH)
    table = page.locator("#machine-fan .scroll:has(> table.board)" if kind == "labels" else ".scroll").first
    assert table.evaluate("each => each.scrollWidth > each.clientWidth + 120")
    name = table.locator("tbody th").first
    for left, fades in ((0, True), (120, True), (1e6, False)):
        # two frames: an animation that follows the scrolling is drawn by the next one
        faded = """([each, left]) => new Promise((done) => {
            each.scrollLeft = left;
            requestAnimationFrame(() => requestAnimationFrame(() => done(getComputedStyle(each).maskImage !== "none")));
        })"""
        assert page.evaluate(faded, [table.element_handle(), left]) is fades, left
        assert left == 0 or name.bounding_box()["x"] == pytest.approx(table.bounding_box()["x"], abs=2)
    page.close()


def test_the_words_about_a_term_are_seen_above_everything(browser: Any, pages: dict[str, Path]) -> None:
    seen = """(each) => {
        const words = each.querySelector("[role=tooltip]"), box = words.getBoundingClientRect();
        words.style.pointerEvents = "auto";
        const masked = each.closest(".scroll") && getComputedStyle(each.closest(".scroll")).maskImage !== "none";
        return !masked && words.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
    }"""
    for kind in ("labels", "compare"):
        page = browser.new_page(viewport={"width": 700, "height": 600})  # its tables have heads and are too wide
        page.goto(pages[kind].as_uri())
        terms = page.locator("main .term:visible").all()
        assert len(terms) > 3, kind
        for term in terms:
            term.locator("button").focus()
            assert term.evaluate(seen), (kind, term.inner_text())
        page.close()


def test_the_keyboard_reaches_the_tabs_and_then_their_panel(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["labels"].as_uri())
    focused = "document.activeElement.closest('main [role=tabpanel]')?.id ?? document.activeElement.id"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "tab-overview"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "tab-machine-fan"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "machine-fan"
    page.close()


def test_fingers_find_tabs_and_sections(browser: Any, pages: dict[str, Path]) -> None:
    for tab, page in visit(browser, pages["labels"], TELEPHONE, has_touch=True, is_mobile=True):
        if tab in ("overview", "machine-fan"):
            for target in page.locator("[role=tab]:visible, summary:visible").all():
                assert target.bounding_box()["height"] >= 44, target.inner_text()
