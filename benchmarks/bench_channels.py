"""What a second microphone is worth on the demo set of two channels.

    python -m benchmarks.bench_channels FOLDER [--machines fan,slider] [--seeds 2] [--size small] [--seconds 2]

prints a table in Markdown of the harmonic mean of AUC and pAUC (the cells of DCASE 2022): the near microphone, the far
one, and the near one less half of the far one, in the spectrum and in the embedding. One variant of each family is
shown, which no label chooses. What is done is kept in FOLDER, so the same command continues after a stop.
`python -m benchmarks channels` measures the speed of subtracted features instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.clips.demo import make_demo
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors.parts.microphones import NEAR_FAR, HeardFeatures
from asd_ray.features import PRESETS, FeatureCache, extract
from benchmarks import _timing
from benchmarks._settings import by_family, hmeans, trained_scores

VARIANTS = {"autoencoder": "mse", "embedding_knn": "knn", "twfr_gmm": "gmm"}
SETTINGS: dict[str, dict[str, Any]] = {
    "autoencoder": {"epochs": 5},
    "embedding_knn": {"batch_size": 16, "epochs": 5, "backends": "knn"},
    "twfr_gmm": {},
}
SPECTRUM, EMBEDDING = "near − far/2, spectrum", "near − far/2, embedding"
COLUMNS: dict[str, dict[str, Any]] = {
    "near": {},
    "far": {"microphone": "far"},
    SPECTRUM: {"microphone": NEAR_FAR},
    EMBEDDING: {"microphone": NEAR_FAR, "subtract": "embedding"},
}


def settings(name: str, column: str, seconds: float) -> dict[str, Any] | None:
    """The parameters of a family in one column; None if it has no such setting."""
    if name != "embedding_knn":
        return None if column == EMBEDDING else {**SETTINGS[name], **COLUMNS[column]}
    where = {"subtract": "spectrum"} if column == SPECTRUM else {}
    return {**SETTINGS[name], "seconds": seconds, **COLUMNS[column], **where}


def measured(name: str, params: dict[str, Any], bank: Bank, machine: str, seed: int, cache: Path) -> float:
    """The harmonic mean of the cells of one trained detector."""
    scores, clips = trained_scores(bank, machine, name, params, seed, FeatureCache(cache))
    return hmeans(machine, scores, clips, 2022)[VARIANTS[name]]


def table(outcomes: pd.DataFrame) -> str:
    return by_family(outcomes, "column", list(COLUMNS))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the demo set, the cache and the outcomes")
    parser.add_argument("--families", default=",".join(VARIANTS))
    parser.add_argument("--machines", default="fan,slider")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    machines, stored, cache = args.machines.split(","), args.folder / "outcomes.jsonl", args.folder / "cache"
    demo = make_demo(
        args.folder / "-".join(["demo", args.size, f"{args.seconds:g}", *machines]),
        size=args.size,
        machines=machines,
        seconds=args.seconds,
        channels=2,
    )
    bank = open_bank(demo, channel="all", cache=cache)
    rows = [json.loads(line) for line in stored.read_text().splitlines()] if stored.exists() else []
    keys = ("family", "machine", "column", "seed", "size", "seconds")
    done = {tuple(row[key] for key in keys) for row in rows}
    wanted = [
        (name, machine, column, seed, args.size, args.seconds)
        for seed in range(args.seeds)
        for name in args.families.split(",")
        for machine in machines
        for column in COLUMNS
    ]
    for key in wanted:
        name, machine, column, seed, *_ = key
        params = settings(name, column, args.seconds)
        if key in done or params is None:
            continue
        row = dict(zip(keys, key, strict=True)) | {"value": measured(name, params, bank, machine, seed, cache)}
        with open(stored, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        rows.append(row)
        print(f"{name} of {machine}, {column}, seed {seed}: {row['value']:.3f}", file=sys.stderr)
    print(table(pd.DataFrame([row for row in rows if tuple(row[key] for key in keys) in set(wanted)])))
    return 0


def run() -> Iterator[_timing.Row]:
    """The speed of subtracted features, whose parts are in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), seconds=10.0, channels=2)
        cache, clips = FeatureCache(Path(folder) / "features"), workspace.bank("plain").select()
        both, front_end = HeardFeatures(cache, NEAR_FAR, 0.5), PRESETS["baseline"]
        both.get(front_end, clips)  # stores the features of both channels
        near = _timing.seconds(lambda: np.asarray(cache.get(front_end, clips).tensor()))
        ratio, own, reference = _timing.compare(lambda: both.get(front_end, clips), lambda: extract(front_end, clips))
        detail = f"{own:.3f} s for {len(clips)} clips against {reference:.3f} s; reading one channel takes {near:.3f} s"
        yield "near − far/2 of cached log-mel features", "computing the near features", ratio, detail


if __name__ == "__main__":
    sys.exit(main())
