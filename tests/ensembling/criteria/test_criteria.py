"""Every criterion ranks simulated candidates by their true quality, and says where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling import criteria
from asd_ray.ensembling.criteria import CRITERIA, Evidence
from asd_ray.errors import AsdRayError
from asd_ray.metrics.injected import crop_name, fault_levels
from tests.ensembling.criteria.conftest import QUALITY, hide_labels, rank_correlation, simulate

Make = Callable[..., Evidence]
LEAST = {  # rank correlation with the true quality that a criterion must reach
    "injected_faults": 0.9,
    "fault_levels": 0.85,
    "consensus": 0.9,
    "fault_consensus": 0.9,
    "centrality": 0.85,
    "borda": 0.9,
}


def with_two_seeds(evidence: Evidence) -> Evidence:
    """Two candidates in a row have the same settings; what a good one hears is the same for both seeds."""
    pairs = np.arange(len(evidence)) // 2
    params = [{"lr": float(pair)} for pair in pairs]
    table = evidence.table.assign(family="idnn", params=params)
    heard = np.random.default_rng(5).normal(size=(len(evidence), evidence.faults.shape[1]))[pairs]
    quality = np.array(QUALITY)[2 * pairs][:, None]
    return replace(evidence, table=table, faults=evidence.faults + quality * heard)


@pytest.mark.parametrize("name", LEAST)
def test_it_ranks_candidates_by_their_quality(name: str, evidence_of: Make) -> None:
    criterion = criteria.find(name)
    reached = []
    for seed in range(3):
        evidence = evidence_of(seed=seed)
        assert criteria.reason_against(criterion, evidence) == ""
        reached.append(rank_correlation(criterion.values(evidence), QUALITY))
    assert np.mean(reached) > LEAST[name]


def test_stability_ranks_settings_by_how_alike_their_seeds_are(evidence_of: Make) -> None:
    criterion = criteria.find("stability")
    evidence = with_two_seeds(evidence_of())
    assert criteria.reason_against(criterion, evidence) == ""
    values = criterion.values(evidence)
    np.testing.assert_allclose(values[::2], values[1::2])
    assert rank_correlation(values[::2], QUALITY[::2]) > 0.8


def with_crops(evidence: Evidence, clips: int = 30) -> Evidence:
    """Halves of clips, in a mixed order. What a good candidate hears is the same in both halves of a clip."""
    draw = np.random.default_rng(6)
    names = [crop_name(f"{clip:02d}.wav", half) for clip in range(clips) for half in (0, 1)]
    frame = pd.DataFrame(
        {"clip": names, "id": [f"{clip % 2:02d}" for clip in range(clips) for _ in (0, 1)], "domain": ""}
    )
    heard = np.repeat(draw.normal(size=(len(evidence), clips)), 2, axis=1)
    scores = np.array(QUALITY)[:, None] * heard + draw.normal(size=heard.shape)
    order = draw.permutation(len(frame))
    return replace(evidence, crops=scores[:, order], crop_clips=frame.iloc[order])


def test_crop_stability_ranks_candidates_by_how_alike_both_halves_are(evidence_of: Make) -> None:
    criterion = criteria.find("crop_stability")
    assert "halves" in criterion.reason_against(evidence_of())
    evidence = with_crops(evidence_of())
    assert criteria.reason_against(criterion, evidence) == ""
    values = criterion.values(evidence)
    assert rank_correlation(values, QUALITY) > 0.8
    assert values[-1] > 0.6
    lacking = evidence.crops.copy()
    lacking[3] = np.nan
    assert np.flatnonzero(np.isnan(criterion.values(replace(evidence, crops=lacking)))).tolist() == [3]
    assert "4 clips or more, and there are 3" in criterion.reason_against(with_crops(evidence_of(), 3))


def test_every_criterion_was_measured_here() -> None:
    assert {criterion.name for criterion in CRITERIA} == {*LEAST, "stability", "crop_stability"}
    assert all(criterion.sentence for criterion in CRITERIA)
    page = (Path(__file__).parents[3] / "docs/criteria.md").read_text()
    assert all(f"| `{criterion.name}` |" in page for criterion in CRITERIA)
    assert {c.name for c in CRITERIA if c.transductive} == {"consensus", "fault_consensus", "borda"}


@pytest.mark.parametrize("name", ["consensus", "fault_consensus", "centrality", "injected_faults", "fault_levels"])
def test_a_candidate_that_is_upside_down_comes_last(name: str, evidence_of: Make) -> None:
    evidence = evidence_of()
    sign = np.where(np.arange(len(evidence)) == len(evidence) - 1, -1.0, 1.0)[:, None]
    turned = replace(
        evidence,
        normal=sign * evidence.normal,
        faults=sign * evidence.faults,
        unlabelled=sign * evidence.unlabelled,
    )
    assert np.argmin(criteria.find(name).values(turned)) == len(evidence) - 1


def test_a_majority_that_hears_nothing_forms_the_consensus_but_not_that_of_faults() -> None:
    candidates = simulate([0.0] * 9 + [1.5, 1.8, 2.0, 1.2])
    copied = candidates.scores.copy()
    copied[:9] = copied[0] + 0.1 * copied[:9]
    evidence = Evidence.of(replace(candidates, scores=copied))
    fooled, wise = (criteria.find(name).values(evidence) for name in ("consensus", "fault_consensus"))
    assert fooled[:9].min() > fooled[9:].max()
    assert wise[:9].max() < wise[9:].min()


def test_labels_cannot_be_read(evidence_of: Make) -> None:
    candidates = simulate()
    hidden = hide_labels(candidates)
    with pytest.raises(AssertionError, match="a label was read"):
        _ = hidden.labelled
    shown, unseen = Evidence.of(candidates), Evidence.of(hidden)
    for table in (unseen.normal_clips, unseen.fault_clips, unseen.unlabelled_clips):
        assert [*table.columns] == ["clip", "id", "domain"]
    for criterion in CRITERIA:
        if not criteria.reason_against(criterion, unseen):
            np.testing.assert_array_equal(criterion.values(unseen), criterion.values(shown))


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("injected_faults", {"kinds": ()}, "no candidate was scored on injected faults"),
        ("fault_levels", {"kinds": ()}, "no candidate was scored on injected faults"),
        ("consensus", {"per": 0}, "it compares scores of test clips, and there are none"),
        ("fault_consensus", {"per": 0}, "it compares scores of test clips, and there are none"),
        ("fault_consensus", {"kinds": ()}, "no candidate was scored on injected faults"),
        ("consensus", {"quality": (1.0, 0.0)}, "it needs 3 candidates or more to agree"),
        ("centrality", {"quality": (1.0, 0.0)}, "it needs 3 candidates or more to agree"),
        ("stability", {}, "no settings were tried with two seeds"),
    ],
)
def test_it_says_why_it_cannot_be_used(name: str, options: dict[str, object], reason: str, evidence_of: Make) -> None:
    assert reason in criteria.reason_against(criteria.find(name), evidence_of(**options))


def test_where_other_clips_standardise_there_are_no_held_out_clips() -> None:
    evidence = Evidence.of(replace(simulate(), by="train"))
    assert "held-out normal clips" in criteria.reason_against(criteria.find("injected_faults"), evidence)


@pytest.mark.parametrize("ids", [("00",), ("00", "02", "04")])
def test_one_id_or_several(ids: tuple[str, ...], evidence_of: Make) -> None:
    evidence = evidence_of(ids=ids)
    for name in LEAST:
        assert rank_correlation(criteria.find(name).values(evidence), QUALITY) > 0.6


def test_one_candidate_can_be_judged_by_faults(evidence_of: Make) -> None:
    evidence = evidence_of(quality=(1.0,))
    for name in ("injected_faults", "fault_levels", "borda"):
        assert criteria.reason_against(criteria.find(name), evidence) == ""
        assert np.isfinite(criteria.find(name).values(evidence)).all()


@pytest.mark.parametrize("name", LEAST)
def test_constant_scores_are_judged_without_a_warning(name: str, evidence_of: Make) -> None:
    evidence = evidence_of()
    for scores in (evidence.normal, evidence.faults, evidence.unlabelled):
        scores[:4] = 1.0
    values = criteria.find(name).values(evidence)
    assert np.isfinite(values).all()
    assert values[:4].max() < values[-1]


def test_a_criterion_that_saturates_is_not_used(evidence_of: Make) -> None:
    faults = criteria.find("injected_faults")
    plain = evidence_of(quality=[50.0] * 12)
    assert criteria.reason_against(faults, plain).startswith("it saturates: 100% of the candidates are above 0.99")
    deaf = evidence_of()
    deaf.normal[:], deaf.faults[:] = deaf.normal[0], deaf.faults[0]
    assert criteria.reason_against(faults, deaf).startswith("it saturates: 90% of the candidates lie within 0.005")


def test_borda_leaves_out_what_saturates_and_needs_one_that_does_not(evidence_of: Make) -> None:
    borda, faults = criteria.find("borda"), criteria.find("injected_faults")
    evidence = evidence_of()
    evidence.normal[:] -= 50.0  # every fault is found by all
    assert criteria.reason_against(faults, evidence).startswith("it saturates")
    names = ("fault_levels", "fault_consensus")
    both = [criteria.find(name).values(evidence).argsort().argsort() / 11 for name in names]
    np.testing.assert_allclose(borda.values(evidence), np.mean(both, axis=0))
    assert borda.reason_against(evidence_of(kinds=())).startswith("none of injected_faults, fault_levels, ")


@pytest.mark.parametrize("best", [0, 1])
def test_where_two_criteria_of_borda_contradict_each_other_the_faults_decide(best: int, evidence_of: Make) -> None:
    """Of two candidates, which the third criterion cannot compare. Without this, neither could be chosen."""
    evidence = evidence_of(quality=(1.0, 1.0))
    strength = fault_levels(evidence.fault_clips["clip"])
    evidence.faults[best] = evidence.normal[best].max() + 9.0 - strength  # finds all, and the strongest least
    evidence.faults[1 - best] = strength  # finds some
    faults, levels = (criteria.find(name) for name in ("injected_faults", "fault_levels"))
    assert criteria.find("fault_consensus").reason_against(evidence)
    assert (np.argmax(faults.values(evidence)), np.argmax(levels.values(evidence))) == (best, 1 - best)
    borda = criteria.find("borda")
    assert criteria.reason_against(borda, evidence) == ""
    assert np.argmax(borda.values(evidence)) == best


def test_a_candidate_of_an_earlier_version_has_no_value() -> None:
    candidates = simulate()
    assert candidates.faults is not None
    faults = candidates.faults.scores.copy()
    faults[3] = np.nan
    evidence = Evidence.of(replace(candidates, faults=replace(candidates.faults, scores=faults)))
    assert np.isfinite(evidence.faults).all()
    for name in ("injected_faults", "fault_levels", "centrality"):
        values = criteria.find(name).values(evidence)
        assert np.flatnonzero(np.isnan(values)).tolist() == [3]
        assert rank_correlation(np.delete(values, 3), np.delete(np.array(QUALITY), 3)) > 0.8
    assert np.isfinite(criteria.find("borda").values(evidence)).all()  # by the consensus of the others


def test_an_unknown_criterion_is_named() -> None:
    with pytest.raises(AsdRayError, match="unknown criterion 'consensu'; did you mean 'consensus'"):
        criteria.find("consensu")


def test_a_single_clip_of_an_id_says_nothing_about_stability(evidence_of: Make) -> None:
    """Its rank would be 0 in both halves, and look like agreement."""
    evidence = with_crops(evidence_of())
    ids = np.where(evidence.crop_clips["clip"].str.startswith("00"), "alone", "others")
    deaf = np.repeat(evidence.crops[:1, :1], evidence.crops.shape[1], axis=1)
    scores = np.concatenate([deaf, evidence.crops[1:]])
    lonely = replace(evidence, crops=scores, crop_clips=evidence.crop_clips.assign(id=ids))
    assert criteria.find("crop_stability").values(lonely)[0] == 0
