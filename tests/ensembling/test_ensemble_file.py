"""The file is enough to rebuild every number from the ledger, and any change of either is noticed."""

from __future__ import annotations

import json
import math
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray import ensembling
from asd_ray.ensembling import EnsembleConfig, Standardiser, build, finals, load, read, scores_of, verify, write
from asd_ray.ensembling.combine import WAYS
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ensembling.result import Ensemble
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.metrics import objective

Make = Callable[..., Ledger]
QUICK = EnsembleConfig(repeats=1, folds=3, draws=50)
RECIPES = (
    Recipe("greedy", "greedy", size=6),
    Recipe("greedy_max", "greedy", ("max",), size=4, by="train"),
    Recipe("bagged", "greedy", size=4, bags=3),
    Recipe("slots", "slots", ("median",), (Slot("idnn", ("nll",)), Slot("group_made", params={"lr": 0.3}))),
    Recipe("several", "slots", ("max",), (Slot("idnn", size=2, distinct=("lr",)), Slot("group_made", paper=True))),
    Recipe("ranked", "top_k", standardise=Standardiser("rank", "id_domain")),
    Recipe("robust", "best_per_family", ("rank_mean",), standardise=Standardiser("robust", "machine")),
    Recipe("optuna_weights", "optuna_weights", trials=6),
    Recipe("smooth_weights", "smooth_weights", standardise=Standardiser("open_rank")),
    Recipe("label_free", "label_free", ("min",)),
    Recipe("transductive", "top_k", by="test"),
)


def stored(ledger: Ledger, recipe: Recipe = RECIPES[0]) -> Path:
    return Path(write(ledger, build(load(ledger, "fan", recipe.by), recipe, QUICK)))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_number_is_rebuilt_from_the_ledger(small: Ledger, recipe: Recipe) -> None:
    ensemble = read(stored(small, recipe))
    differences = verify(Ledger(small.layout), ensemble)
    assert len(differences) > 50
    assert max(differences.values()) <= 1e-9

    scores = scores_of(small, ensemble)  # by the statistics in the file
    assert scores.columns.tolist() == ["clip", "id", "domain", "label", "split", "score"]
    assert set(scores["split"]) == {"test", recipe.by}
    test = scores[scores["split"] == "test"].reset_index(drop=True)
    protocol = "oracle" if recipe.uses_labels else "label_free"
    [value] = objective(test, test["score"].to_numpy()[None], 2022)
    assert value == pytest.approx(ensemble.metrics[protocol].value, abs=1e-12)


def test_without_labels_members_and_threshold_are_rebuilt(ledger_of: Make) -> None:
    ledger = ledger_of(labels="unknown")
    ensemble = read(stored(ledger, Recipe("label_free", "label_free")))
    assert not ensemble.metrics
    assert max(verify(ledger, ensemble).values()) <= 1e-9
    assert len(scores_of(ledger, ensemble)) == 48 + 24


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    ("by", "splits"),
    [("held_out", ("held_out",)), ("test", ("held_out",)), ("test", ())],
    ids=["held_out", "test", "imported"],
)
def test_test_clips_without_a_label_change_no_number_between_file_and_ledger(
    ledger_of: Make, how: str, by: str, splits: tuple[str, ...]
) -> None:
    """Units, ranks and thresholds that depend on test clips depend on all of them, as scores of the ensemble do."""
    ledger = ledger_of(labels="half", per=8, splits=(*splits, "test"))
    ensemble = read(stored(ledger, Recipe("three", "top_k", (how,), k=3, by=by, standardise=Standardiser("rank"))))
    assert max(verify(ledger, ensemble).values()) <= 1e-9
    scores = scores_of(ledger, ensemble)
    labelled = scores[(scores["split"] == "test") & (scores["label"] != "unknown")].reset_index(drop=True)
    assert len(labelled) == 64 - 16
    [value] = objective(labelled, labelled["score"].to_numpy()[None], 2022)
    assert value == pytest.approx(ensemble.metrics["oracle"].value, abs=1e-12)


def change(ensemble: Ensemble, *place: Any, by: float = -1e-6) -> Ensemble:
    """The ensemble of a file in which the number at `place` is another."""
    changed: Any = ensemble.to_json()
    inner = changed
    for each in place[:-1]:
        inner = inner[each]
    assert isinstance(inner[place[-1]], int | float)
    inner[place[-1]] += 1 if isinstance(inner[place[-1]], int) else by
    return Ensemble.from_json(changed)


