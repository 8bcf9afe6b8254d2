"""What a reader does in a machine's tab, in headless Chromium: tips of charts, the slider, parts that fold."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ensembling.threshold import threshold
from asd_ray.ledger import Ledger
from asd_ray.reporting import gather
from asd_ray.reporting.clip_scores import alarms


@pytest.fixture(scope="module")
def facts(filled: Path) -> Any:
    return gather(Ledger(filled))


@pytest.fixture(scope="module")
def address(report: Path) -> str:
    return report.as_uri()


@pytest.fixture(params=[1280, 390])
def panel(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": request.param, "height": 900}, has_touch=request.param < 640)
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}#machine-fan")
    yield page.locator("#machine-fan")
    context.close()
    assert errors == []


def open_part(panel: Any, title: str) -> Any:
    part = panel.locator("details.part").filter(has=panel.page.get_by_role("heading", name=title, exact=True))
    part.evaluate("part => { part.open = true; }")
    return part


def scroll(page: Any, by: int = 0) -> None:
    """Scrolls the page and waits until it has heard of that and of what scrolled it before."""
    page.evaluate(
        "by => new Promise(done => { scrollBy(0, by); requestAnimationFrame(() => requestAnimationFrame(done)); })", by
    )


def test_the_mouse_shows_the_value_that_is_nearest_and_no_second_tip(panel: Any) -> None:
    chart, tip = open_part(panel, "Scores in the order of clips").locator("svg").first, panel.page.locator(".tip")
    chart.scroll_into_view_if_needed()
    scroll(panel.page)
    assert tip.inner_text() == ""
    x, y = chart.evaluate(
        """svg => {
            const [, x, y] = svg.querySelector(".points.anomaly").getAttribute("d").match(/M([\\d.]+) ([\\d.]+)h0/);
            const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
            return [box.left + x * scale + 2, box.top + y * scale + 2];
        }"""
    )
    panel.page.mouse.move(x, y)
    words = chart.locator(".points.anomaly").get_attribute("data-tips").split("\n")
    assert tip.inner_text() == words[0]
    assert words[0].startswith("anomaly_00_source_000.wav: ")
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= panel.page.viewport_size["width"]
    panel.page.mouse.move(2, 2)
    assert tip.inner_text() == ""
    assert chart.locator("title").count() == 0  # the browser's own tip would be a second one


def test_arrow_keys_show_one_value_after_the_other(panel: Any) -> None:
    chart, tip = open_part(panel, "Value against cost").locator("svg"), panel.page.locator(".tip")
    trials = chart.locator("[data-tips]").get_attribute("data-tips").split("\n")
    chart.focus()
    seen = set()
    for _ in range(len(trials) + 1):
        panel.page.keyboard.press("ArrowRight")
        seen.add(tip.inner_text())
    assert set(trials) <= seen
    assert len(seen) == len(trials) + 1  # and the ensemble
    panel.page.keyboard.press("Home")
    first = tip.inner_text()
    panel.page.keyboard.press("ArrowLeft")
    assert tip.inner_text() == first
    panel.page.keyboard.press("Escape")
    assert tip.inner_text() == ""


def test_a_page_that_scrolls_keeps_the_tip_of_the_keys(panel: Any) -> None:
    chart, tip = open_part(panel, "Value against cost").locator("svg"), panel.page.locator(".tip")
    chart.focus()
    panel.page.keyboard.press("ArrowRight")
    panel.page.keyboard.press("ArrowRight")
    second, above = tip.inner_text(), tip.bounding_box()["y"] - chart.bounding_box()["y"]
    scroll(panel.page, -60)
    assert tip.inner_text() == second
    scroll(panel.page, 60)
    assert tip.inner_text() == second
    assert tip.bounding_box()["y"] - chart.bounding_box()["y"] == pytest.approx(above, abs=1)
    panel.page.keyboard.press("ArrowRight")
    assert tip.inner_text() not in ("", second)
    panel.page.keyboard.press("ArrowLeft")
    assert tip.inner_text() == second


def test_every_chart_with_tips_is_reached_by_keyboard_and_has_a_name(panel: Any) -> None:
    charts = panel.page.locator("svg[role=img]:has(title), svg[role=img]:has([data-tips])")
    assert charts.count() > 10
    assert charts.evaluate_all("all => all.every(each => each.tabIndex === 0 && each.ariaLabel)")


def counts(panel: Any) -> dict[str, int]:
    cells = panel.locator(".decide [data-of]").evaluate_all("all => all.map(b => [b.dataset.of, +b.textContent])")
    return {name: many for name, many in cells if not name.endswith("missed")}


def expected(facts: Any, threshold: float) -> dict[str, int]:
    rows = alarms(facts["machines"]["fan"]["clip_scores"], threshold)
    return {f"{at} {label}": own["above"] for at, row in enumerate(rows) for label, own in row["labels"].items()}


def test_the_slider_starts_at_the_ensembles_own_threshold_and_counts_like_python(panel: Any, facts: Any) -> None:
    own = facts["machines"]["fan"]["final"].threshold.value
    slider, output = panel.locator(".decide input"), panel.locator(".decide output")
    assert counts(panel) == expected(facts, own)
    assert output.inner_text() == f"{own:.3f}".replace("-", "−")
    assert panel.locator(".decide .control button").is_disabled()
    assert not panel.locator(".decide .percentile").is_visible()

    slider.focus()
    for _ in range(4):
        panel.page.keyboard.press("ArrowRight")
    moved = float(output.inner_text().replace("−", "-"))
    assert moved > own
    scores = sorted(
        score
        for part in facts["machines"]["fan"]["clip_scores"]
        for clips in part["labels"].values()
        for score in clips["scores"]
    )
    above = [score for score in scores if score > own]
    assert counts(panel) == expected(facts, (above[3] + above[4]) / 2)
    command = panel.locator(".decide .percentile code").inner_text()
    run = shlex.quote(facts["run"])
    recipe = facts["machines"]["fan"]["final"].recipe.stem
    settings = f"--folds 2 --repeats 1 --recipe {recipe} --final --threshold empirical --percentile "
    assert command.startswith(f"asd-ray ensemble fan --run {run} {settings}")

    panel.page.keyboard.press("Home")
    assert all(many == expected(facts, -1e9)[name] for name, many in counts(panel).items())
    panel.page.keyboard.press("End")
    assert set(counts(panel).values()) == {0}
    panel.locator(".decide .control button").click()
    assert counts(panel) == expected(facts, own)


def test_the_percentile_beside_the_slider_gives_the_counts_shown(panel: Any, facts: Any) -> None:
    normal_scores = facts["machines"]["fan"]["quantiles"]
    places = panel.locator(".decide input").evaluate(
        """slider => Array.from({ length: +slider.max + 1 }, (_, place) => {
            slider.value = place;
            slider.dispatchEvent(new Event("input"));
            const part = slider.closest(".decide"), percentile = part.querySelector(".percentile");
            const cells = [...part.querySelectorAll("[data-of]")].map((cell) => [cell.dataset.of, +cell.textContent]);
            return [percentile.hidden ? null : percentile.querySelector("code b").textContent, cells];
        })"""
    )
    given = [(percentile, cells) for percentile, cells in places if percentile]
    assert len(given) > 30
    for percentile, cells in given:
        limit = threshold(normal_scores, "empirical", float(percentile)).value
        assert {name: many for name, many in cells if not name.endswith("missed")} == expected(facts, limit)


def test_the_slider_moves_the_lines_in_the_pictures(panel: Any) -> None:
    open_part(panel, "Scores")
    lines = panel.locator("[data-limit]")
    places = "all => all.map(line => line.getAttribute('transform'))"
    before = lines.evaluate_all(places)
    slider = panel.locator(".decide input")
    slider.focus()
    panel.page.keyboard.press("PageDown")
    after = lines.evaluate_all(places)
    assert len(before) >= 9  # four histograms, four orders and the box plots
    assert all(one != other for one, other in zip(before, after, strict=True))
    panel.locator(".decide .control button").click()
    assert [each.split("(")[1].split(".")[0] for each in lines.evaluate_all(places)] == [
        each.split("(")[1].split(".")[0] for each in before
    ]


def test_on_a_telephone_only_the_first_parts_are_open(panel: Any) -> None:
    parts = panel.locator(":scope > details.part").evaluate_all("all => all.map(part => part.open)")
    narrow = panel.page.viewport_size["width"] < 640
    assert parts == [at < 3 or not narrow for at in range(len(parts))]
    height = panel.page.evaluate("document.documentElement.scrollHeight")
    assert not narrow or height < 9000


def test_a_link_opens_the_part_in_which_it_leads(panel: Any, address: str) -> None:
    panel.page.evaluate("for (const part of document.querySelectorAll('details')) part.open = false;")
    panel.page.goto(f"{address}#mistakes-fan")
    panel.locator("#mistakes-fan").wait_for()  # the page hears of its new address later
    assert panel.locator("audio").first.is_visible()


def test_a_finger_shows_a_tip_and_takes_it_away(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{address}#machine-fan")
    chart = page.locator("#machine-fan figure svg").first
    chart.scroll_into_view_if_needed()
    scroll(page)
    box = chart.bounding_box()
    bar = chart.evaluate(
        "svg => { const bar = svg.querySelector('.area'); return [bar.x.baseVal.value, svg.viewBox.baseVal.width]; }"
    )
    page.touchscreen.tap(box["x"] + (bar[0] + 2) * box["width"] / bar[1], box["y"] + box["height"] / 2)
    assert page.locator(".tip").inner_text().startswith("score ")
    page.touchscreen.tap(6, 6)
    assert page.locator(".tip").inner_text() == ""
    context.close()
