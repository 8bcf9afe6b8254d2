from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from asd_ray.ensembling.bootstrap import cautious_interval, draws_of, interval, resampled, unrecorded_draws
from asd_ray.ensembling.cell_scorer import CellScorer, strata_of


def frame(per: int) -> pd.DataFrame:
    rows = [
        (each, domain, label)
        for each in ("00", "02")
        for domain in ("source", "target")
        for label in ("normal", "anomaly")
        for _ in range(per)
    ]
    return pd.DataFrame(rows, columns=["id", "domain", "label"])


@pytest.fixture
def scorer() -> CellScorer:
    return CellScorer(frame(12), 2022)


def test_clips_are_drawn_again_within_their_id_domain_and_label(scorer: CellScorer) -> None:
    at = draws_of(scorer, 50, 0)
    for rows in strata_of(scorer.clips).values():
        assert set(at[:, rows].ravel().tolist()) == set(rows.tolist())
    assert len({tuple(draw) for draw in at.tolist()}) == 50


def test_equal_seeds_draw_equal_clips_so_that_differences_are_paired(scorer: CellScorer) -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1, len(scorer.clips))) + (scorer.clips["label"] == "anomaly").to_numpy()
    other = one + rng.normal(0, 0.05, one.shape)  # nearly the same ensemble
    first, second = (resampled(each, scorer, draws=200, seed=1) for each in (one, other))
    np.testing.assert_array_equal(first, resampled(one, scorer, draws=200, seed=1))
    unpaired = resampled(other, scorer, draws=200, seed=2)
    assert (first - second).std() < 0.3 * (first - unpaired).std()


def test_repeats_are_drawn_alike_and_averaged(scorer: CellScorer) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, len(scorer.clips)))
    each = [resampled(row[None], scorer, draws=20, seed=5) for row in rows]
    np.testing.assert_allclose(resampled(rows, scorer, draws=20, seed=5), np.mean(each, axis=0))


def test_the_interval_holds_its_share_of_the_draws() -> None:
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))
    assert interval(np.arange(1001.0), 0.5) == pytest.approx((250, 750))


@pytest.mark.parametrize("maximise", ["auc", "hmean"])
def test_intervals_of_simulated_detectors_cover_the_truth(maximise: str) -> None:
    """100 test sets of a detector whose value on any number of clips is known from very many clips."""
    shift, sets, per = 1.0, 100, 30
    rng = np.random.default_rng(0)

    def drawn(clips: pd.DataFrame) -> np.ndarray:
        return rng.normal(size=len(clips)) + shift * (clips["label"] == "anomaly").to_numpy()

    many = frame(20_000)
    truth = float(CellScorer(many, 2022, maximise)(drawn(many)[None])[0])
    scorer = CellScorer(frame(per), 2022, maximise)
    spans = [interval(resampled(drawn(scorer.clips)[None], scorer, draws=300, seed=each)) for each in range(sets)]
    covered = sum(low <= truth <= high for low, high in spans)
    width = np.mean([high - low for low, high in spans])
    assert 88 <= covered <= 99, f"{covered} of {sets} intervals (mean width {width:.3f}) hold the truth {truth:.4f}"