CHANGED = (
    ("metrics", "crossval", "value"),
    ("metrics", "crossval", "interval", 0),
    ("metrics", "crossval", "gain", "value"),
    ("metrics", "oracle", "cells", "00/pauc"),
    ("metrics", "gap"),
    ("metrics", "decisions", "f1"),
    ("members", 0, "params", "lr"),
    ("statistics", "centre", 0, 0),
    ("statistics", "scale", 0, 2),
    ("threshold", "value from the file's distribution"),
    ("trail", 0, "value"),
    ("selection_frequency", 0, "frequency"),
    ("candidates", "tried"),
    ("candidates", "families", "idnn"),
)


def test_every_number_that_was_changed_is_noticed(small: Ledger) -> None:
    ensemble = read(stored(small))
    for place in CHANGED:
        ensemble = change(ensemble, *("value" if str(part).startswith("value from") else part for part in place))
    differences = verify(small, ensemble)
    noticed = {name for name, far in differences.items() if far > 5e-7}
    others = {"from the file's statistics", "checksum"}
    assert noticed - others == {"/".join(map(str, place)) for place in CHANGED}


def test_changed_weights_and_seeds_are_noticed(small: Ledger) -> None:
    for place in (("members", 0, "weight"), ("wishes", "seed")):
        changed = change(read(stored(small)), *place)
        assert max(verify(small, changed).values()) > 5e-7


def test_a_changed_statistic_changes_the_number_that_new_clips_would_give(small: Ledger) -> None:
    ensemble = read(stored(small, Recipe("pair", "top_k", k=2)))
    for group in range(2):
        ensemble = change(ensemble, "statistics", "scale", 0, group, by=50)
    assert verify(small, ensemble)["from the file's statistics"] > 1e-4


def test_words_that_decide_are_compared_too(small: Ledger) -> None:
    final = read(stored(small))
    for word in ("combine", "labels"):
        assert verify(small, replace(final, **{word: "max"}))[word] == math.inf
    final = replace(final, dataset=replace(final.dataset, fingerprint="0123456789ab"))
    assert verify(small, final)["dataset/fingerprint"] == math.inf
    with pytest.raises(AsdRayError, match=r"trials have other clips \(f0f0f0f0\) than the ensemble's \(01234567\)"):
        scores_of(small, final)


def test_a_trial_that_was_removed_is_named(ledger_of: Make) -> None:
    ledger = ledger_of()
    ensemble = read(stored(ledger))
    gone = next(record for record in ledger.records() if record.trial == ensemble.members[0].trial)
    os.remove(ledger.layout.trial_file("fan", gone.family, gone.trial))
    with pytest.raises(AsdRayError, match=f"no complete scores of {gone.trial} variant 'mse' and 1 more; they were"):
        verify(Ledger(ledger.layout), ensemble)


def test_scores_of_a_member_that_were_changed_are_noticed(ledger_of: Make) -> None:
    ledger = ledger_of({"idnn": [{}]}, variants=("mse",))
    ensemble = read(stored(ledger, Recipe("best", "best")))
    replace_scores(ledger, ensemble.members[0].trial, 0.5)
    assert max(verify(Ledger(ledger.layout), ensemble).values()) > 1e-9


def test_scores_that_were_changed_so_that_others_are_chosen_are_noticed(ledger_of: Make) -> None:
    ledger = ledger_of({"idnn": [{}, {}, {}]}, variants=("mse",))
    ensemble = read(stored(ledger, Recipe("best", "best")))
    other = next(record.trial for record in ledger.records() if record.trial != ensemble.members[0].trial)
    replace_scores(ledger, other, 9)
    assert verify(Ledger(ledger.layout), ensemble)["members/0/trial"] == math.inf


def replace_scores(ledger: Ledger, trial: str, louder: float) -> None:
    """Anomalies score higher than they did."""
    [record] = [each for each in ledger.records() if each.trial == trial]
    rows = ledger.scores(record)
    ledger.commit(record, rows.assign(score=rows["score"] + louder * (rows["label"] == "anomaly")), replace=True)


def test_an_ensemble_can_be_rebuilt_when_the_ledger_has_grown(ledger_of: Make) -> None:
    ledger = ledger_of()
    ensemble = read(stored(ledger))
    ledger_of({"flow_aff": [{}, {}]}, strength=3.0)  # better than all there was
    ledger_of({"twfr_gmm": [{}]}, splits=("train", "test"))
    assert max(verify(Ledger(ledger.layout), ensemble).values()) <= 1e-9


