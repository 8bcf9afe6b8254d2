from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from asd_ray import ensembling
from asd_ray.ensembling import EnsembleConfig
from asd_ray.ensembling.mistakes import Mistakes
from asd_ray.ensembling.result import SelectionFrequency
from asd_ray.ledger import Ledger
from asd_ray.reporting import gather
from asd_ray.reporting.html import MOST, page
from asd_ray.reporting.markdown import markdown, plain
from asd_ray.reporting.media import Media
from asd_ray.reporting.tables import tables
from asd_ray.reporting.text import signed
from asd_ray.reporting.write import contents
from tests.reporting.conftest import EVIL, choose, fill, media_of
from tests.reporting.sections import visible


@pytest.fixture(scope="module")
def facts(filled: Path) -> Any:
    return gather(Ledger(filled))


class Reader(HTMLParser):
    """Tags in order, with their attributes, and the text outside of scripts, styles and tooltips."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.in_tooltip = False  # a tooltip has no other tag in it
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_tooltip = ("role", "tooltip") in attrs
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.in_tooltip = False

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style") and not self.in_tooltip:
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
    assert "media-src data:" in str(policy)
    sources = [value for _, attrs in read.tags for name, value in attrs.items() if name in ("src", "href")]
    assert sources == ["data:,"]
    with_media = Reader(page(facts, media_of(facts)))
    sources = [str(value) for _, attrs in with_media.tags for name, value in attrs.items() if name in ("src", "href")]
    assert {source.partition("base64")[0] for source in sources} == {"data:,", "data:audio/ogg;", "data:image/png;"}
    assert {tag for tag, attrs in with_media.tags if "src" in attrs} == {"audio", "img"}
    assert not re.search(r"url\(|@import|https?://", page(facts))


def test_what_users_named_is_escaped(read: Reader, facts: Any) -> None:
    for own in (read, Reader(page(facts, media_of(facts)))):
        assert sum(tag == "script" for tag, _ in own.tags) == 1
        assert not any(name.startswith("on") for _, attrs in own.tags for name in attrs)
        assert any(EVIL in words for words in own.words)  # and is shown as it is


def test_a_hostile_name_of_a_clip_is_escaped_in_every_place(facts: Any) -> None:
    own = facts["machines"]["fan"]
    clips = tuple(replace(each, clip=f"{EVIL}{at}.wav", id=EVIL) for at, each in enumerate(own["mistakes"].clips))
    renamed = {**own, "mistakes": replace(own["mistakes"], clips=clips, not_counted=(EVIL,))}
    given = {**facts, "machines": {"fan": renamed}}
    read = Reader(page(given, media_of(given)))
    assert read.open == []
    assert sum(tag == "script" for tag, _ in read.tags) == 1
    sounds = [attrs for tag, attrs in read.tags if tag == "audio"]
    assert [attrs["aria-label"] for attrs in sounds] == [f"Sound of {clip.clip}" for clip in clips]
    text = markdown(given, media_of(given))
    assert "<script>" not in re.sub(r"\\.", "", text)
    assert not re.search(r"<b>", re.sub(r"\\.", "", text))


def test_mistakes_are_in_the_page_in_markdown_and_in_json(facts: Any) -> None:
    found = facts["machines"]["fan"]["mistakes"]
    words = "".join(Reader(page(facts)).words)
    assert "Clips that ensembles most often get wrong" in words
    assert "asd-ray report --run" in words.partition("a player for each clip")[2][:200]
    shown = page(facts).partition('id="mistakes-fan"')[2].partition("</table>")[0]
    assert re.findall(r"<td>(\d+ of \d+)</td>", shown) == [f"{c.wrong} of {len(found.ensembles)}" for c in found.clips]
    assert {kind for kind in ("missed", "false alarm") if f">{kind}<" in shown} == {c.mistake for c in found.clips}
    stored = json.loads(dict(contents(facts))["report.json"])["machines"]["fan"]["mistakes"]
    assert Mistakes.from_json(stored) == found
    text = markdown(facts)
    assert text.count("### Clips that ensembles most often get wrong") == 2
    assert "where the score comes from" not in text
    assert re.sub(r"\\(.)", r"\1", text).count(found.clips[1].clip) == 1


def test_players_and_maps_stand_with_their_clip(facts: Any) -> None:
    found = facts["machines"]["fan"]["mistakes"]
    media = media_of(facts)
    page_of = Reader(page(facts, media))
    assert sum(tag == "audio" for tag, _ in page_of.tags) == len(media.clips) > len(found.clips)
    assert [attrs["alt"] for tag, attrs in page_of.tags if tag == "img"] == [f"tonal, {EVIL}"] * len(media.clips)
    assert not any(
        "autoplay" in attrs or attrs.get("preload") != "none" for tag, attrs in page_of.tags if tag == "audio"
    )
    words = "".join(page_of.words)
    assert f"Note: left out: {EVIL}" in words
    assert "a player for each clip" not in words
    silent = Media(
        {key: replace(each, audio=b"", picture=b"", note="no map: too long") for key, each in media.clips.items()}
    )
    without = Reader(page(facts, silent))
    assert not any(tag in ("audio", "img") for tag, _ in without.tags)
    assert "No map: too long." in "".join(without.words)


def test_numbers_stand_beside_their_protocol(read: Reader, facts: Any) -> None:
    names = [str(attrs["data-name"]) for tag, attrs in read.tags if tag == "td" and attrs.get("data-name")]
    numbers = [name for name in names if re.match("AUC|pAUC|hmean|gain", name)]
    assert len(numbers) == 7 * 2 + 6
    protocols = ("nested", "crossval", "label_free", "oracle")
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
    result = dict(contents(gather(ledger)))
    read = Reader(result["report.html"])
    assert "The test clips have no labels" in "".join(read.words)
    assert "Not measured: there are no known anomalies; the test clips have no labels." in "".join(read.words)
    assert "ROC curves" not in "".join(read.words)  # a part without content has no heading
    assert "no labels" in result["report.md"]
    for text in ("".join(read.words), result["report.md"]):
        assert "Test clips with the highest scores" in text
        assert "missed" not in text


def test_warnings_are_the_first_of_a_machines_part_on_the_page_in_markdown_and_in_json(facts: Any) -> None:
    result = dict(contents(facts))
    own = facts["machines"]["fan"]
    sentences = [warning.sentence for warning in own["final"].warnings]
    assert sentences
    words = " ".join("".join(Reader(result["report.html"]).words).split())
    part = words[words.index(f"fan: {own['final'].name}, ") :]
    for sentence in sentences:
        assert part.index("Before you trust these numbers") < part.index(sentence) < part.index("Recipes")
        assert plain(sentence) in result["report.md"]
    stored = json.loads(result["report.json"])["machines"]["fan"]
    assert [warning["sentence"] for warning in stored["warnings"]] == sentences
    assert own["final"].threshold.description in words
    assert stored["threshold"] == own["final"].threshold.description


def test_without_warnings_there_is_no_box(facts: Any) -> None:
    machines = {**facts["machines"], "fan": {**facts["machines"]["fan"], "warnings": ()}}
    others = {name: {**own, "warnings": ()} for name, own in machines.items()}
    assert "Before you trust" not in page({**facts, "machines": others})
    assert "Before you trust" not in markdown({**facts, "machines": others})


def test_an_ensemble_of_an_earlier_version_is_looked_at_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    fill(ledger, "fan", trials=2, per_cell=4)
    ensembling.choose(ledger, "fan", ["best_single"], EnsembleConfig(repeats=1, folds=2, draws=20, rules=1))
    own = gather(ledger)["machines"]["fan"]
    assert own["final"].warnings is None
    assert {warning.name for warning in own["warnings"]} == {"few_clips"}
    assert own["threshold"] in (
        "gamma, percentile 90 of held-out normal clips",
        "empirical, percentile 90 of held-out normal clips",
    )


def test_published_numbers_are_shown_with_their_protocol(facts: Any) -> None:
    rows = [
        {"system": "this run, crossval", "protocol": "chosen on folds", "own": True, "values": {"fan": [85.0, 80.0]}},
        {"system": "STgram", "protocol": "chosen with test labels", "own": False, "values": {}},
    ]
    published = {"year": 2020, "measure": "AUC / pAUC", "compared": "the ids alone", "machines": ["fan"], "rows": rows}
    given = {**facts, "published": published}
    words = "".join(Reader(page(given)).words)
    assert "85.00 / 80.00" in words
    assert "chosen with test labels" in words
    assert "Compared with this run: the ids alone." in words
    assert "Compared with this run: the ids alone." in markdown(given)
    assert "| STgram | chosen with test labels | – |" in markdown(given)
    assert "2020,AUC / pAUC," in dict(tables(given))["published.csv"]


def test_tables_have_all_rows_as_numbers(facts: Any) -> None:
    result = {name: list(csv.DictReader(io.StringIO(text))) for name, text in tables(facts)}
    assert set(result) == {"summary.csv", "recipes.csv", "trials.csv", "fan-leaderboard.csv", "ToyCar-leaderboard.csv"}
    assert [row["machine"] for row in result["summary.csv"]] == ["fan", "ToyCar"]
    stored = facts["summary"]["rows"][0]
    assert float(result["summary.csv"][0]["forecast_hmean"]) == stored["forecast"]["hmean"]
    assert result["summary.csv"][0]["protocol"] == stored["protocol"]
    board = facts["machines"]["fan"]["leaderboard"]["rows"]
    assert len(result["fan-leaderboard.csv"]) == len(board)
    first = result["fan-leaderboard.csv"][0]
    assert float(first["00/auc_source"]) == board[0]["cells"]["00/auc_source"]
    assert {row["protocol"] for row in result["fan-leaderboard.csv"]} == {"oracle"}
    assert json.loads(first["params"]) == board[0]["params"]
    failed = [row for row in result["trials.csv"] if row["status"] == "failed"]
    assert failed
    assert all(EVIL in row["reason"] for row in failed)


def with_rows(facts: Any, **changes: Any) -> Any:
    """The facts with the summary's first row changed."""
    first, *others = facts["summary"]["rows"]
    return {**facts, "summary": {**facts["summary"], "rows": [{**first, **changes}, *others]}}


