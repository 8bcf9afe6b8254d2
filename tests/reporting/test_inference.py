"""The picture of hmean against time, of ensembles that were chosen within a limit."""

from __future__ import annotations

import json
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ensembling import EnsembleConfig
from asd_ray.ensembling import choose as choose_ensembles
from asd_ray.ensembling.costs import Costs
from asd_ray.ledger import Ledger
from asd_ray.reporting import charts, gather
from asd_ray.reporting.gather import as_json
from asd_ray.reporting.html import page
from asd_ray.reporting.markdown import markdown
from tests.reporting.conftest import EVIL, fill

FAMILIES = ("idnn", "knn", "stgram")
RECIPES = ("best_single", "best_per_family", "top_k")


class GivenTimes:
    """3, 6 and 12 ms for the detectors of the three families, and 2 ms for their front end."""

    computer = f"a computer {EVIL}"

    def __init__(self, ledger: Ledger) -> None:
        self.unmeasured: dict[str, str] = {}
        self._family = {record.trial: record.family for record in ledger.records("fan")}

    def costs(self, trials: Sequence[str]) -> Costs:
        own = {trial: 0.003 * 2 ** FAMILIES.index(self._family[trial]) for trial in trials}
        self._costs = Costs(self.computer, own, {"mel": 0.002}, dict.fromkeys(trials, ("mel",)))
        return self._costs

    def whole(self, trials: Sequence[str]) -> float:
        return 0.95 * self._costs.of(trials)


def limited_run(root: Path, limit: float, recipes: Sequence[str], **how: Any) -> Ledger:
    ledger = Ledger(root)
    fill(ledger, "fan", trials=3, **how)
    config = EnsembleConfig(repeats=1, folds=2, draws=20, infer_limit=limit)
    choose_ensembles(ledger, "fan", recipes, config, timer=GivenTimes(ledger))
    return ledger


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return gather(limited_run(tmp_path_factory.mktemp("limited") / "run", 0.0125, RECIPES))


def test_the_best_of_each_family_and_every_ensemble_have_their_times(facts: Any) -> None:
    own = facts["machines"]["fan"]["inference"]
    times = {row["family"]: round(row["seconds"], 9) for row in own["singles"]}
    assert times == {"idnn": 0.005, "knn": 0.008, "stgram": 0.014}  # stgram takes longer than the limit
    board = facts["machines"]["fan"]["leaderboard"]["rows"]
    for row in own["singles"]:
        assert row["hmean"] == max(one["hmean"] for one in board if one["family"] == row["family"])
    assert {row["name"] for row in own["ensembles"]} == {
        *("best_single", "best_per_family.mean", "best_per_family.max", "top_k.mean", "top_k.max")
    }
    assert all(row["seconds"] <= own["limit"] == 0.0125 for row in own["ensembles"])
    assert own["ensembles"][0]["chosen"]
    assert own["ensembles"][0]["seconds"] == own["seconds"]


def test_the_picture_has_a_point_for_each_and_the_limit(facts: Any) -> None:
    own = facts["machines"]["fan"]["inference"]
    root = ET.fromstring(charts.inference(own))
    assert root.attrib["aria-label"] == "hmean against time"
    tips = [tip.text or "" for tip in root.iter("title")]
    assert len(tips) == len(own["singles"]) + len(own["ensembles"])
    assert any(tip.startswith("best_single: 0.") and tip.endswith(" ms") for tip in tips)
    kinds = [each.attrib.get("class") for each in root]
    assert kinds.count("line threshold") == 1
    assert sum("dot" in (kind or "") for kind in kinds) == len(own["ensembles"])


def test_page_and_markdown_say_the_time_and_the_limit(facts: Any) -> None:
    ms = f"{1000 * facts['machines']['fan']['inference']['seconds']:.1f} ms"
    html, text = page(facts), markdown(facts)
    assert f"The chosen ensemble scores 10 s of sound in {ms}; the limit was 12.5 ms." in html
    assert f"The chosen ensemble takes {ms}, and the limit was 12.5 ms, in one thread of a computer" in text
    assert "<script>alert" not in html
    assert "hmean against time" in html


def test_the_commands_name_the_limit(facts: Any) -> None:
    words = shlex.split(facts["provenance"]["commands"][0])
    assert words[words.index("--infer-limit") + 1] == "0.0125"


def test_the_json_has_the_times_once(facts: Any) -> None:
    stored = json.loads(json.dumps(as_json(facts), allow_nan=False))["machines"]["fan"]
    assert stored["inference"]["limit"] == stored["final"]["wishes"]["infer_limit"] == 0.0125
    assert "inference" not in stored["final"]


def test_without_labels_the_times_are_a_table(tmp_path: Path) -> None:
    facts = gather(limited_run(tmp_path / "run", 1.0, ["label_free"], label_of_test="unknown"))
    assert {row["hmean"] for row in facts["machines"]["fan"]["inference"]["ensembles"]} == {None}
    html = page(facts)
    assert "the limit was 1000.0 ms" in html
    assert "hmean against time" not in html


def test_without_a_limit_there_is_nothing_about_time(filled: Path) -> None:
    facts = gather(Ledger(filled))
    assert facts["machines"]["fan"]["inference"] is None
    assert "hmean against time" not in page(facts)
    assert "Time for 10 s" not in markdown(facts)
