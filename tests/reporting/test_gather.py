from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray import ensembling
from asd_ray.ensembling import EnsembleConfig, Recipe, read, scores_of
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.metrics import auc, hmean
from asd_ray.reporting import gather
from asd_ray.reporting.gather import as_json, unlike
from asd_ray.reporting.leaderboard import leaderboard, setting_of
from asd_ray.reporting.machine import headline_facts
from asd_ray.reporting.write import contents
from tests.ensembling.conftest import make_candidates, make_ensemble, make_ledger, make_metric, make_table
from tests.reporting.conftest import choose, fill


@pytest.fixture(scope="module")
def facts(filled: Path) -> Any:
    return gather(Ledger(filled))


@pytest.fixture
def copied(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "run"))


def change(run: Path, name: str = "final", **changes: object) -> None:
    path = run / "ensembles" / "fan" / f"{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def ensemble_of(run: Path, name: str = "final") -> Any:
    return json.loads((run / "ensembles" / "fan" / f"{name}.json").read_text())


def found(run: Path) -> list[str]:
    return sorted(path.stem for path in (run / "ensembles" / "fan").glob("*.json") if path.stem != "final")


def test_a_run_without_ensembles_says_what_to_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    fill(ledger, "fan", trials=1)
    with pytest.raises(AsdRayError, match=r"no ensembles to report on; run: asd-ray ensemble --run .*/run"):
        gather(ledger)


def test_facts_are_strict_json(facts: Any) -> None:
    stored = as_json(facts)
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored


def test_the_summary_has_what_the_ensemble_file_has(facts: Any, filled: Path) -> None:
    rows = facts["summary"]["rows"]
    assert [row["machine"] for row in rows] == ["fan", "ToyCar"]
    assert facts["without"] == ["valve"]
    for row in rows:
        stored = json.loads((filled / "ensembles" / row["machine"] / "final.json").read_text())["metrics"]
        own = stored[row["protocol"]]
        assert {**row["forecast"]} == {key: own[key] for key in ("value", "interval", "auc", "pauc", "hmean")}
        assert row["gain"]["interval"] == own["gain"]["interval"]
        assert row["gain"]["protocol"] == row["protocol"]
    over = facts["summary"]["over_machines"]["forecast"]["hmean"]
    assert over == pytest.approx(hmean([row["forecast"]["hmean"] for row in rows]))


def test_labels_are_told_from_search_to_number(facts: Any) -> None:
    assert "learned from normal clips alone" in facts["labels"]
    assert "searched with the labels of the test clips" in facts["labels"]
    assert "oracle" in facts["labels"]


def test_curves_are_of_the_ensembles_scores_in_the_ledger(facts: Any, filled: Path) -> None:
    final = facts["machines"]["fan"]["final"]
    scores = scores_of(Ledger(filled), read(filled / "ensembles/fan/final.json"))
    test = scores[(scores["split"] == "test") & (scores["id"] == "01")]
    curve = next(each for each in facts["machines"]["fan"]["roc"] if each["id"] == "01")
    assert curve["auc"] == pytest.approx(auc(test["label"] == "anomaly", test["score"]))
    assert facts["machines"]["fan"]["histograms"]["threshold"] == final.threshold.value


