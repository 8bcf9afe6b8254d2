"""The overview: sentences of a machine, what comes next, words with explanations, and what must not contradict."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ensembling import EnsembleConfig
from asd_ray.ensembling.costs import Costs, InferenceTime, RunningCost
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.reporting import gather
from asd_ray.reporting.clip_scores import alarms
from asd_ray.reporting.html import page
from asd_ray.reporting.leaderboard import differing, setting_of
from asd_ray.reporting.markdown import markdown
from asd_ray.reporting.overview import Verdict, choose_again, cost, detectors, next_steps, verdict
from asd_ray.reporting.terms import TERMS, Terms
from asd_ray.reporting.text import detector, trained
from asd_ray.reporting.write import contents
from tests.reporting.conftest import choose, fill_normal_only, media_of


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
    false_alarms = f"gives {limit.exceeding} false alarms in 48 normal clips, by which the threshold was set; "
    assert said.catches == f"{false_alarms}how many faults it catches is not measured: there are no anomalies"
    assert said.instead.startswith("the value on 192 clips with an injected fault and 48 normal clips is 0.")
    assert said.instead in said.sentence
    assert (said.ground, said.forecast, said.trust.level) == ("", "", "low")
    steps = [step.sentence for step in facts["next_steps"]]
    assert any("folder abnormal/" in sentence for sentence in steps)
    page = dict(contents(facts))["report.html"]
    assert "upper bound" not in page.partition('id="overview"')[2].partition('id="machine-press"')[0]


def test_what_comes_next_is_commands(facts: Any) -> None:
    assert commands(facts["machines"]) == [
        "asd-ray report --run 'runs/my --data run' --data FOLDER",
        "asd-ray bundle fan --run 'runs/my --data run' --data FOLDER",  # its states were not kept
        "asd-ray score fan.bundle new.wav",
        "asd-ray watch fan.bundle recordings/ --false-alarms 0.1%",
    ]
    kept = {name: {**own, "states_kept": True} for name, own in facts["machines"].items()}
    assert commands(kept)[1] == "asd-ray bundle fan --run 'runs/my --data run'"


def test_commands_that_load_detectors_bring_their_encoders(facts: Any) -> None:
    own = facts["machines"]["fan"]
    names = ["ast:1a2b3c4d5e6f", "beats:000000000000", "mobilenet_v3:1a2b3c4d5e6f", ""]
    members = tuple(
        replace(own["final"].members[0], name=f"fan-{n}", params={"pretrained": name}) for n, name in enumerate(names)
    )
    fan = {**own, "final": replace(own["final"], members=members, cost=None)}
    brought = "--weights ast=FILE --weights beats=FILE"
    assert [f"{brought} " in f"{command} " for command in commands({"fan": fan})] == [False, True, True, True]
    rendered = page({**facts, "machines": {"fan": {**fan, "states_kept": True}}})
    assert f"asd-ray ensemble fan --run {facts['run']} {brought}</code> chooses again" in rendered


def commands(machines: Any) -> list[str]:
    return [step.command for step in next_steps("runs/my --data run", machines) if step.command]


def test_a_page_with_sounds_leaves_out_the_step_that_makes_them_and_no_other(facts: Any) -> None:
    given = {**facts, "next_steps": list(next_steps("runs/my --data run", facts["machines"]))}
    for media, expected in ((None, 5), (media_of(facts), 4)):
        listed = page(given, media).partition('<ol class="next">')[2].partition("</ol>")[0]
        assert listed.count("<li>") == expected
        assert "asd-ray bundle fan" in listed


def test_an_ensemble_that_cannot_score_new_sound_has_no_commands_for_it(facts: Any) -> None:
    own = facts["machines"]["fan"]
    final = own["final"]
    imported = replace(final, members=tuple(replace(member, family="import") for member in final.members))
    for unable in (replace(final, transductive=True), imported):
        fan = {**own, "final": unable}
        assert [command.split()[1] for command in commands({"fan": fan})] == ["report"]
        assert "asd-ray bundle ToyCar" in " ".join(commands({**facts["machines"], "fan": fan}))
    rendered = page({**facts, "machines": {**facts["machines"], "fan": {**own, "final": imported}}})
    costs = [part.partition("</dd>")[0] for part in rendered.split("<dt>Cost</dt><dd>")[1:]]
    assert len(costs) == len(facts["machines"]) > 1
    assert sorted("--keep-states all" in said for said in costs) == [False, *[True] * (len(costs) - 1)]
    kept = page({**facts, "machines": {**facts["machines"], "fan": {**own, "states_kept": True}}})
    assert "asd-ray ensemble fan --run" in kept.partition('id="machine-fan"')[0]


def test_what_to_record_and_listen_to_follows_from_what_the_test_clips_lack(facts: Any) -> None:
    own = facts["machines"]["fan"]
    unmeasured = replace(own["final"], metrics=replace(own["final"].metrics, by_protocol={}), notes=())
    for lack, words, other in (
        ("no id has both normal clips and anomalies", "add normal recordings of the same id", "abnormal/"),
        ("there are no anomalies", "(folder abnormal/, or DCASE's test/ folder)", "normal recordings"),
    ):
        final = replace(unmeasured, notes=(f"not measured: {lack}; why",))
        said = " ".join(step.sentence for step in next_steps("run", {"fan": {**own, "final": final}}))
        assert words in said
        assert other not in said
    unlabelled = {**own, "mistakes": replace(own["mistakes"], labelled=False)}
    sentences = [step.sentence for step in next_steps("run", {"fan": unlabelled})]
    assert "Listen to the clips that score highest." in sentences
    assert not any("decided wrongly" in sentence for sentence in sentences)


def test_choosing_again_names_every_setting_that_is_not_the_usual_one(facts: Any) -> None:
    final = facts["machines"]["fan"]["final"]
    config = EnsembleConfig(maximise="auc", seed=3, infer_limit=0.05)
    recipe = replace(final.recipe, name="mine.mean", by="train")
    mine = replace(final, config=config, recipe=recipe, recipe_source="my recipes/mine.toml")
    assert choose_again("s3://b/run?x=1", mine, "--percentile", "97.5") == (
        "asd-ray ensemble fan --run 's3://b/run?x=1' --maximise auc --seed 3 --infer-limit 50ms "
        "--recipe 'my recipes/mine.toml' --by train --standardise z --final --percentile 97.5"
    )


def test_normal_test_clips_are_counted_where_there_are_any(facts: Any) -> None:
    own = facts["machines"]["fan"]
    final = replace(own["final"], metrics=replace(own["final"].metrics, by_protocol={}))
    said = verdict("fan", {**own, "final": final, "decisions": None}).catches
    above = alarms(own["clip_scores"], final.threshold.value)[0]["labels"]["normal"]["above"]
    assert said.startswith(f"gives {above} false alarms in 48 normal test clips; ")


def test_decisions_say_which_other_clips_the_overview_counts(facts: Any) -> None:
    own = facts["machines"]["fan"]

    def note(counts: DecisionCounts) -> str:
        given = {**facts, "machines": {**facts["machines"], "fan": {**own, "decisions": counts}}}
        part = page(given).partition('id="machine-fan"')[2].partition('class="decide"')[2]
        return part.partition('<div class="control')[0].partition('<p class="note">')[2]

    assert note(DecisionCounts("oracle", 48, 41, 48, 5)) == ""
    fewer = note(DecisionCounts("oracle", 24, 20, 24, 2))
    assert "counts fewer clips" in fewer
    assert "it catches 20 of 24 faults at 2 false alarms in 24 normal clips." in fewer
    assert "on the clips that its members were chosen by" in note(DecisionCounts("nested", 48, 41, 48, 5))


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
    for known in (timed, replace(final, cost=RunningCost(0.0123, "a computer"))):
        assert cost(known) == "12.3 ms for 10 s of sound, in one thread of a computer"


def test_the_reason_why_the_cost_is_not_known_stands_in_its_place(facts: Any) -> None:
    own = facts["machines"]["fan"]
    final = replace(own["final"], cost_unmeasured="no file of the encoder ast:1 is known")
    told = {**facts, "machines": {**facts["machines"], "fan": {**own, "final": final, "states_kept": True}}}
    card = page(told).partition("<dt>Cost</dt><dd>")[2].partition("</dd>")[0]
    assert card.startswith("Not measured: no file of the encoder ast:1 is known. <code>asd-ray ensemble fan")
    assert "Cost: not measured: no file of the encoder ast:1 is known.\n" in markdown(told)
    assert "Cost: not measured.\n" in markdown(facts)


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
        dict(contents(each))["report.html"].count("on the clips that chose it: too good</span>")
        for each in (facts, given)
    ]
    assert cards == [1, 0]


def test_the_machines_part_does_not_call_its_forecast_an_upper_bound(facts: Any) -> None:
    labels = facts["machines"]["fan"]["labels"]
    assert "not a forecast" not in labels
    final = facts["machines"]["fan"]["final"]
    assert final.forecasts
    assert labels.startswith(f"the forecast is {final.headline_protocol}: ")


def test_a_gain_that_the_number_of_recipes_explains_says_so(facts: Any) -> None:
    first, *others = facts["summary"]["rows"]
    own = facts["machines"][first["machine"]]
    crossval = own["final"].metrics["crossval"]
    found = []
    for corrected in (False, True):
        gain = replace(crossval.gain, better_as_best=corrected)
        by_protocol = {**own["final"].metrics.by_protocol, "crossval": replace(crossval, gain=gain)}
        final = replace(own["final"], metrics=replace(own["final"].metrics, by_protocol=by_protocol))
        row = {**first, "gain": {**first["gain"], "interval": [0.01, 0.02], "better": corrected, "against_it": []}}
        given = {**facts, "machines": {**facts["machines"], first["machine"]: {**own, "final": final}}}
        given["summary"] = {**facts["summary"], "rows": [row, *others]}
        found.append("no clear difference</span><small>when corrected for the recipes tried</small>" in page(given))
    assert found == [True, False]


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
