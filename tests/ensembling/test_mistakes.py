"""Which clips are listed, in which order, and which ensembles are counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, choose, load, scores_of, stored
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.ensemble_file import FINAL
from asd_ray.ensembling.mistakes import FALSE_ALARM, MISSED, MOST, Mistakes, mistakes
from asd_ray.ensembling.result import DatasetInfo, StoredStatistics
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.ensembling.threshold import Threshold
from asd_ray.ledger import Ledger
from tests.ensembling.conftest import make_candidates, make_ensemble, make_ledger

LABELS = {"n": "normal", "a": "anomaly", "u": "unknown"}


def of_scores(labels: str, *rows: list[float]) -> Candidates:
    """Candidates with these scores of clips "0", "1", …, whose labels are letters."""
    base = make_candidates([0.0] * len(rows), per=2, ids=("00",))
    clips = pd.DataFrame(
        {
            "clip": [str(at) for at in range(len(labels))],
            "id": "00",
            "domain": "source",
            "label": [LABELS[letter] for letter in labels],
        }
    )
    return replace(base, clips=clips, scores=np.array(rows, np.float32))


def single(candidates: Candidates, row: int, threshold: float, name: str = "best") -> Ensemble:
    """An ensemble of one candidate, whose scores stay as they are."""
    base = make_ensemble()
    trial, variant = candidates.pairs[row]
    as_it_is = Standardiser("none", "machine").learn(np.array([[-1.0, 1.0]]), candidates.clips.iloc[:2])
    return replace(
        base,
        recipe=replace(base.recipe, name=name, standardise=as_it_is.standardiser),
        members=(replace(base.members[0], trial=trial, variant=variant, weight=1.0),),
        statistics=StoredStatistics.of(as_it_is),
        threshold=Threshold("empirical", 90.0, threshold),
        dataset=DatasetInfo("demo", candidates.fingerprint, 2022),
    )


def order(found: Mistakes) -> list[str]:
    return [each.clip for each in found.clips]


def test_clips_that_most_ensembles_get_wrong_come_first() -> None:
    #                           n    n    a    a
    candidates = of_scores("nnaa", [0.0, 9.0, 5.0, 1.0], [0.0, 9.0, 1.0, 9.0], [0.0, 1.0, 1.0, 9.0])
    first, second, third = (single(candidates, row, 2.0, f"r{row}") for row in range(3))
    found = mistakes(candidates, {"r0": first, "r1": second, "r2": third, FINAL: first})
    assert found.labelled
    assert [(each.clip, each.mistake, each.wrong) for each in found.clips] == [
        ("1", FALSE_ALARM, 2),  # both have two, and the final score is 7 above the threshold, not 3 on the right side
        ("2", MISSED, 2),
        ("3", MISSED, 1),
    ]
    assert found.ensembles == ("r0", "r1", "r2")  # the final one is r0 again


def test_of_equal_counts_the_score_farthest_on_the_wrong_side_is_first() -> None:
    candidates = of_scores("nnaan", [3.0, 8.0, 1.5, -9.0, 0.0])
    found = mistakes(candidates, {"best": (final := single(candidates, 0, 2.0)), FINAL: final})
    assert order(found) == ["3", "1", "0", "2"]  # beyond by 11, 6, 1 and 0.5; clip 4 is right
    assert [each.decision for each in found.clips] == ["normal", "anomaly", "anomaly", "normal"]
    assert [each.score for each in found.clips] == [-9.0, 8.0, 3.0, 1.5]
    assert found.threshold == 2.0


def test_each_ensemble_decides_with_its_own_threshold() -> None:
    candidates = of_scores("na", [5.0, 6.0])
    low, high = single(candidates, 0, 1.0, "low"), single(candidates, 0, 9.0, "high")
    found = mistakes(candidates, {"low": low, "high": high, FINAL: low})
    assert [(each.clip, each.wrong, each.decision) for each in found.clips] == [
        ("0", 1, "anomaly"),
        ("1", 1, "anomaly"),
    ]


def test_a_score_at_the_threshold_is_normal() -> None:
    candidates = of_scores("na", [2.0, 2.0])
    found = mistakes(candidates, {FINAL: single(candidates, 0, 2.0)})
    assert [(each.clip, each.mistake) for each in found.clips] == [("1", MISSED)]


def test_at_most_ten_are_listed_and_unknown_labels_never() -> None:
    candidates = of_scores("n" * 14 + "u" * 3 + "a", [*np.arange(14.0), 99.0, 98.0, 97.0, 50.0])
    found = mistakes(candidates, {FINAL: single(candidates, 0, -1.0)})
    assert order(found) == [str(at) for at in range(13, 3, -1)]
    assert len(found.clips) == MOST


def test_without_labels_the_highest_scores_are_listed_as_such() -> None:
    candidates = of_scores("uuu", [1.0, 3.0, 2.0])
    found = mistakes(candidates, {FINAL: single(candidates, 0, 2.5)})
    assert not found.labelled
    assert order(found) == ["1", "2", "0"]
    assert [(each.mistake, each.wrong, each.decision) for each in found.clips] == [
        ("", 0, "anomaly"),
        ("", 0, "normal"),
        ("", 0, "normal"),
    ]
    assert "highest scores" in found.title


def test_nothing_is_listed_if_all_is_right() -> None:
    candidates = of_scores("na", [0.0, 5.0])
    assert mistakes(candidates, {FINAL: single(candidates, 0, 2.0)}).clips == ()


def test_ensembles_of_other_clips_or_candidates_are_named_and_not_counted() -> None:
    candidates = of_scores("na", [5.0, 0.0])
    final = single(candidates, 0, 2.0)
    others = replace(final, dataset=DatasetInfo("demo", "other", 2022))
    strange = replace(final, members=(replace(final.members[0], trial="t-gone"),))
    found = mistakes(candidates, {"others": others, "strange": strange, FINAL: final})
    assert (found.ensembles, found.not_counted) == ((FINAL,), ("others", "strange"))
    assert [each.wrong for each in found.clips] == [1, 1]


def test_a_final_ensemble_that_differs_from_its_recipe_is_counted() -> None:
    candidates = of_scores("na", [5.0, 6.0])
    recipe, final = single(candidates, 0, 5.5, "best"), single(candidates, 0, 1.0, "best")
    found = mistakes(candidates, {"best": recipe, FINAL: final})
    assert found.ensembles == ("best", FINAL)
    assert [(each.clip, each.wrong) for each in found.clips] == [("0", 1)]


def test_they_are_written_and_read_without_loss() -> None:
    candidates = of_scores("na", [5.0, 0.0])
    found = mistakes(candidates, {FINAL: single(candidates, 0, 2.0)})
    assert Mistakes.from_json(found.to_json()) == found


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    ledger = make_ledger(tmp_path_factory.mktemp("chosen") / "run", per=10)
    quick = EnsembleConfig(repeats=1, folds=2, draws=10)
    choose(ledger, "fan", ["best_single", "greedy", "label_free", "top_k"], quick)
    return ledger


def test_counts_agree_with_the_scores_of_each_stored_ensemble(chosen: Ledger) -> None:
    ensembles = stored(chosen, "fan").ensembles["fan"]
    found = mistakes(load(chosen, "fan", only=ensembles[FINAL].candidates.all), ensembles)
    assert len(found.ensembles) == len(ensembles) - 1 > 3
    wrong = dict[str, int]()
    for name in found.ensembles:
        scores = scores_of(chosen, ensembles[name])
        test = scores[scores["split"] == "test"]
        mistaken = (test["score"] > ensembles[name].threshold.value) != (test["label"] == "anomaly")
        for clip, is_wrong in zip(test["clip"], mistaken, strict=True):
            wrong[clip] = wrong.get(clip, 0) + bool(is_wrong)
    assert [each.wrong for each in found.clips] == [wrong[each.clip] for each in found.clips]
    assert [each.wrong for each in found.clips] == sorted(wrong.values(), reverse=True)[:MOST]
