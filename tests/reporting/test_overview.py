"""The overview: sentences of a machine, what comes next, words with explanations, and what must not contradict."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ensembling.costs import Costs, InferenceTime
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.reporting import gather
from asd_ray.reporting.leaderboard import differing, setting_of
from asd_ray.reporting.overview import Verdict, cost, detectors, next_steps, verdict
from asd_ray.reporting.terms import TERMS, Terms
from asd_ray.reporting.text import detector, trained
from asd_ray.reporting.write import contents
from tests.reporting.conftest import choose, fill_normal_only


@pytest.fixture(scope="module")
def facts(filled: Path) -> Any:
    return gather(Ledger(filled))


def test_each_machine_has_its_sentences_in_every_form(facts: Any) -> None:
    files = dict(contents(facts))
    stored = json.loads(files["report.json"])
    for machine, own in facts["machines"].items():
        final, said = own["final"], facts["verdicts"][machine]
        assert final.counts.protocol == final.headline_protocol
        assert said.catches == final.counts.sentence
        assert f"{final.headline.value:.3f}, 95 % interval {final.headline.interval[0]:.3f}" in said.forecast
        assert said.sentence.startswith(f"{machine}: catches {final.counts.caught} of ")
        assert f"trust: {said.trust.level}, because " in said.sentence
        assert said.catches.capitalize() in files["report.html"]
        assert said.catches in files["report.md"]
        assert Verdict.from_json(stored["verdicts"][machine]) == said
        assert stored["machines"][machine]["decisions"] == final.counts.to_json()


def test_a_file_of_an_earlier_version_counts_the_decisions_of_its_own_clips(facts: Any) -> None:
    own = facts["machines"]["fan"]
    counts = DecisionCounts("oracle", 48, 41, 48, 5)
    said = verdict("fan", {**own, "final": replace(own["final"], counts=None), "decisions": counts})
    assert said.catches == "catches 41 of 48 faults at 5 false alarms in 48 normal clips"
    assert said.ground == "the members were chosen by these clips, so new clips will be decided less well"


def test_a_machine_of_normal_sound_alone_reads_well(tmp_path: Path) -> None:
    fill_normal_only(Ledger(tmp_path / "run"), "press")
    choose(tmp_path / "run")
    facts = gather(Ledger(tmp_path / "run"))
    said = facts["verdicts"]["press"]
    limit = facts["machines"]["press"]["final"].threshold
    false_alarms = f"gives {limit.exceeding} false alarms in 48 normal clips; "
    assert said.catches == f"{false_alarms}how many faults it catches is not measured: there are no anomalies"
    assert said.instead.startswith("the value on 192 clips with an injected fault and 48 normal clips is 0.")
    assert said.instead in said.sentence
    assert (said.ground, said.forecast, said.trust.level) == ("", "", "low")
    steps = [sentence for sentence, _ in facts["next_steps"]]
    assert any("folder abnormal/" in sentence for sentence in steps)
    page = dict(contents(facts))["report.html"]
    assert "upper bound" not in page.partition('id="overview"')[2].partition('id="machine-press"')[0]


def test_what_comes_next_is_commands(facts: Any) -> None:
    steps = [command for _, command in next_steps("runs/my run", facts["machines"]) if command]
    assert "asd-ray bundle fan --run 'runs/my run'" in steps
    assert [command.split()[1] for command in steps] == ["report", "bundle", "score", "watch"]


def test_detectors_and_cost_are_words(facts: Any) -> None:
    final = facts["machines"]["fan"]["final"]
    first = final.members[0]
    imported = [replace(first, family="import", name=name) for name in ("ours", "theirs")]
    two = replace(final, members=(*imported, first, first), combine="max")
    assert detectors(two) == f"4 detectors: ours, theirs, 2 × {first.family}; combined by the largest of their scores"
    assert detectors(replace(final, members=(first,))) == f"1 detector: {first.family}"
    assert detector("idnn", "fan-idnn-0001") == "idnn"
    assert cost(final) == ""
    timed = replace(final, inference=InferenceTime(0.0123, 0.05, Costs("a computer", {}, {}, {})))
    assert cost(timed) == "12.3 ms for 10 s of sound, in one thread of a computer"


def test_epochs_are_those_that_were_trained(facts: Any) -> None:
    assert trained({"epochs": 100, "lr": 1}, 20) == {"epochs": "20 of 100", "lr": 1}
    for params, epochs in (({"epochs": 100}, 100), ({"epochs": 100}, None), ({"lr": 1}, 20), ({"epochs": 9}, 0)):
        assert trained(params, epochs) == params
    row = {**facts["machines"]["fan"]["leaderboard"]["rows"][0], "params": {"epochs": 100}, "epochs": 20}
    row |= {"paper": True, "paper_score": False}
    assert setting_of(row) == "paper's setting, 20 of 100 epochs"
    assert differing([row]) == {row["trial"]: {"epochs": "20 of 100"}}


def test_an_upper_bound_that_equals_the_forecast_has_no_card(facts: Any) -> None:
    over = facts["summary"]["over_machines"]
    assert over["forecast"] != over["oracle"]
    given = {**facts, "summary": {**facts["summary"], "over_machines": {**over, "oracle": over["forecast"]}}}
    cards = [
        dict(contents(each))["report.html"].count('<span class="tag">oracle</span><span>') for each in (facts, given)
    ]
    assert cards == [1, 0]


def test_the_machines_part_does_not_call_its_forecast_an_upper_bound(facts: Any) -> None:
    labels = facts["machines"]["fan"]["labels"]
    assert "not a forecast" not in labels
    assert facts["machines"]["fan"]["final"].headline_protocol in labels or "label" in labels


def test_terms_are_explained_where_they_stand(facts: Any) -> None:
    page = dict(contents(facts))["report.html"]
    pairs = re.findall(r'aria-describedby="(term-\d+)"[^>]*>[^<]+</button><span role="tooltip" id="(term-\d+)">', page)
    assert len(pairs) > 5
    assert all(one == other for one, other in pairs)
    assert len({one for one, _ in pairs}) == len(pairs)
    assert all(words.endswith(".") for words in TERMS.values())
    assert "&lt;b&gt;" in Terms()("AUC", "<b>")
    with pytest.raises(AsdRayError, match="unknown term 'AUCC'; did you mean 'AUC'"):
        Terms()("AUCC")