def test_what_a_foreign_file_lacks_is_said(ledger_of: Make, tmp_path: Path) -> None:
    ledger, path = ledger_of(), tmp_path / "mine.json"
    with pytest.raises(AsdRayError, match="mine.json: no such file; ensembles lie in RUN/ensembles/MACHINE/"):
        read(path)
    path.write_text('{"format": ')
    with pytest.raises(AsdRayError, match="mine.json: this is no JSON"):
        read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AsdRayError, match="mine.json: this is no JSON"):
        read(path)
    for text, message in (
        ("[1]", "'list'"),
        ("{}", "None"),
        ('{"format": "asd_ray-ensemble/9"}', "'asd_ray-ensemble/9'"),
    ):
        path.write_text(text)
        with pytest.raises(AsdRayError, match=f"mine.json: the format is {message} but must be 'asd_ray-ensemble/1'"):
            read(path)
    content = read(stored(ledger)).to_json()
    path.write_text(json.dumps({name: part for name, part in content.items() if name not in ("members", "wishes")}))
    with pytest.raises(AsdRayError, match="mine.json: it lacks wishes, members; choose the ensemble again"):
        read(path)
    for name in ("recipe", "wishes"):
        path.write_text(json.dumps(content | {name: content[name] | {"new": 3}}))
        with pytest.raises(AsdRayError, match=f"mine.json: {name} is not as this version writes it"):
            read(path)


def test_ensembles_of_a_run_are_found_by_machine_and_name(ledger_of: Make) -> None:
    ledger = ledger_of()
    assert ensembling.stored(ledger).ensembles == {}
    ensemble = build(load(ledger, "fan"), RECIPES[0], QUICK)
    path = Path(write(ledger, ensemble))
    assert path == Path(ledger.layout.root) / "ensembles" / "fan" / "greedy.json"
    write(ledger, ensemble, final=True)
    assert set(ensembling.stored(ledger).ensembles["fan"]) == {"greedy", "final"}
    assert finals(ledger) == {"fan": read(path)}
    path.with_name("broken.json").write_text("{")
    found = ensembling.stored(ledger)
    assert set(found.ensembles["fan"]) == {"greedy", "final"}
    assert "broken.json: this is no JSON" in found.unreadable["fan"]["broken"]
    assert set(finals(ledger)) == {"fan"}
    path.with_name("final.json").write_text("{")
    with pytest.raises(AsdRayError, match="final.json: this is no JSON"):
        finals(ledger)


def test_a_kill_leaves_the_old_file_or_the_new_one(
    ledger_of: Make, python: Callable[..., subprocess.Popen[str]]
) -> None:
    """A process writes an ensemble again and again, is killed amid it, and at any time the file is whole."""
    ledger = ledger_of({"idnn": [{}]})
    path = stored(ledger, Recipe("best", "best"))
    process = python(
        """
        import sys
        from dataclasses import replace
        from asd_ray.ensembling import read, write
        from asd_ray.ledger import Ledger
        ledger, ensemble = Ledger(sys.argv[1]), read(sys.argv[2])
        print("ready", flush=True)
        number = 0
        while True:
            number += 1
            write(ledger, replace(ensemble, notes=(str(number),) * 20_000))
        """,
        ledger.layout.root,
        path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    seen, ends = set(), time.monotonic() + 60
    while len(seen) < 4 and time.monotonic() < ends:
        notes = set(read(path).notes)
        assert len(notes) <= 1
        seen |= notes
    process.kill()
    process.wait()
    assert len(seen) == 4  # it was written meanwhile
    assert len(set(read(path).notes)) == 1
    assert set(ensembling.stored(ledger).ensembles["fan"]) == {
        "best"
    }  # what the killed process left aside is no ensemble


def test_new_clips_are_scored_as_the_test_clips_were(ledger_of: Make, clips: Callable[..., pd.DataFrame]) -> None:
    """With statistics from the file alone."""
    from asd_ray.ensembling.scoring import members_of

    ledger = ledger_of()
    ensemble = read(stored(ledger, Recipe("top", "top_k", k=2)))
    members = members_of(ledger, ensemble)
    one = members.clips.iloc[[7]]
    z = ensemble.statistics.learned(ensemble.recipe.standardise)(members.scores[:, [7]], one)
    weights = np.array([member.weight for member in ensemble.members])
    expected = scores_of(ledger, ensemble).set_index("clip")["score"][one["clip"].iloc[0]]
    assert (weights @ z / weights.sum()).item() == pytest.approx(expected)
