"""Is the minimum or the mean of several candidates worth more? Print one row per range of the members' own values.

    python -m benchmarks.minimum_or_mean RUN[:MACHINE,MACHINE] … [--draws 1500]

An ensemble is 2 to 6 random candidates of a random machine, in deviations from their normal scores. Labels say what
each is worth. The last two columns are the share of ensembles whose minimum is worth more than their mean, and how much
more it is worth on average.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.standardise import Standardiser
from benchmarks.bench_criteria import candidates_of

SIZES = range(2, 7)
EDGES = (0.0, 0.45, 0.55, 0.65, 0.75, 1.0)  # of the members' mean value


def drawn(machines: Sequence[Candidates], draws: int) -> pd.DataFrame:
    """One row per random ensemble: the mean of its members' values, its value by mean and its value by minimum."""
    rng = np.random.default_rng(0)
    sets = [EvaluationSet.of(each, Standardiser()) for each in machines]
    alone = [each.scorer(each.scores) for each in sets]
    rows = []
    for _ in range(draws):
        machine = int(rng.integers(len(sets)))
        count = len(alone[machine])
        members = rng.choice(count, size=min(count, int(rng.choice(SIZES))), replace=False)
        scores = sets[machine].scores[members]
        both = sets[machine].scorer(np.stack([scores.mean(0), scores.min(0)]))
        rows.append((alone[machine][members].mean(), *both))
    return pd.DataFrame(rows, columns=["members", "mean", "minimum"])


def table(ensembles: pd.DataFrame) -> str:
    lines = ["| members are worth | ensembles | minimum is better in | minimum − mean |", "|---|---:|---:|---:|"]
    by_range = ensembles.groupby(pd.cut(ensembles["members"], EDGES), observed=True)
    for interval, own in by_range:
        gain = own["minimum"] - own["mean"]
        assert isinstance(interval, pd.Interval)
        cells = [f"{interval.left:.2f} to {interval.right:.2f}", str(len(own)), f"{(gain > 0).mean():.0%}"]
        lines.append(f"| {' | '.join(cells)} | {gain.mean():+.3f} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN[:MACHINE,…]")
    parser.add_argument("--draws", type=int, default=1500)
    args = parser.parse_args(argv)
    print(table(drawn([candidates for _, candidates in candidates_of(args.runs)], args.draws)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
