import numpy as np
import pandas as pd
import pytest
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from asd_ray.errors import AsdRayError
from asd_ray.metrics import cells_batch, objective, official_score

YEARS = (2020, 2021, 2022, 2023, 2024, 2025)


def clips_of(year: int | None, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (id, domain, label)
        for id in ("00", "01")
        for domain in ("source", "target")
        for label in (0, 1)
        for _ in range(rng.integers(11, 40))
    ]
    clips = pd.DataFrame(rows, columns=["id", "domain", "label"]).sample(frac=1, random_state=seed, ignore_index=True)
    return clips.assign(domain="") if year in (None, 2020) else clips


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("decimals", [1, 9])
def test_cells_equal_the_official_ones_candidate_by_candidate(year, decimals):
    clips = clips_of(year)
    scores = (np.random.default_rng(1).normal(size=(5, len(clips))) + clips["label"].to_numpy()).round(decimals)
    names, cells = cells_batch(clips, scores, year)
    for row, ours in zip(scores, cells, strict=True):
        table = clips.assign(machine="fan", clip=[f"{n}.wav" for n in range(len(clips))], score=row)
        machine = official_score(table, year).machines["fan"]
        units = machine["ids" if year == 2020 else "sections"]
        for name, value in zip(names, ours, strict=True):
            id, key = name.split("/")
            assert value == pytest.approx(units[id][key], abs=1e-12), name
    assert len(names) == {2020: 4, 2021: 8}.get(year, 6)


def test_auc_of_a_domain_is_its_normals_against_all_anomalies_of_the_section():
    clips = clips_of(2023)
    scores = np.random.default_rng(2).normal(size=(1, len(clips)))
    names, cells = cells_batch(clips, scores, 2023)
    mine = (clips["id"] == "01") & ((clips["domain"] == "target") | (clips["label"] == 1))
    expected = roc_auc_score(clips["label"][mine], scores[0][mine])
    assert cells[0, names.index("01/auc_target")] == pytest.approx(expected, abs=1e-12)


def test_objective_is_the_harmonic_mean_of_the_cells():
    clips = clips_of(2021)
    scores = np.random.default_rng(3).normal(size=(7, len(clips)))
    _, cells = cells_batch(clips, scores, 2021)
    np.testing.assert_allclose(objective(clips, scores, 2021), hmean(cells, axis=1), rtol=0, atol=1e-12)


def test_machines_of_no_year_are_scored_by_id():
    clips = clips_of(None).assign(label=lambda table: table["label"].map({0: "normal", 1: "anomaly"}))
    scores = np.random.default_rng(4).normal(size=(2, len(clips)))
    assert cells_batch(clips, scores, None)[0] == ["00/auc", "00/pauc", "01/auc", "01/pauc"]


@pytest.mark.parametrize(
    ("year", "keep", "message"),
    [
        (2023, "domain != 'target' or label == 1", "00/auc_target has no normal clip"),
        (2021, "domain != 'source' or label == 0", "00/auc_source has no anomalous clip"),
        (2020, "label == 0", "00/auc has no anomalous clip"),
        (2020, "label > 1", "no clips"),
    ],
)
def test_cell_that_cannot_be_scored_is_named(year, keep, message):
    clips = clips_of(2021).query(keep)
    with pytest.raises(AsdRayError, match=message):
        cells_batch(clips, np.zeros((1, len(clips))), year)


@pytest.mark.parametrize("year", [2021, 2023])
def test_clip_of_no_domain_is_an_error_where_the_year_has_domains(year):
    clips = clips_of(year)
    clips.loc[0, "domain"] = ""
    with pytest.raises(AsdRayError, match=f"{year} knows the domains source and target but a clip has ''"):
        cells_batch(clips, np.zeros((1, len(clips))), year)


def test_scores_must_fit_the_clips():
    with pytest.raises(AsdRayError, match="clips but have the shape"):
        cells_batch(clips_of(2020), np.zeros((1, 3)), 2020)
