from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_ray.ensembling.cell_scorer import DIGITS, CellScorer
from asd_ray.ensembling.greedy import Selection, greedy


def frame(per: int = 4, ids: tuple[str, ...] = ("00", "02")) -> pd.DataFrame:
    rows = [(each, "source", label) for each in ids for label in ("normal", "anomaly") for _ in range(per)]
    return pd.DataFrame(rows, columns=["id", "domain", "label"])


def slow_value(clips: pd.DataFrame, scores: np.ndarray) -> float:
    """Harmonic mean over ids of the AUC, counted pair by pair."""
    aucs = []
    for each in sorted(set(clips["id"])):
        quiet, loud = (scores[(clips["id"] == each) & (clips["label"] == label)] for label in ("normal", "anomaly"))
        pairs = [1.0 if a > n else 0.5 if a == n else 0.0 for a in loud for n in quiet]
        aucs.append(max(float(np.mean(pairs)), np.finfo(float).eps))
    return round(len(aucs) / sum(1 / auc for auc in aucs), DIGITS)


def slow_greedy(clips: pd.DataFrame, scores: np.ndarray, how: str, size: int) -> Selection:
    """One candidate after the other, as the method is described. Scores are whole numbers, so that sums are exact."""
    alone = [slow_value(clips, row) for row in scores]
    order = sorted(range(len(scores)), key=lambda row: -alone[row])
    bag, trail = [order[0]], [(order[0], alone[order[0]])]
    while len(bag) < size:
        tried = {}
        for row in order:
            together = scores[[*bag, row]]
            tried[row] = slow_value(clips, together.sum(0) if how == "mean" else together.max(0))
        best = max(tried.values())
        ties = [row for row in order if tried[row] == best]
        row = next((row for row in ties if row in bag), ties[0])
        if how == "max" and row in bag:
            break
        bag.append(row)
        trail.append((row, best))
    values = [value for _, value in trail]
    kept = bag[: values.index(max(values)) + 1]
    members = tuple(dict.fromkeys(kept))
    return Selection(members, tuple(float(kept.count(each)) for each in members), tuple(trail))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from(["mean", "max"]), st.integers(2, 9))
def test_it_is_the_method_tried_one_by_one(seed: int, candidates: int, how: str, levels: int) -> None:
    clips = frame(4)
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (candidates, len(clips))).astype(float)  # few levels: ties of all kinds
    scorer = CellScorer(clips, None, "auc")
    assert greedy(scores, scorer, how, size=6) == slow_greedy(clips, scores, how, 6)


@pytest.fixture
def mixed() -> tuple[np.ndarray, CellScorer]:
    clips = frame(30)
    rng = np.random.default_rng(1)
    strength = np.linspace(0.2, 1.2, 12)
    scores = rng.normal(size=(12, len(clips))) + np.outer(strength, clips["label"] == "anomaly")
    return scores, CellScorer(clips, None)


def test_several_members_do_better_than_one(mixed: tuple[np.ndarray, CellScorer]) -> None:
    scores, scorer = mixed
    found = greedy(scores, scorer)
    assert len(found.members) > 1
    assert max(value for _, value in found.trail) > scorer(scores).max()


def test_of_equal_candidates_one_that_is_a_member_is_preferred(mixed: tuple[np.ndarray, CellScorer]) -> None:
    scores, scorer = mixed
    twice = np.vstack([scores, scores])
    found = greedy(twice, scorer)
    assert len({member % 12 for member in found.members}) == len(found.members)
    assert max(found.weights) > 1  # copies come as weight


def test_steps_after_the_best_ensemble_are_cut(mixed: tuple[np.ndarray, CellScorer]) -> None:
    scores, scorer = mixed
    found = greedy(scores, scorer, size=25)
    values = [value for _, value in found.trail]
    assert len(found.trail) == 25
    assert sum(found.weights) == values.index(max(values)) + 1 < 25
    together = np.asarray(found.weights) @ scores[list(found.members)]
    assert round(float(scorer(together[None])[0]), DIGITS) == max(values)


def test_the_maximum_ends_where_no_other_candidate_helps(mixed: tuple[np.ndarray, CellScorer]) -> None:
    scores, scorer = mixed
    found = greedy(scores, scorer, "max", size=25)
    assert len(found.trail) < 25
    assert set(found.weights) == {1.0}


def test_a_pool_lets_the_best_alone_take_part(mixed: tuple[np.ndarray, CellScorer]) -> None:
    scores, scorer = mixed
    best = set(np.argsort(-scorer(scores).round(DIGITS), kind="stable")[:3].tolist())
    assert set(greedy(scores, scorer, pool=3).members) <= best
    assert greedy(scores, scorer, pool=1).members == (int(np.argmax(scorer(scores))),)


def test_bags_add_up_weights_of_one_each(mixed: tuple[np.ndarray, CellScorer]) -> None:
    scores, scorer = mixed
    found = greedy(scores, scorer, bags=8, fraction=0.4, seed=3)
    assert sum(found.weights) == pytest.approx(8)
    assert found == greedy(scores, scorer, bags=8, fraction=0.4, seed=3)
    assert found != greedy(scores, scorer, bags=8, fraction=0.4, seed=4)
    assert len(found.members) > len(greedy(scores, scorer).members)


def test_bags_of_everything_choose_as_one(mixed: tuple[np.ndarray, CellScorer]) -> None:
    scores, scorer = mixed
    once, bagged = greedy(scores, scorer), greedy(scores, scorer, bags=3, fraction=1.0)
    shares = {m: w / sum(once.weights) * 3 for m, w in zip(once.members, once.weights, strict=True)}
    assert dict(zip(bagged.members, bagged.weights, strict=True)) == pytest.approx(shares)


def test_differences_beyond_six_digits_decide_nothing() -> None:
    """Rounding noise in the last digits of a score must not let a copy in."""
    clips = frame(10)
    rng = np.random.default_rng(0)
    row = rng.normal(size=len(clips)) + 0.5 * (clips["label"] == "anomaly").to_numpy()
    found = greedy(np.stack([row, row * (1 + 1e-12)]), CellScorer(clips, None), size=10)
    assert found.members == (0,)
    assert found.weights == (1.0,)
