"""The value of scores on injected faults, against scikit-learn and on simulated detectors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from asd_ray.metrics.injected import fault_aucs, fault_kinds, fault_levels, fault_name, fault_values

KINDS = ("clicks", "hiss", "tone")
IDS = ("00", "02")


def clips(count: int) -> pd.DataFrame:
    names = [f"n{number:03d}.wav" for number in range(count)]
    return pd.DataFrame({"clip": names, "id": [IDS[number % 2] for number in range(count)]})


def faults_of(normal: pd.DataFrame, kinds: tuple[str, ...] = KINDS) -> pd.DataFrame:
    rows = [
        (fault_name(clip, kind, level), id)
        for kind in kinds
        for level in range(3)
        for clip, id in zip(normal["clip"], normal["id"], strict=True)
    ]
    return pd.DataFrame(rows, columns=["clip", "id"])


def test_a_name_says_kind_and_level() -> None:
    names = pd.Series([fault_name("a~b.wav", "tone", 2), fault_name("x.wav", "hiss", 0)])
    assert fault_kinds(names).tolist() == ["tone", "hiss"]
    assert fault_levels(names).tolist() == [2, 0]


def test_it_is_the_median_over_kinds_of_scikit_learns_numbers() -> None:
    draw = np.random.default_rng(0)
    normal = clips(20)
    faults = faults_of(normal)
    scores = draw.normal(size=(2, len(normal)))
    raised = draw.normal(size=(2, len(faults))) + np.outer([1.0, 0.5], np.arange(len(faults)) // 60)
    means, kinds = [], fault_kinds(faults["clip"])
    units = [np.array(scores), np.array(raised)]
    for id in IDS:
        own, other = (normal["id"] == id).to_numpy(), (faults["id"] == id).to_numpy()
        centre, scale = scores[:, own].mean(axis=1, keepdims=True), scores[:, own].std(axis=1, keepdims=True)
        units[0][:, own], units[1][:, other] = (scores[:, own] - centre) / scale, (raised[:, other] - centre) / scale
    aucs = fault_aucs(scores, normal, raised, faults)
    for kind in KINDS:
        here = kinds == kind
        label = np.repeat([0, 1], [len(normal), here.sum()])
        both = np.concatenate([units[0], units[1][:, here]], axis=1)
        auc = [roc_auc_score(label, row) for row in both]
        pauc = [roc_auc_score(label, row, max_fpr=0.1) for row in both]
        np.testing.assert_allclose(aucs[kind], auc)
        means.append([2 / (1 / one + 1 / other) for one, other in zip(auc, pauc, strict=True)])
    np.testing.assert_allclose(fault_values(scores, normal, raised, faults), np.median(means, axis=0))


def test_one_kind_that_misleads_does_not_decide() -> None:
    draw = np.random.default_rng(1)
    quality = np.linspace(0, 2, 10)
    normal = clips(40)
    faults = faults_of(normal, ("a", "b", "c", "d", "misleading"))
    sign = np.where(fault_kinds(faults["clip"]) == "misleading", -4.0, 1.0)
    scores = draw.normal(size=(10, len(normal)))
    raised = np.outer(quality, sign) + draw.normal(size=(10, len(faults)))
    values = fault_values(scores, normal, raised, faults)
    assert pd.Series(values).corr(pd.Series(quality), method="spearman") > 0.9


@pytest.mark.parametrize("count", [1, 3, 30])
def test_values_are_between_0_and_1_also_for_constant_scores_and_few_clips(count: int) -> None:
    normal = clips(count)
    faults = faults_of(normal)
    scores, raised = np.zeros((2, count)), np.zeros((2, len(faults)))
    raised[1] = 1.0
    constant, perfect = fault_values(scores, normal, raised, faults)
    assert constant == pytest.approx(0.5)
    assert perfect == pytest.approx(1.0)
