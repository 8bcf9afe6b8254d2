"""What each addition to `embedding_knn` brings, one at a time, on the demo set and on datasets of yours.

    python -m benchmarks.bench_additions [--data DIR …] [--machine fan …] [--seeds 2] [--epochs 3]

Prints a table in Markdown: the harmonic mean of the AUC and pAUC cells, its mean over the seeds and, in brackets, its
lowest value. All settings are measured by the paper's own score, after the last epoch; labels of test clips choose
nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asd_ray import Dataset
from asd_ray.clips.demo import make_demo
from benchmarks._settings import Setting, markdown, measured

FAMILY, VARIANT = "embedding_knn", "kmeans"  # the paper's own score
# Name of a row -> what differs from the setting of the first row.
ADDITIONS: Mapping[str, Mapping[str, Any]] = {
    "as it was": {},
    "trainable centres": {"learned": True},
    "AdaProj": {"head": "adaproj"},
    "short and long windows": {"branches": "multi"},
    "FeatEx": {"featex": 0.5},
    "subspace loss": {"branch_losses": 1.0},
    "SpecAug": {"spec_masks": 1},
    "balanced domains": {"balance": 0.5},
    "all but AdaProj": {
        **{"learned": True, "branches": "multi", "featex": 0.5, "branch_losses": 1.0, "spec_masks": 1, "balance": 0.5}
    },
}


def settings(epochs: int, batch_size: int, seconds: float) -> list[Setting]:
    short = {"epochs": epochs, "batch_size": batch_size, "seconds": seconds, "backends": VARIANT}
    return [Setting(name, FAMILY, {**short, **params}, VARIANT) for name, params in ADDITIONS.items()]


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", nargs="*", default=[], metavar="DIR", help="datasets beside the demo set")
    made.add_argument("--machine", nargs="*", default=["fan", "valve"], help="machines of the demo set")
    made.add_argument("--size", default="small", help="of the demo set")
    made.add_argument("--seeds", type=int, default=2)
    made.add_argument("--epochs", type=int, default=3)
    made.add_argument("--batch-size", type=int, default=16)
    made.add_argument("--seconds", type=float, default=4.0)
    args = made.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        places = (
            {"demo": make_demo(Path(folder) / "demo", size=args.size, machines=args.machine)} if args.machine else {}
        )
        places |= {Path(place).name: Path(place) for place in args.data}
        banks = {name: Dataset(place, cache=f"{folder}/cache").bank() for name, place in places.items()}
        machines = [(name, machine) for name, bank in banks.items() for machine in bank.table.machines]
        frame = measured(banks, machines, settings(args.epochs, args.batch_size, args.seconds), args.seeds)
    print(f"variant {VARIANT}, {args.epochs} epochs, {args.seeds} seeds: mean (least)\n")
    print("\n".join(markdown(frame)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
