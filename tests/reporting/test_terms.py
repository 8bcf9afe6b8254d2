"""Every term is explained in the section where it stands, no section is empty, and all reasons of the trust are there.

The pages are those of a labelled run, of a search by normal sound alone, of imported systems, and of runs whose test
clips lack one class.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from asd_ray.ledger import Ledger, import_table
from asd_ray.reporting import compare, gather
from asd_ray.reporting.compare_page import page as comparison_page
from asd_ray.reporting.html import options, page
from asd_ray.reporting.terms import TERMS, Terms
from tests.reporting.conftest import choose, clips, fill, fill_normal_only
from tests.reporting.sections import Sections, visible
from tests.reporting.test_browser_screens import paper

RUNS = ("labelled", "normal only", "imported", "no normal test clips", "no anomalies")
# How terms that are also ordinary words are written; the others are written as they are.
WRITTEN = {
    "candidate": "[Cc]andidates?",
    "cells": "(?:AUC|pAUC) cells|its cells",
    "faults": "[Ii]njected faults",
    "forecast": "(?<!not )[Ff]orecast",
    "gain": "[Gg]ain",
    "gap": "[Gg]ap",
    "objective": "[Bb]est objective",
    "points": "points above",
    "protocol": "protocols?",
    "trust": "[Tt]rust (?:High|Medium|Low|high|medium|low)",
}


@pytest.fixture(scope="module")
def runs(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("terms")
    made = {name: root / name for name in RUNS[1:]}
    for machine, test in (("fan", "none"), ("pump", "unknown"), ("valve", "known")):
        fill_normal_only(Ledger(made["normal only"]), machine, trials=2, test=test)
    for missing, name in (("anomaly", "no normal test clips"), ("normal", "no anomalies")):
        fill(Ledger(made[name]), "fan", trials=2, label_of_test=missing)
    table = clips("fan")
    loud, noise = table["truth"] == "anomaly", np.random.default_rng(0).normal(size=(2, len(table)))
    systems = [table.assign(system=f"ours {at}", machine="fan", score=own + 1.5 * loud) for at, own in enumerate(noise)]
    pd.concat(systems).drop(columns="truth").to_csv(root / "scores.csv", index=False)
    import_table(Ledger(made["imported"]), root / "scores.csv")
    for name, run in made.items():
        choose(run, "greedy" if name == "imported" else "label_free")
    return {"labelled": filled, **made}


@pytest.fixture(scope="module")
def facts(runs: dict[str, Path]) -> dict[str, Any]:
    return {name: gather(Ledger(run)) for name, run in runs.items()}


@pytest.fixture(scope="module")
def pages(facts: dict[str, Any]) -> dict[str, str]:
    return {name: page(own) for name, own in facts.items()}


def not_explained(text: str) -> dict[str, list[str]]:
    """Section -> the terms that stand in it without their explanation."""
    found: dict[str, list[str]] = {}
    for section in Sections(text).all:
        for name, explanation in Terms().items():
            stands = re.search(rf"(?<![\w-])(?:{WRITTEN.get(name, re.escape(name))})(?!\w|\.\w)", section.text)
            if stands and explanation not in section.explained and name not in section.defined:
                found.setdefault(section.name, []).append(name)
    return found


@pytest.mark.parametrize("name", RUNS)
def test_each_term_is_explained_in_every_section_where_it_stands(pages: dict[str, str], name: str) -> None:
    sections = {section.name for section in Sections(pages[name]).all}
    assert {"overview", "families", "provenance", "machine-fan", "machine-fan: Members"} < sections
    assert not_explained(pages[name]) == {}


def test_the_other_pages_explain_their_terms_too(runs: dict[str, Path], tmp_path: Path) -> None:
    both = comparison_page(compare([str(runs["labelled"]), str(runs["normal only"])]))
    for text in (both, paper(tmp_path / "paper.html").read_text()):
        assert not_explained(text) == {}
        assert len(Sections(text).all[0].explained) > 1


def test_numbers_beside_published_ones_have_their_terms_explained(facts: dict[str, Any]) -> None:
    rows = [{"system": "this run, crossval", "protocol": "chosen on folds", "own": True, "values": {"fan": [85.0]}}]
    published = {"year": 2020, "measure": "AUC / pAUC", "compared": "the ids alone", "machines": ["fan"], "rows": rows}
    text = page({**facts["labelled"], "published": published})
    assert "published" in {section.name for section in Sections(text).all}
    assert not_explained(text) == {}


@pytest.mark.parametrize("term", [name for name in TERMS if name != "needs all clips"])
def test_each_term_stands_on_a_page_and_would_be_noticed_without_its_explanation(
    pages: dict[str, str], term: str
) -> None:
    without = [text.replace(f">{escape(TERMS[term])}</span>", ">no explanation</span>") for text in pages.values()]
    assert any(term in missing for text in without for missing in not_explained(text).values())


@pytest.mark.parametrize("name", RUNS)
def test_no_section_is_empty(pages: dict[str, str], name: str) -> None:
    read = Sections(pages[name])
    assert read.empty == []
    assert [section.name for section in read.all[1:] if not section.text] == []


def test_an_empty_section_is_noticed() -> None:
    text = (
        "<main><h2>a</h2><h3>b</h3><p>words</p><h3>empty</h3><h3>table</h3><table><td></td></table>"
        "<details class='part'><summary><h3>folded</h3></summary></details><h2>last</h2></main>"
    )
    assert Sections(text).empty == ["empty", "folded", "last"]


def test_all_reasons_of_the_trust_are_on_the_page(facts: dict[str, Any], pages: dict[str, str]) -> None:
    most = 0
    for name, own in facts.items():
        for said in own["verdicts"].values():
            most = max(most, len(said.trust.others))
            of_machine = visible(pages[name].partition(f"<h2>{said.machine} ")[2].partition("</article>")[0])
            assert f"trust: {said.trust.level}" in of_machine
            for reason in said.trust.reasons:
                assert reason[1:] in of_machine, (name, said.machine)
    assert most, "no machine has more reasons than its sentence names"


def test_reasons_beyond_the_sentence_are_listed(facts: dict[str, Any]) -> None:
    own = facts["labelled"]
    fan = own["verdicts"]["fan"]
    reasons = tuple(f"reason {at}" for at in range(6))
    text = page({**own, "verdicts": {"fan": replace(fan, trust=replace(fan.trust, reasons=reasons))}})
    shown = visible(text.partition('<details class="more">')[2].partition("</details>")[0])
    assert shown == f"All 6 reasons{''.join(f'R{reason[1:]}.' for reason in reasons)}"


def test_control_characters_and_marks_in_sentences_are_shown_as_text() -> None:
    assert "\\u202e &lt;b&gt;" in Terms().explained("\u202e <b> AUC")
    assert options("a <b> \u202e (--run)") == 'a &lt;b&gt; \\u202e (<span class="option">--run</span>)'