def cells_of(text: str, machine: str) -> dict[str, str]:
    """A machine's row of the Markdown summary."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    return dict(zip(lines[0], next(line for line in lines if line[0] == machine), strict=True))


def test_the_interval_stands_with_the_measure_that_it_is_of(facts: Any) -> None:
    own = {**facts["summary"]["rows"][0]["forecast"], "interval": [0.111, 0.222]}
    given = with_rows(facts, maximise="auc", forecast=own)
    fan, car = (cells_of(markdown(given), machine) for machine in ("fan", "ToyCar"))
    assert list(fan)[4:9] == ["AUC", "95 % of AUC", "pAUC", "hmean", "95 % of hmean"]
    assert (fan["95 % of AUC"], fan["95 % of hmean"], car["95 % of AUC"]) == ("0.111 … 0.222", "–", "–")
    small = re.findall(r'data-name="(\w+), \w+"><div><b>[\d.]+</b><small>0\.111', page(given))
    assert small == ["AUC"]
    alone = {**given, "summary": {**given["summary"], "rows": given["summary"]["rows"][:1]}}
    words = "".join(Reader(page(alone)).words)
    assert "AUC, fan" in words
    assert "hmean, fan" not in words


def test_a_gain_by_oracle_is_never_called_better(facts: Any) -> None:
    rows = [
        {**row, "protocol": None, "forecast": None, "gain": {**row["gain"], "protocol": "oracle", "against": "oracle"}}
        for row in facts["summary"]["rows"]
    ]
    given = {**facts, "summary": {**facts["summary"], "rows": rows}}
    text = page(given)
    assert ">oracle</button>" in text.partition('data-name="gain, oracle"')[2][:200]
    assert not re.search(r'class="tag good"|<span class="tag">no clear difference', text)
    assert "better than the best single" not in text
    assert cells_of(markdown(given), "fan")["gain over best single"].endswith(" (oracle)")
    assert "better than the best single" in page(facts)


def test_files_of_other_choices_are_named_in_a_line(facts: Any) -> None:
    machines = {**facts["machines"], "fan": {**facts["machines"]["fan"], "older": ["greedy.max", "mine"]}}
    expected = "Not compared, because older or chosen with other settings: greedy.max, mine."
    given = {**facts, "machines": machines}
    assert expected in "".join(Reader(page(given)).words)
    assert expected in markdown(given)
    assert "Not compared, because" not in page(facts) + markdown(facts)


def test_a_mean_that_is_left_out_is_explained(facts: Any) -> None:
    none = {"forecast": None, "oracle": None, "protocol": None}
    summary = {**facts["summary"], "over_machines": none, "apart": "No mean over machines: of several years."}
    given = {**facts, "summary": summary}
    for text in (page(given), markdown(given)):
        assert "No mean over machines: of several years." in text
        assert "hmean over machines" not in text


def test_folds_are_told_as_the_most_there_can_be(facts: Any) -> None:
    frequency = SelectionFrequency("a", "idnn", "b", "t0", 1.0)
    final = replace(facts["machines"]["fan"]["final"], selection_frequency=(frequency,))
    machines = {**facts["machines"], "fan": {**facts["machines"]["fan"], "final": final}}
    assert ", up to 2, whose ensemble has the candidate" in visible(page({**facts, "machines": machines}))


def test_markdown_tables_are_whole(facts: Any) -> None:
    text = markdown(facts)
    width = None
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        assert cells is None or width is None or cells == width
        width = cells
    assert "| hmean over machines |" in text
    assert "<script>" not in re.sub(r"\\.", "", text)


def test_a_rounded_zero_has_no_minus() -> None:
    assert [signed(value) for value in (-0.00001, 0.0, -0.01, 0.01)] == ["+0.0000", "+0.0000", "−0.0100", "+0.0100"]


def test_markdown_shows_words_as_they_are() -> None:
    assert plain("a|b\n<c> *d*") == r"a\|b \<c\> \*d\*"
