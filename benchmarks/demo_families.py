"""Print a table of family × machine: the objective of each family on the demo set.

    python benchmarks/demo_families.py RUN [--families all] [--epochs 10] [--seeds 2] [--size small]
    python benchmarks/demo_families.py RUN --faults --seconds 2 --settings 2    # for benchmarks.bench_criteria

A cell has the mean over the seeds and, in brackets, the lowest value. The objective is the harmonic mean of the AUC
and pAUC cells of DCASE 2022. The setting is that of the paper with the changes in SHORT and at most --epochs epochs.
The protocol is oracle: test labels choose the best variant. Random settings are stored in RUN and are no part of the
table. The same command resumes after a stop.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from asd_ray import FAMILIES, Dataset, Run
from asd_ray.clips.demo import MACHINES, make_demo
from asd_ray.families import Family, family
from asd_ray.ledger import TrialRecord
from asd_ray.tuning.judge import ORACLE
from benchmarks._ledgers import make_ledger

# Changes that turn hours on a CPU core into minutes: narrower nets, and small batches with a larger learning rate
# because there are few steps. Chosen by hand, by the objective for fan and pump of the small set with seed 0.
SHORT: dict[str, dict[str, Any]] = {
    "aegan_ad": {"channels": 8, "latent": 64, "norm": "batch", "eta": 0.01, "batch_size": 8, "lr": 4e-3, "epochs": 6},
    "anogan": {"channels": 8, "latent": 20, "steps": 15, "search_lr": 0.2, "batch_size": 2, "lr": 1e-3, "epochs": 6},
    "autoencoder": {"epochs": 10},
    "complex_net": {"width_factor": 0.25, "head_channels": 8, "frames": 32, "batch_size": 8, "lr": 1e-3, "epochs": 4},
    "embedding_knn": {"seconds": 4.0, "batch_size": 16, "epochs": 3},
    "flow_aff": {"hidden": 128, "batch_size": 128, "lr": 1e-3, "epochs": 2},
    "ganomaly": {"channels": 8, "batch_size": 8, "lr": 5e-4, "epochs": 8},
    "group_made": {"epochs": 4},
    "id_classifier": {"hop": 16, "test_hop": 16, "epochs": 6},
    "idnn": {"batch_size": 256, "lr": 3e-3, "epochs": 10},
    "stgram": {"seconds": 4.0, "batch_size": 8, "lr": 1e-3, "epochs": 2},
}


SHORT_SPACE = """
import runpy

SHORT = {short!r}
PAPER = {paper!r}
DRAW = runpy.run_path({path!r})["space"]


class Rest:
    def __init__(self, trial):
        self.trial = trial

    def __getattr__(self, kind):
        suggest = getattr(self.trial, kind)
        return lambda name, *args, **options: SHORT[name] if name in SHORT else suggest(name, *args, **options)


def space(trial):
    return DRAW(Rest(trial)) | SHORT
"""


def short_space(each: Family, folder: Path) -> Path:
    """A file of the family's search space with the changes in SHORT, which are the same in every trial."""
    own, short = each.search_space(), SHORT[each.name]
    path = folder / f"{each.name}.py"
    path.write_text(SHORT_SPACE.format(short=short, paper=own.paper | short, path=str(own.path)))
    return path


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("run", type=Path, help="folder of the run; the demo set is made beside it")
    made.add_argument("--families", default=",".join(FAMILIES))
    made.add_argument("--machines", default=",".join(MACHINES))
    made.add_argument("--epochs", type=int, default=10)
    made.add_argument("--seeds", type=int, default=2)
    made.add_argument("--size", default="small")
    made.add_argument("--seconds", type=float, help="length of a clip (default: that of the size)")
    made.add_argument("--settings", type=int, default=1, metavar="N", help="trials: the paper's and N - 1 random ones")
    made.add_argument("--faults", action="store_true", help="score injected faults, for benchmarks.bench_criteria")
    args = made.parse_args(argv)
    machines = args.machines.split(",")
    families = [family(name) for name in (FAMILIES if args.families == "all" else args.families.split(","))]
    demo = make_demo(args.run.parent / "demo", size=args.size, machines=machines, seconds=args.seconds, grow=True)
    data, run = Dataset(demo), Run(args.run)
    options = {"settings": args.settings, "epochs_cap": args.epochs, "faults": args.faults}
    records: list[TrialRecord] = []
    with tempfile.TemporaryDirectory() as folder:
        spaces = {each.name: short_space(each, Path(folder)) for each in families if each.name in SHORT}
        for seed in range(args.seeds):
            for each in families:
                own = {each.name: spaces[each.name]} if each.name in spaces else {}
                records += make_ledger(run, data, machines, [each], seed=seed, spaces=own, **options)
    print(f"paper's settings, at most {args.epochs} epochs, {args.seeds} seeds: mean (least), protocol {ORACLE}\n")
    print(table(records))
    for each in families:
        if each.name in SHORT:
            print(f"\n{each.name} with", ", ".join(f"{name} {value}" for name, value in SHORT[each.name].items()))
    return 0


def table(records: Sequence[TrialRecord]) -> str:
    rows = [(record.family, record.machine, record.objective, record.seconds) for record in records]
    frame = pd.DataFrame(rows, columns=["family", "machine", "objective", "seconds"])
    wide = frame.groupby(["family", "machine"])["objective"].agg(_cell).unstack("machine")
    wide["seconds a trial"] = frame.groupby("family")["seconds"].mean().map("{:.0f}".format)
    lines = ["| family | " + " | ".join(wide.columns) + " |", "|---" * (len(wide.columns) + 1) + "|"]
    lines += [f"| {family} | " + " | ".join(map(str, row)) + " |" for family, row in wide.iterrows()]
    return "\n".join(lines)


def _cell(objectives: pd.Series[float]) -> str:
    return "failed" if objectives.isna().any() else f"{objectives.mean():.2f} ({objectives.min():.2f})"


if __name__ == "__main__":
    sys.exit(main())
