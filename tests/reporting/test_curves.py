from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from asd_ray.reporting.curves import corners, histograms, roc_curves


def frame(count: int = 60, ids: tuple[str, ...] = ("00", "01")) -> pd.DataFrame:
    at = np.arange(count)
    return pd.DataFrame(
        {
            "clip": [f"{each:04d}.wav" for each in at],
            "id": [ids[each % len(ids)] for each in at],
            "domain": ["source" if each % 3 else "target" for each in at],
            "label": ["anomaly" if each // 5 % 2 else "normal" for each in at],
        }
    )


@pytest.mark.parametrize("digits", [0, 1, 8])  # many ties, some, none
def test_corners_are_those_of_scikit_learn(digits: int) -> None:
    draw = np.random.default_rng(digits)
    anomaly = draw.random(200) < 0.4
    scores = (draw.normal(size=200) + anomaly).round(digits)
    x, y = corners(anomaly, scores)
    theirs = roc_curve(anomaly, scores, drop_intermediate=False)
    assert set(zip(x, y, strict=True)) <= set(zip(theirs[0].tolist(), theirs[1].tolist(), strict=True))
    area = np.trapezoid(y, x)
    assert area == pytest.approx(np.trapezoid(theirs[1], theirs[0]), abs=1e-12)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)


def test_a_curve_keeps_only_its_corners() -> None:
    x, y = corners(np.array([True] * 3 + [False] * 4), np.arange(7.0)[::-1])
    assert (x, y) == ([0, 0, 1], [0, 1, 1])


def test_each_id_has_a_curve_with_its_own_numbers() -> None:
    clips = frame()
    anomaly = (clips["label"] == "anomaly").to_numpy()
    scores = np.where(clips["id"] == "00", 5.0, -5.0) + anomaly * np.where(clips["id"] == "00", 1, -1)
    one, other = roc_curves(clips, scores)
    assert (one["id"], one["auc"], one["pauc"]) == ("00", 1.0, 1.0)
    assert (other["id"], other["auc"]) == ("01", 0.0)


def test_histograms_are_shares_of_each_label_by_id_and_domain() -> None:
    clips, scores = frame(), np.random.default_rng(0).normal(size=60)
    result = histograms(clips, scores, 9.0)
    assert [(each["id"], each["domain"]) for each in result["panels"]] == [
        ("00", "source"),
        ("00", "target"),
        ("01", "source"),
        ("01", "target"),
    ]
    assert result["edges"][0] < scores.min() + 1
    assert result["edges"][-1] > 9.0  # the threshold is on the axis
    for panel in result["panels"]:
        assert set(panel["labels"]) == {"normal", "anomaly"}
        for part in panel["labels"].values():
            assert sum(part["shares"]) + part["below"] + part["above"] == pytest.approx(1, abs=1e-3)
    assert sum(part["clips"] for panel in result["panels"] for part in panel["labels"].values()) == 60


def test_scores_far_out_do_not_squeeze_the_axis() -> None:
    scores = np.r_[np.random.default_rng(0).normal(size=599), 1e9]
    result = histograms(frame(600), scores, 0.0)
    assert result["edges"][-1] < 100
    assert sum(part["clips"] for panel in result["panels"] for part in panel["labels"].values()) == 600


def test_normal_clips_are_spread_over_several_bars_where_anomalies_score_far_higher() -> None:
    clips = frame(400)
    anomaly = (clips["label"] == "anomaly").to_numpy()
    draw = np.random.default_rng(0)
    scores = np.where(anomaly, draw.normal(80, 30, 400), draw.normal(size=400))
    result = histograms(clips, scores, 1.3)
    for panel in result["panels"]:
        normal, loud = panel["labels"]["normal"], panel["labels"]["anomaly"]
        assert sum(share > 0 for share in normal["shares"]) >= 6
        assert loud["above"] > 0.9
        assert normal["above"] < 0.1
    assert result["beyond"]["above"]


def test_equal_scores_have_an_axis_too() -> None:
    result = histograms(frame(), np.full(60, 2.0), 2.0)
    assert result["edges"][0] < 2 < result["edges"][-1]