def test_the_leaderboard_is_every_candidate_best_first(facts: Any) -> None:
    board = facts["machines"]["fan"]["leaderboard"]
    assert board["cells"] == ["00/auc_source", "00/auc_target", "00/pauc", "01/auc_source", "01/auc_target", "01/pauc"]
    values = [row["hmean"] for row in board["rows"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == facts["machines"]["fan"]["final"].candidates.tried == 66
    best = board["rows"][0]
    assert best["hmean"] == pytest.approx(hmean(list(best["cells"].values())))
    members = {member.pair for member in facts["machines"]["fan"]["final"].members}
    assert {(row["trial"], row["variant"]) for row in board["rows"] if row["member"]} == members


def test_the_leaderboard_marks_the_score_that_the_paper_took_on_the_machine() -> None:
    table = make_table(3).assign(family="aegan_ad", variant=["D_lof", "G_z_cos_min", "D_knn"], seconds=1.0, seed=0)
    given = replace(make_candidates(per=4), table=table.assign(paper=True))
    for year, marked in ((2022, ["G_z_cos_min"]), (2020, []), (None, [])):
        rows = leaderboard(replace(given, machine="gearbox", year=year), "hmean", [])["rows"]
        assert [row["variant"] for row in rows if row["paper_score"]] == marked
        assert all(row["paper"] for row in rows)


def test_the_leaderboard_marks_the_papers_own_score(facts: Any) -> None:
    """A setting of the paper with another score is not the paper's method."""
    table = make_table(3).assign(family=["idnn", "idnn", "mine"], variant=["mean", "max", "mean"], seconds=1.0, seed=0)
    candidates = replace(make_candidates(per=4), table=table.assign(paper=[True, True, True]))
    rows = sorted(leaderboard(candidates, "hmean", [])["rows"], key=lambda row: row["trial"])
    assert [setting_of(row) for row in rows] == ["paper's setting and score", "paper's setting", "paper's setting"]
    assert setting_of({**rows[0], "paper": False, "paper_score": False}) == ""
    fan = facts["machines"]["fan"]
    first, *others = fan["leaderboard"]["rows"]
    board = {**fan["leaderboard"], "rows": [{**first, "paper": True, "paper_score": True}, *others]}
    texts = dict(contents({**facts, "machines": {"fan": {**fan, "leaderboard": board}}}))
    assert "paper&#39;s setting and score</td>" in texts["report.html"]
    assert "| paper's setting and score |" in texts["report.md"]


def test_the_chosen_recipe_comes_first(facts: Any) -> None:
    for each in facts["machines"].values():
        chosen, *others = each["recipes"]
        assert chosen["chosen"]
        assert chosen["recipe"] == each["final"].name
        assert not any(row["chosen"] for row in others)
        assert {row["protocol"] for row in each["recipes"]} == {"crossval", "label_free"}


def test_families_hold_every_trial(facts: Any, filled: Path) -> None:
    trials = [trial for f in facts["families"].values() for s in f["studies"].values() for trial in s["trials"]]
    assert len(trials) == len(Ledger(filled).records()) == 3 * (14 + 8 + 2)
    assert {each["status"] for each in trials} == {"complete", "pruned", "failed"}
    assert facts["families"]["idnn"]["studies"]["fan"]["importances"]
    assert facts["families"]["idnn"]["seeds"][0]["seeds"] == 2
    assert facts["families"]["stgram"]["studies"]["fan"]["cost"]["gpu_seconds"] > 0
    assert facts["published"] is None


def test_commands_make_the_final_ensemble_again(facts: Any, filled: Path) -> None:
    first = facts["provenance"]["commands"][0]
    assert first.startswith(f"asd-ray ensemble fan --run {filled} --recipe ")
    assert "--folds 2 --repeats 1 --seed 0" in first
    assert facts["provenance"]["datasets"]["fan"]["fingerprint"] == "0123456789abcdef"


def test_candidates_that_came_later_are_told(copied: Path) -> None:
    ledger = Ledger(copied)
    fill(ledger, "fan", trials=16)
    *_, note = gather(ledger)["machines"]["fan"]["notes"]
    said = "6 candidates were added to the ledger after this ensemble was chosen; run: asd-ray ensemble fan --run "
    assert note == f"{said}{ledger.layout.root}"


def test_trials_of_other_held_out_clips_that_came_later_change_nothing(copied: Path) -> None:
    before = gather(Ledger(copied))["machines"]["fan"]
    late = Ledger(copied.with_name("late"))
    fill(late, "fan", trials=40)  # more than were there, so most candidates share the clips of these
    for record in late.records("fan"):
        if record.number >= 14 and record.status == "complete":
            scores = late.scores(record)
            gone = (scores["split"] == "held_out") & scores["clip"].str.endswith("_011.wav")
            Ledger(copied).commit(record, scores[~gone])
    after = gather(Ledger(copied))["machines"]["fan"]
    assert after["leaderboard"] == before["leaderboard"]
    assert after["histograms"] == before["histograms"]
    assert after["notes"][-1].startswith("108 candidates were added to the ledger after this ensemble was chosen")


def test_only_ensembles_of_the_same_choice_stand_beside_the_final_one(copied: Path) -> None:
    final = ensemble_of(copied)
    others = [name for name in found(copied) if name != final["recipe"]["name"]]
    wishes, candidates, dataset, same = others[:4]
    change(copied, wishes, wishes={**final["wishes"], "maximise": "auc"})
    change(copied, candidates, candidates={**final["candidates"], "digest": "another"})
    change(copied, dataset, dataset={**final["dataset"], "fingerprint": "another"})
    by_train = {**ensemble_of(copied, same)["recipe"], "by": "train"}  # chosen from others, as it must be
    change(copied, same, recipe=by_train, candidates={**final["candidates"], "digest": "of train"})
    facts = gather(Ledger(copied))["machines"]["fan"]
    assert facts["older"] == sorted([wishes, candidates, dataset])
    assert {row["recipe"] for row in facts["recipes"]} == {final["recipe"]["name"], *others[3:]}


def test_only_a_forecast_is_better_and_the_best_of_several_if_that_is_allowed_for() -> None:
    def better(**metrics: Any) -> bool:
        ensemble = make_ensemble(**metrics)
        assert ensemble.gain is not None
        assert headline_facts(ensemble)["gain"]["better"] == ensemble.gain.better
        return ensemble.gain.better

    assert not better(oracle=make_metric())
    assert better(oracle=make_metric(), crossval=make_metric())
    assert not better(crossval=make_metric(better_as_best=False))
    assert better(crossval=make_metric(better_as_best=True))
    assert not better(label_free=make_metric(), crossval=make_metric(better_as_best=False), oracle=make_metric())
    assert not better(label_free=make_metric(against="oracle"))
    unsure = make_metric(better=False)
    assert not better(crossval=make_metric(better_as_best=True), unseen=unsure)
    worse = make_metric()
    worse = replace(worse, gain=replace(worse.gain, value=-0.004))
    assert not better(crossval=make_metric(better_as_best=True), cross_id=worse)
    ensemble = make_ensemble(crossval=make_metric(better_as_best=True), cross_id=worse)
    assert headline_facts(ensemble)["gain"]["against_it"] == ["cross_id"]
    assert headline_facts(make_ensemble(oracle=make_metric()))["gain"]["protocol"] == "oracle"


def test_a_label_free_recipe_that_labels_picked_says_so(copied: Path) -> None:
    name = next(each for each in found(copied) if each.startswith("label_free"))
    stored = ensemble_of(copied, name)
    expected = "members were chosen without labels; this recipe was picked from 5 by test labels"
    for tried, picked in (
        ({"recipes": 5, "chosen_by": "crossval"}, True),
        ({"recipes": 1, "chosen_by": "label_free"}, False),
        ({"recipes": 5, "chosen_by": "order"}, False),
    ):
        change(copied, **{**stored, "tried": tried})
        facts = gather(Ledger(copied))
        assert facts["machines"]["fan"]["labels"] == (expected if picked else "chosen without any test label")
        assert (f"fan, label_free: {expected.replace(';', ',')}" in facts["labels"]) == picked
        assert facts["summary"]["rows"][0]["protocol"] == "label_free"
    assert "ensembles marked label_free were chosen without test labels" in facts["labels"]


def test_there_is_no_mean_over_machines_whose_cells_differ() -> None:
    rows = [
        {"machine": name, "maximise": "hmean", "year": year, "forecast": None, "oracle": None}
        for name, year in (("fan", 2022), ("pump", 2020), ("valve", None))
    ]
    assert unlike(rows) == (
        "No mean over machines: their cells are of several years (fan: 2022; pump: 2020; valve: no DCASE year)."
    )
    assert unlike([{**row, "year": None} for row in rows]) == ""
    assert unlike([{**rows[0], "maximise": "auc"}, rows[1]]).endswith("(fan: auc; pump: hmean).")


def test_machines_of_several_years_have_rows_and_no_mean(copied: Path) -> None:
    change(copied, dataset={**ensemble_of(copied)["dataset"], "year": None})
    summary = gather(Ledger(copied))["summary"]
    assert [row["year"] for row in summary["rows"]] == [None, 2022]
    assert summary["over_machines"] == {"forecast": None, "oracle": None, "protocol": None}
    assert summary["apart"].startswith("No mean over machines")


def test_a_users_own_recipe_is_named_by_its_file(copied: Path) -> None:
    change(copied, recipe_source="my recipes/mine.toml")
    first = gather(Ledger(copied))["provenance"]["commands"][0]
    assert " --recipe 'my recipes/mine.toml' --maximise" in first


def test_an_ensemble_that_the_ledger_does_not_bear_out_is_left_out_and_named(copied: Path) -> None:
    stored = json.loads((copied / "ensembles/fan/final.json").read_text())
    change(copied, members=[{**stored["members"][0], "trial": "tdeadbeef"}, *stored["members"][1:]])
    facts = gather(Ledger(copied))
    assert "fan" not in facts["machines"]
    assert "fan/final.json: members/0 is not in candidates/all" in facts["left_out"][0]
    protocol = "label_free" if "label_free" in stored["metrics"] else "oracle"
    metrics = {**stored["metrics"], protocol: {**stored["metrics"][protocol], "value": 0.99}}
    change(copied, members=stored["members"], metrics=metrics)
    facts = gather(Ledger(copied))
    assert set(facts["machines"]) == {"ToyCar"}
    assert "its file has 0.990000" in facts["left_out"][0]


def test_a_machine_with_some_unlabelled_clips_is_reported_where_ranks_are_combined(tmp_path: Path) -> None:
    """Each unlabelled clip changes the ranks of the others, in the stored number and in the scores of the report."""
    ledger = make_ledger(tmp_path / "run", labels="half")
    ranks = Recipe("ranks", "top_k", ("rank_mean",), k=3)
    ensembling.choose(ledger, "fan", [ranks], EnsembleConfig(repeats=1, folds=2, draws=20))
    facts = gather(ledger)
    assert (list(facts["machines"]), facts["left_out"]) == (["fan"], [])


def test_unlabelled_clips_have_scores_and_no_numbers(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    fill(ledger, "fan", trials=2, label_of_test="unknown")
    choose(tmp_path / "run", "label_free", machines=("fan",))
    facts = gather(ledger)
    assert "chosen without labels, and how many faults they find is not measured: there are" in facts["labels"]
    (row,) = facts["summary"]["rows"]
    assert (row["forecast"], row["oracle"], row["gain"]) == (None, None, None)
    machine = facts["machines"]["fan"]
    assert (machine["roc"], machine["worst_clips"], machine["leaderboard"]["cells"]) == ([], None, [])
    assert {label for panel in machine["histograms"]["panels"] for label in panel["labels"]} == {"unknown"}
