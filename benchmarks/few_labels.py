"""From how many labelled clips on is a choice by labels better than one by a criterion? Print one row per count.

    python benchmarks/few_labels.py [--clips 2,3,4,5,6,8,12] [--draws 250] [--candidates 60]

Candidates have scores of normal distributions, which differ in how far anomalies lie above normal clips. Half of the
variance of a clip's score is the same for all candidates, as with real detectors. Labels choose the candidate with the
highest harmonic mean of AUC and pAUC on so many clips of each label; ties are averaged. A criterion is a ranking whose
Spearman correlation with the true values is that of docs/criteria.md: 0.40 for `injected_faults`, 0.55 for the best.
Regret is how far the true value of the choice lies below the best one; its standard error is in brackets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata, spearmanr

from asd_ray.metrics import MAX_FPR, auc_batch, hmean, pauc_batch

CRITERIA = (0.40, 0.55)  # Spearman's correlation
RANKINGS = 20  # by a criterion, of each draw
Floats = npt.NDArray[np.float64]


class Row(NamedTuple):
    clips: int  # of each label
    correlation: float  # Spearman's, of the values by labels with the true ones
    error: float  # standard error of a value by labels
    regret: float
    regret_error: float
    by_criterion: tuple[float, ...]  # the regret of each of CRITERIA
    chance: float


def true_values(distances: Floats) -> Floats:
    """The harmonic mean of AUC and pAUC over infinitely many clips."""
    rates = (np.arange(500) + 0.5) / 500 * MAX_FPR
    found = norm.cdf(distances[:, None] + norm.ppf(rates)).mean(axis=1)
    pauc = 0.5 * (1 + (found - MAX_FPR / 2) / (1 - MAX_FPR / 2))  # McClish's standardisation
    return np.asarray(hmean(np.stack([norm.cdf(distances / np.sqrt(2)), pauc], axis=1), axis=1))


def row(clips: int, draws: int, candidates: int) -> Row:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], clips)
    found = []
    for _ in range(draws):
        distances = rng.gamma(1.2, 0.6, candidates)
        truth = true_values(distances)
        noise = rng.normal(size=2 * clips) + rng.normal(size=(candidates, 2 * clips))
        scores = noise / np.sqrt(2) + distances[:, None] * label
        values = hmean(np.stack([auc_batch(label, scores), pauc_batch(label, scores)], axis=1), axis=1)
        own = [spearmanr(values, truth).statistic, (values - truth).std(), truth[values == values.max()].mean()]
        places = norm.ppf((rankdata(truth) - 0.5) / candidates)
        for spearman in CRITERIA:
            r = 2 * np.sin(np.pi * spearman / 6)  # Pearson's, of two normal distributions
            rankings = r * places + np.sqrt(1 - r**2) * rng.normal(size=(RANKINGS, candidates))
            own.append(truth[rankings.argmax(axis=1)].mean())
        found.append([*own[:2], *(truth.max() - own[2:]), truth.max() - truth.mean()])
    means, spread = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(draws)
    return Row(clips, means[0], means[1], means[2], spread[2], tuple(means[3:-1]), means[-1])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", default="2,3,4,5,6,8,12", metavar="N,N", help="of each label")
    parser.add_argument("--draws", type=int, default=250)
    parser.add_argument("--candidates", type=int, default=60)
    args = parser.parse_args(argv)
    heads = [f"regret of a criterion ({spearman:.2f})" for spearman in CRITERIA]
    print(
        "| clips of each label | Spearman | standard error | regret of labels |", " | ".join([*heads, "of chance"]), "|"
    )
    print("|---" * (5 + len(CRITERIA)) + "|")
    for clips in args.clips.split(","):
        own = row(int(clips), args.draws, args.candidates)
        others = " | ".join(f"{value:.3f}" for value in (*own.by_criterion, own.chance))
        labels = f"{own.regret:.3f} ({own.regret_error:.3f})"
        print(f"| {own.clips} | {own.correlation:.2f} | {own.error:.3f} | {labels} | {others} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