def test_paired_intervals_of_a_gain_cover_the_truth() -> None:
    """The gain of the mean of two detectors over the better one, each set of clips new."""
    sets, rng = 100, np.random.default_rng(1)

    def gain_of(clips: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        anomalous = (clips["label"] == "anomaly").to_numpy()
        one, other = (rng.normal(size=len(clips)) + shift * anomalous for shift in (1.0, 0.8))
        return (one + other)[None], one[None]

    many = frame(20_000)
    truth = float(np.subtract(*(CellScorer(many, 2022)(each)[0] for each in gain_of(many))))
    scorer, covered = CellScorer(frame(30), 2022), 0
    for each in range(sets):
        together, alone = (resampled(scores, scorer, draws=300, seed=each) for scores in gain_of(scorer.clips))
        low, high = interval(together - alone)
        covered += low <= truth <= high
    assert 88 <= covered <= 99, f"{covered} of {sets} intervals hold the true gain {truth:.4f}"


def covered(maximise: str, accuracy: float, normals: int, anomalies: int, sets: int = 60) -> tuple[float, float]:
    """The share of simulated machines whose true value plain percentiles hold, and the share of `cautious_interval`."""
    rng, shift = np.random.default_rng(0), 2**0.5 * float(ndtri(accuracy))

    def clips(many_normals: int, many_anomalies: int) -> pd.DataFrame:
        labels = ["normal"] * many_normals + ["anomaly"] * many_anomalies
        return pd.DataFrame({"id": "00", "domain": "", "label": labels})

    def drawn(table: pd.DataFrame) -> np.ndarray:
        return rng.normal(size=len(table)) + shift * (table["label"] == "anomaly").to_numpy()

    many = clips(40_000, 40_000)
    truth = float(CellScorer(many, None, maximise)(drawn(many)[None])[0])
    scorer, holds = CellScorer(clips(normals, anomalies), None, maximise), []
    for seed in range(sets):
        scores = drawn(scorer.clips)[None]
        value = float(scorer(scores)[0])
        plain = interval(resampled(scores, scorer, draws=100, seed=seed))
        cautious = cautious_interval(scores, value, scorer, draws=100, seed=seed)
        assert cautious[0] <= value <= cautious[1]
        holds.append([low <= truth <= high for low, high in (plain, cautious)])
    plain_share, cautious_share = np.mean(holds, axis=0).tolist()
    return plain_share, cautious_share


@pytest.mark.parametrize(("accuracy", "anomalies"), [(0.9, 5), (0.97, 10), (0.97, 50)])
def test_cautious_intervals_cover_the_truth_where_clips_are_few(accuracy: float, anomalies: int) -> None:
    plain, cautious = covered("hmean", accuracy, 20, anomalies)
    assert plain < 0.93  # percentiles of plain draws do not
    assert cautious >= 0.94


def test_cautious_intervals_are_not_wasteful_where_clips_are_many(scorer: CellScorer) -> None:
    rng = np.random.default_rng(0)
    many = CellScorer(frame(100), 2022)
    scores = (rng.normal(size=len(many.clips)) + (many.clips["label"] == "anomaly").to_numpy())[None]
    low, high = interval(resampled(scores, many, draws=300))
    wary_low, wary_high = cautious_interval(scores, float(many(scores)[0]), many, draws=300)
    assert wary_high - wary_low < 1.3 * (high - low)


@pytest.mark.parametrize(("normals", "anomalies", "most"), [(20, 5, 0.85), (20, 50, 0.9), (200, 200, 0.99)])
def test_perfect_separation_has_an_interval_that_depends_on_the_number_of_clips(
    normals: int, anomalies: int, most: float
) -> None:
    labels = ["normal"] * normals + ["anomaly"] * anomalies
    scorer = CellScorer(pd.DataFrame({"id": "00", "domain": "", "label": labels}), None)
    scores = np.repeat([0.0, 9.0], [normals, anomalies])[None] + np.random.default_rng(0).normal(size=len(labels))
    assert interval(resampled(scores, scorer, draws=100)) == (1, 1)
    low, high = cautious_interval(scores, 1.0, scorer, draws=300)
    assert 0.6 < low < most
    assert high == 1


def test_unrecorded_clips_have_the_id_and_the_domain_of_those_in_whose_place_they_stand(scorer: CellScorer) -> None:
    at = unrecorded_draws(scorer, 400, 0)
    clips = scorer.clips
    swapped = clips["label"].to_numpy()[at] != clips["label"].to_numpy()
    assert (clips["id"].to_numpy()[at] == clips["id"].to_numpy()).all()
    assert (clips["domain"].to_numpy()[at] == clips["domain"].to_numpy()).all()
    assert swapped.mean() == pytest.approx(0.5 / 12.5, abs=0.005)
