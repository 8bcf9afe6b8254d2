"""The simulation from which the least number of labelled clips comes."""

from __future__ import annotations

import numpy as np
import pytest

from asd_ray.tuning.objective import LEAST_LABELLED
from benchmarks.few_labels import main, row, true_values


def test_true_values_are_those_of_very_many_clips() -> None:
    from sklearn.metrics import roc_auc_score

    rng, distance = np.random.default_rng(0), 1.0
    label = np.repeat([0, 1], 100_000)
    scores = rng.normal(size=200_000) + distance * label
    auc, pauc = roc_auc_score(label, scores), roc_auc_score(label, scores, max_fpr=0.1)
    assert true_values(np.array([distance]))[0] == pytest.approx(2 * auc * pauc / (auc + pauc), abs=0.005)


def test_from_the_least_number_on_labels_choose_better_than_the_best_criterion() -> None:
    fewer, enough = (row(clips, draws=100, candidates=60) for clips in (LEAST_LABELLED - 2, LEAST_LABELLED + 1))
    assert fewer.by_criterion[0] < fewer.regret < fewer.chance
    assert enough.regret < min(enough.by_criterion)


def test_the_table_has_a_row_per_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", "2,3", "--draws", "3", "--candidates", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 2", "| 3"]
    assert len({line.count("|") for line in lines}) == 1
