"""What each use of supplemental clips brings on the demo set, as a table in Markdown.

    python -m benchmarks.bench_supplemental [--size small] [--seconds 2] [--machines fan,valve] [--seeds 2]

A cell has the harmonic mean of the AUC and pAUC cells of DCASE 2022 without the use and with it, each a mean over the
seeds, and the two differences in brackets; the variant is fixed beforehand. Nets are those of SETTINGS, small and soon
trained. `python -m benchmarks supplemental` measures the speed of subtraction instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.detectors.parts.supplemental import VARIANT, NoiseSubtraction
from asd_ray.features import PRESETS, FeatureCache
from benchmarks import _timing
from benchmarks._settings import hmeans, trained_scores

SETTINGS: dict[str, dict[str, Any]] = {
    "autoencoder": {"epochs": 10},
    "embedding_knn": {"seconds": 2.0, "batch_size": 16, "epochs": 3, "backends": "knn"},
    "id_classifier": {"frames": 32, "hop": 16, "test_hop": 16, "epochs": 3, "backends": "knn"},
    "idnn": {"batch_size": 256, "lr": 3e-3, "epochs": 10},
    "twfr_gmm": {},
}


@dataclass(frozen=True)
class Use:
    """A use, and the variants that are compared: that of a detector without it, and that with it."""

    family: str
    changes: tuple[tuple[str, Any], ...]
    without: str
    with_it: str

    @property
    def name(self) -> str:
        return ", ".join(f"`{parameter}` {value}" for parameter, value in self.changes)


USES = [
    *(Use("twfr_gmm", (("subtract_noise", factor),), "gmm", "gmm") for factor in (0.5, 1.0, 2.0)),
    *(Use("autoencoder", (("subtract_noise", factor),), "mse", "mse") for factor in (0.5, 1.0, 2.0)),
    Use("idnn", (("subtract_noise", 1.0),), "mean", "mean"),
    *(Use("embedding_knn", (("noise_mix", share),), "knn", "knn") for share in (0.5, 1.0)),
    Use("embedding_knn", (("supplemental_class", True),), "knn", "knn"),
    Use("embedding_knn", (("supplemental_bank", True),), "knn", VARIANT),
    Use("embedding_knn", (("supplemental_class", True), ("supplemental_bank", True)), "knn", VARIANT),
    Use("id_classifier", (("supplemental_class", True),), "nll", "nll"),
    Use("id_classifier", (("supplemental_bank", True),), "knn", VARIANT),
]
Key = tuple[str, tuple[tuple[str, Any], ...], str, int]  # family, changes, machine, seed


class Values:
    """The objective of each variant of a detector, which is trained once for all rows that need it."""

    def __init__(self, bank: Bank, features: FeatureCache) -> None:
        self.bank, self.features, self.known = bank, features, dict[Key, dict[str, float]]()

    def of(self, name: str, changes: tuple[tuple[str, Any], ...], machine: str, seed: int) -> Mapping[str, float]:
        key = name, changes, machine, seed
        if key not in self.known:
            params = {**SETTINGS[name], **dict(changes)}
            scores, clips = trained_scores(self.bank, machine, name, params, seed, self.features)
            self.known[key] = hmeans(machine, scores, clips, 2022)
            print(f"{name}, {dict(changes)}, {machine}, seed {seed}: done", file=sys.stderr, flush=True)
        return self.known[key]

    def cell(self, use: Use, machine: str, seeds: int) -> str:
        pairs = [
            (
                self.of(use.family, (), machine, seed)[use.without],
                self.of(use.family, use.changes, machine, seed)[use.with_it],
            )
            for seed in range(seeds)
        ]
        before, after = np.mean(pairs, axis=0)
        gains = ", ".join(f"{with_it - without:+.3f}" for without, with_it in pairs)
        return f"{before:.3f} → {after:.3f} ({gains})"


def table(values: Values, uses: Sequence[Use], machines: Sequence[str], seeds: int) -> Iterator[str]:
    yield "| family | use | variant | " + " | ".join(machines) + " |"
    yield "|---" * (3 + len(machines)) + "|"
    for use in uses:
        cells = [values.cell(use, machine, seeds) for machine in machines]
        variant = f"`{use.without}`" if use.without == use.with_it else f"`{use.without}`, `{use.with_it}`"
        yield f"| `{use.family}` | {use.name} | {variant} | " + " | ".join(cells) + " |"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--machines", default="fan,valve")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--families", default=",".join(SETTINGS))
    args = parser.parse_args(argv)
    machines, families = args.machines.split(","), args.families.split(",")
    with tempfile.TemporaryDirectory() as folder:
        data = make_demo(
            Path(folder) / "demo", size=args.size, machines=machines, seconds=args.seconds, supplemental=True
        )
        bank = open_bank(data, cache=Path(folder) / "cache")
        counts = {split: len(bank.select(machines[0], split=split)) for split in ("train", "test", "supplemental")}
        print(f"{counts} clips of {args.seconds:g} s a machine, {args.seeds} seeds\n")
        values = Values(bank, FeatureCache(Path(folder) / "cache"))
        for line in table(values, [use for use in USES if use.family in families], machines, args.seeds):
            print(line, flush=True)
    return 0


# -- speed -----------------------------------------------------------------------------------------------------------


def run() -> Iterator[_timing.Row]:
    with tempfile.TemporaryDirectory() as folder:
        data = make_demo(Path(folder) / "demo", size="tiny", machines=["fan"], seconds=10.0, supplemental=True)
        train = open_bank(data, cache=Path(folder) / "cache").select("fan", split="train")
        cache, front_end = FeatureCache(Path(folder) / "cache"), PRESETS["baseline"]
        subtraction = NoiseSubtraction(cache, 1.0)
        subtraction.learn(front_end, train, torch.device("cpu"))
        ratio, own, plain = _timing.compare(
            lambda: subtraction.get(front_end, train).tensor(), lambda: cache.get(front_end, train).tensor()
        )
        detail = f"{len(train) / own:,.0f} clips of 10 s a second, {len(train) / plain:,.0f} without subtraction"
        yield "log-mel features less the noise spectrum", "the same features of the cache", ratio, detail


if __name__ == "__main__":
    sys.exit(main())
