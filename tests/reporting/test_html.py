from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ledger import Ledger
from asd_ray.reporting import gather
from asd_ray.reporting.html import MOST, page
from asd_ray.reporting.markdown import markdown, plain
from asd_ray.reporting.tables import tables
from asd_ray.reporting.write import contents
from tests.reporting.conftest import EVIL, choose, fill


@pytest.fixture(scope="module")
def facts(filled: Path) -> Any:
    return gather(Ledger(filled))


class Reader(HTMLParser):
    """Tags in order, with their attributes, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)


@pytest.fixture(scope="module")
def read(facts: Any) -> Reader:
    return Reader(page(facts))


def test_the_page_is_well_formed_and_ids_are_one_of_a_kind(read: Reader) -> None:
    assert read.open == []
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert len(ids) == len(set(ids)) > 10


def test_every_tab_has_its_panel(read: Reader) -> None:
    ids = {attrs.get("id") for _, attrs in read.tags}
    tabs = [attrs for _, attrs in read.tags if attrs.get("role") == "tab"]
    panels = {attrs["id"]: attrs for _, attrs in read.tags if attrs.get("role") == "tabpanel"}
    assert {each["aria-controls"] for each in tabs} == set(panels)
    assert all(each["aria-labelledby"] in ids for each in panels.values())
    assert {"overview", "machine-fan", "machine-ToyCar", "families", "provenance"} <= set(panels)
    assert "published" not in panels


def test_nothing_is_loaded_from_anywhere(read: Reader, facts: Any) -> None:
    policy = next(attrs["content"] for tag, attrs in read.tags if tag == "meta" and "http-equiv" in attrs)
    assert str(policy).startswith("default-src 'none'")
    sources = [value for _, attrs in read.tags for name, value in attrs.items() if name in ("src", "href")]
    assert sources == ["data:,"]
    assert not re.search(r"url\(|@import|https?://", page(facts))


def test_what_users_named_is_escaped(read: Reader) -> None:
    assert sum(tag == "script" for tag, _ in read.tags) == 1
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
    assert any(EVIL in words for words in read.words)  # and is shown as it is


def test_numbers_stand_beside_their_protocol(read: Reader, facts: Any) -> None:
    names = [str(attrs["data-name"]) for tag, attrs in read.tags if tag == "td" and attrs.get("data-name")]
    numbers = [name for name in names if re.match("AUC|pAUC|hmean|gain", name)]
    assert len(numbers) == 7 * 2 + 6
    protocols = ("crossval", "label_free", "oracle")
    assert all(any(each in name for each in protocols) for name in numbers)
    assert facts["labels"] in "".join(read.words)


def test_a_long_leaderboard_is_cut_and_says_so(facts: Any) -> None:
    fan = facts["machines"]["fan"]
    row = fan["leaderboard"]["rows"][-1]
    many = [{**row, "rank": at, "trial": f"t{at}"} for at in range(1, MOST + 101)]
    board = {**fan["leaderboard"], "rows": many}
    given = {**facts, "machines": {**facts["machines"], "fan": {**fan, "leaderboard": board}}}
    text = page(given)
    assert f"The best {MOST} of {MOST + 100}; all are in fan-leaderboard.csv." in text
    assert f"<td>{MOST}</td>" in text
    assert f"<td>{MOST + 1}</td>" not in text
    assert len(dict(tables(given))["fan-leaderboard.csv"].splitlines()) == MOST + 101


def test_a_run_of_unlabelled_clips_has_a_page_too(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    fill(ledger, "fan", trials=2, label_of_test="unknown")
    choose(tmp_path / "run", "label_free", machines=("fan",))
    made = dict(contents(gather(ledger)))
    read = Reader(made["report.html"])
    assert "The test clips have no labels" in "".join(read.words)
    assert "ROC of the ensemble" not in "".join(read.words)
    assert "no labels" in made["report.md"]


def test_published_numbers_are_shown_with_their_protocol(facts: Any) -> None:
    rows = [
        {"system": "this run, crossval", "protocol": "chosen on folds", "own": True, "values": {"fan": [85.0, 80.0]}},
        {"system": "STgram", "protocol": "chosen with test labels", "own": False, "values": {}},
    ]
    given = {**facts, "published": {"year": 2020, "measure": "AUC / pAUC", "machines": ["fan"], "rows": rows}}
    words = "".join(Reader(page(given)).words)
    assert "85.00 / 80.00" in words
    assert "chosen with test labels" in words
    assert "| STgram | chosen with test labels | – |" in markdown(given)
    assert "2020,AUC / pAUC," in dict(tables(given))["published.csv"]


def test_tables_have_all_rows_as_numbers(facts: Any) -> None:
    made = {name: list(csv.DictReader(io.StringIO(text))) for name, text in tables(facts)}
    assert set(made) == {"summary.csv", "recipes.csv", "trials.csv", "fan-leaderboard.csv", "ToyCar-leaderboard.csv"}
    assert [row["machine"] for row in made["summary.csv"]] == ["fan", "ToyCar"]
    stored = facts["summary"]["rows"][0]
    assert float(made["summary.csv"][0]["forecast_hmean"]) == stored["forecast"]["hmean"]
    assert made["summary.csv"][0]["protocol"] == stored["protocol"]
    board = facts["machines"]["fan"]["leaderboard"]["rows"]
    assert len(made["fan-leaderboard.csv"]) == len(board)
    first = made["fan-leaderboard.csv"][0]
    assert float(first["00/auc_source"]) == board[0]["cells"]["00/auc_source"]
    assert json.loads(first["params"]) == board[0]["params"]
    failed = [row for row in made["trials.csv"] if row["status"] == "failed"]
    assert failed
    assert all(EVIL in row["reason"] for row in failed)


def test_markdown_tables_are_whole(facts: Any) -> None:
    text = markdown(facts)
    width = None
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        assert cells is None or width is None or cells == width
        width = cells
    assert "| hmean over machines |" in text
    assert "<script>" not in re.sub(r"\\.", "", text)


def test_markdown_shows_words_as_they_are() -> None:
    assert plain("a|b\n<c> *d*") == r"a\|b \<c\> \*d\*"
