"""What `asd-ray ensemble` prints about detectors that hear nothing: one row per number of candidates.

    python benchmarks/chance.py FOLDER [--candidates 3,30,300] [--seeds 5]

Each candidate is a trial whose scores are random numbers, so the true AUC of each, and of every ensemble of them, is
0.5. Half of the labelled clips, 96 of 192, are stored as unseen. The ensembles are chosen as for any other run. A row
has the final ensemble's value under each protocol, as the mean over the seeds, and the value of the best single
detector on the clips that chose it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from asd_ray import Run
from asd_ray.ledger import Ledger, TrialRecord, long_scores, trial_hash

PROTOCOLS = ("oracle", "crossval", "nested", "unseen")


def clips() -> pd.DataFrame:
    """192 labelled clips of one machine, half of them unseen, and 48 normal clips that were held out of training."""
    labels = ["normal", "anomaly"]
    rows = [(f"{split}_{n:04d}", split, labels[n % 2]) for split in ("test", "unseen") for n in range(96)]
    rows += [(f"held_out_{n:04d}", "held_out", "normal") for n in range(48)]
    return pd.DataFrame(rows, columns=["clip", "split", "label"]).assign(id="00", domain="source")


def put_random_trials(run: Path, count: int, seed: int) -> None:
    """A ledger of complete trials of one family with random scores."""
    ledger, table, rng = Ledger(run), clips(), np.random.default_rng(seed)
    for number in range(count):
        record = TrialRecord(
            trial=trial_hash(number=number, seed=seed),
            name=f"fan-random-{number:04d}",
            machine="fan",
            family="random",
            params={"number": number},
            objective=0.5,
            variant="score",
            data_fingerprint="random",
            extra={"year": 2020},
        )
        ledger.commit(record, long_scores(table, {"score": rng.normal(size=len(table))}))


def numbers_of(run: Path) -> dict[str, float]:
    """The final ensemble's value under each protocol, and the best single detector on the clips that chose it."""
    final = Run(run).ensemble("fan")
    values = {name: final.metrics[name].value for name in PROTOCOLS}
    return {"best single": final.metrics["oracle"].single.value, **values}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--candidates", default="3,30,300")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args(argv)
    table = {}
    for count in map(int, args.candidates.split(",")):
        rows = []
        for seed in range(args.seeds):
            run = args.folder / f"random-{count}-{seed}"
            put_random_trials(run, count, seed)
            rows.append(numbers_of(run))
        table[count] = pd.DataFrame(rows).mean()
        print(count, table[count].round(3).to_dict(), flush=True)
    print(pd.DataFrame(table).T.rename_axis("candidates").round(3).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
