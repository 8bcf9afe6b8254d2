"""What each addition to `embedding_knn` brings, one at a time, on the demo set and on datasets of yours.

    python -m benchmarks.bench_additions [--data DIR …] [--machine fan …] [--seeds 2] [--epochs 3]
    python -m benchmarks.bench_additions --weights ast=DIR …      # what `pretrained` and `finetuned` reach with it

Prints a table in Markdown: the harmonic mean of the AUC and pAUC cells, its mean over the seeds and, in brackets, its
lowest value. Additions are measured by the paper's own score, settings with an encoder by `maha`, all after the last
epoch; labels of test clips choose nothing. The last row is what 95 of 100 detectors with random
scores do not exceed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray import Dataset
from asd_ray.clips.bank import Bank
from asd_ray.clips.demo import make_demo
from benchmarks._settings import Setting, hmeans, markdown, measured

FAMILY, VARIANT = "embedding_knn", "kmeans"  # the paper's own score
DRAWS = 1000  # of random scores
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


# The same for the settings with an encoder: the family, and what differs from its paper's setting.
WITH_ENCODER: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "pretrained, mean over time of the last layer": ("pretrained", {}),
    "pretrained, first layer, each second": ("pretrained", {"layer": 0.0, "pooling": "time"}),
    "finetuned, low-rank layers": ("finetuned", {"tune": "lora", "rank": 4}),
    "finetuned, all weights": ("finetuned", {"tune": "all"}),
}


def settings_with(encoder: str, epochs: int, batch_size: int, seconds: float) -> list[Setting]:
    trained = {"epochs": epochs, "batch_size": batch_size, "seconds": seconds, "lr": 3e-3}
    found = []
    for name, (own, params) in WITH_ENCODER.items():
        short = {"encoder": encoder, "backends": "maha", **(trained if own == "finetuned" else {})}
        found.append(Setting(name, own, {**short, **params}, "maha"))
    return found


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
    made.add_argument("--weights", metavar="NET=PATH", help="an encoder; its settings are measured and no additions")
    args = made.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        places = (
            {"demo": make_demo(Path(folder) / "demo", size=args.size, machines=args.machine)} if args.machine else {}
        )
        places |= {Path(place).name: Path(place) for place in args.data}
        banks = {name: Dataset(place, cache=f"{folder}/cache").bank() for name, place in places.items()}
        machines = [(name, machine) for name, bank in banks.items() for machine in bank.table.machines]
        lengths = (args.epochs, args.batch_size, args.seconds)
        net, _, path = (args.weights or "").partition("=")
        chosen = settings_with(net, *lengths) if net else settings(*lengths)
        frame = measured(banks, machines, chosen, args.seeds, {net: path} if net else {})
        chance = np.stack([_of_chance(banks[name], machine, at) for at, (name, machine) in enumerate(machines)])
    print(f"variant {chosen[0].variant}, {args.epochs} epochs, {args.seeds} seeds: mean (least)\n")
    print("\n".join(markdown(frame)))
    highest = [*np.quantile(chance, 0.95, axis=1), np.quantile(chance.mean(axis=0), 0.95)]
    print(f"| random scores, at most | {' | '.join(f'{value:.3f}' for value in highest)} |")
    return 0


def _of_chance(bank: Bank, machine: str, seed: int) -> npt.NDArray[np.float64]:
    """[DRAWS]: what detectors with random scores reach on a machine."""
    clips = bank.select(machine, split="test").frame
    rows = np.random.default_rng(seed).random((DRAWS, len(clips)))
    found = hmeans(machine, {str(number): row for number, row in enumerate(rows)}, clips, bank.table.year)
    return np.array(list(found.values()))


if __name__ == "__main__":
    sys.exit(main())
