"""How much do a search and the choice of an ensemble flatter their own numbers? Print one row per machine and seed.

    python benchmarks/flattery.py FOLDER [--families twfr_gmm] [--machines fan,pump] [--trials 20] [--seeds 3]

Half of the labelled test clips of the demo set are set aside (`--keep-unseen 0.5`). The search and the ensembles use
the labels of the other half. Then everything is done again with the halves exchanged, because the halves differ by
chance more than a choice flatters; a row is the mean of both. It has the final ensemble's value under each protocol,
and the best single detector's value on the clips that chose it and on the unseen ones. The last rows are the means, and
how far each lies above the unseen number, with the standard error over machines and seeds. Trials are stored in FOLDER,
so the same command resumes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pandas as pd

from asd_ray import Dataset, Ensemble, Run
from asd_ray.clips import hold_out
from asd_ray.clips.demo import MACHINES, make_demo
from asd_ray.tuning import data as tuning_data

PROTOCOLS = ("oracle", "crossval", "nested", "unseen")


@contextmanager
def halves(exchanged: bool) -> Iterator[None]:
    """Searches within set the other half of the clips aside. For searches in this process only."""
    apart = hold_out.set_unseen_apart
    own = (lambda test, share: apart(test, share)[::-1]) if exchanged else apart
    with mock.patch.object(tuning_data, "set_unseen_apart", own):
        yield


def numbers_of(final: Ensemble) -> dict[str, float]:
    """The value of the final ensemble under each protocol, and those of the best single detector."""
    values = {name: metric.value for name in PROTOCOLS if (metric := final.metrics.get(name))}
    for name in ("oracle", "unseen"):
        if metric := final.metrics.get(name):
            values[f"single {name}"] = metric.single.value
    return values


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The means, and how far each number lies above that of the unseen clips, with its standard error."""
    above = table.sub(table["unseen"], axis=0)
    for name in table.columns:
        if name.startswith("single"):
            above[name] = table[name] - table["single unseen"]
    rows = {"mean": table.mean(), "above unseen": above.mean(), "standard error": above.sem()}
    return pd.DataFrame(rows).T


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--families", default="twfr_gmm")
    parser.add_argument("--machines", default=",".join(MACHINES))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", default="small")
    args = parser.parse_args(argv)
    machines = args.machines.split(",")
    demo = make_demo(args.folder / f"demo-{args.size}", size=args.size, machines=machines, grow=True)
    data = Dataset(demo, cache=args.folder / "cache")
    rows = {}
    for seed in range(args.seeds):
        for exchanged in (False, True):
            run = Run(args.folder / f"run-{args.size}-{seed}{'-exchanged' * exchanged}")
            families = args.families.split(",")
            options = {"families": families, "trials": args.trials, "epochs_cap": args.epochs, "seed": seed}
            with halves(exchanged):
                run.search(data, machines, serial=True, quiet=True, keep_unseen=0.5, keep_states="none", **options)
            for machine in machines:
                own = rows[machine, seed, exchanged] = numbers_of(run.ensemble(machine))
                print(machine, seed, exchanged, {name: round(value, 4) for name, value in own.items()}, flush=True)
    table = pd.DataFrame(rows).T.rename_axis(["machine", "seed", "exchanged"])
    print(summary(table.groupby(["machine", "seed"]).mean()).round(4).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
