"""What each backend reaches on the embeddings of the same nets, and what it costs.

    python benchmarks/bench_backends.py FOLDER [--machines all] [--seeds 2] [--epochs 3] [--size small]

trains `embedding_knn` once per machine and seed, with the short setting of demo_families.py, and prints the objective
of each backend: the harmonic mean of the AUC and pAUC cells of DCASE 2022, as the mean over the seeds. FOLDER gets the
demo set. The last columns are the mean over the machines and the lowest of all. `python -m benchmarks backends`
measures seconds of learning and scoring instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from asd_ray.clips.bank import open_bank
from asd_ray.clips.demo import MACHINES, make_demo
from asd_ray.detectors import Context
from asd_ray.detectors.families.embedding_knn import EmbeddingKnn
from asd_ray.detectors.parts.backends import BACKENDS
from asd_ray.features import FeatureCache
from asd_ray.metrics import objective
from benchmarks._timing import Row
from benchmarks.demo_families import SHORT

Values = dict[str, dict[str, list[float]]]  # backend -> machine -> objective of each seed
CLIPS, TARGET, TEST, DIMENSIONS, GROUPS = 1_000, 10, 400, 256, 20  # of what is timed


def values_of(folder: Path, machines: Sequence[str], seeds: int, epochs: int, size: str) -> Values:
    data = make_demo(folder / "demo", size=size, machines=machines, grow=True)
    bank, features = open_bank(data, cache=folder / "bank"), FeatureCache(folder / "features")
    found: Values = {name: {machine: [] for machine in machines} for name in BACKENDS}
    for machine in machines:
        train, test = (bank.select(split=split, machine=machine) for split in ("train", "test"))
        for seed in range(seeds):
            started, short = time.perf_counter(), {**SHORT["embedding_knn"], "epochs": epochs}
            detector = EmbeddingKnn(Context(seed=seed, features=features), **short, backends=",".join(BACKENDS))
            for _ in detector.fit(train):
                pass
            scores = detector.score(test)
            values = objective(test.frame, np.stack([scores[name] for name in BACKENDS]), 2022)
            for name, value in zip(BACKENDS, values.tolist(), strict=True):
                found[name][machine].append(value)
            print(f"{machine}, seed {seed}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return found


def table(found: Values) -> str:
    machines = list(next(iter(found.values())))
    lines = [f"| backend | {' | '.join(machines)} | mean | lowest |", "|---" * (len(machines) + 3) + "|"]
    for name, by_machine in found.items():
        every = [value for values in by_machine.values() for value in values]
        cells = [float(np.mean(by_machine[machine])) for machine in machines] + [float(np.mean(every)), min(every)]
        lines.append(f"| `{name}` | {' | '.join(f'{cell:.3f}' for cell in cells)} |")
    return "\n".join(lines)


def run() -> Iterator[Row]:
    """Seconds of each backend on one thread, against plain kNN."""
    threads, generator = torch.get_num_threads(), torch.Generator().manual_seed(0)
    torch.set_num_threads(1)
    try:
        groups = 2 * torch.randn(GROUPS, DIMENSIONS, generator=generator)
        bank, test = (
            groups[torch.randint(GROUPS, (count,), generator=generator)]
            + torch.randn(count, DIMENSIONS, generator=generator)
            for count in (CLIPS, TEST)
        )
        target = torch.arange(CLIPS) >= CLIPS - TARGET
        seconds: dict[str, tuple[float, float]] = {}
        for name, backend in BACKENDS.items():
            backend.learn(bank[:50], target[-50:], 0)  # imports what it needs
            started = time.process_time()
            learned = backend.learn(bank, target, 0)
            learning = time.process_time() - started
            backend.score(learned, test)
            seconds[name] = learning, time.process_time() - started - learning
        for name, (learning, scoring) in seconds.items():
            what = f"backend {name}, {CLIPS:,} references and {TEST} clips × {DIMENSIONS}, 1 thread"
            ratio = sum(seconds["knn"]) / (learning + scoring)
            yield what, "knn", ratio, f"{learning:.3f} s to learn, {scoring:.3f} s to score"
    finally:
        torch.set_num_threads(threads)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the demo set and its caches")
    parser.add_argument("--machines", default="all")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", default="small")
    args = parser.parse_args(argv)
    machines = [*MACHINES] if args.machines == "all" else args.machines.split(",")
    print(table(values_of(args.folder, machines, args.seeds, args.epochs, args.size)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
