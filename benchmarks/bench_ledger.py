"""The ledger at the size of a long search: writing, listing and reading trials, against plain Parquet.

A quick look with fewer trials than the default of 5,000:

    ASD_RAY_BENCH_TRIALS=500 python -m benchmarks ledger
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from asd_ray.ledger import Ledger, TrialRecord, candidate_matrix, compact, long_scores, trial_hash
from benchmarks._timing import Row, seconds

TRIALS = int(os.environ.get("ASD_RAY_BENCH_TRIALS", "5000"))
CLIPS = 1200
SUBSET = 500  # trials that each reference processes; times are per trial


def run() -> Iterator[Row]:
    folder = Path(tempfile.mkdtemp(prefix="bench-ledger-"))
    try:
        yield from _run(folder)
    finally:
        shutil.rmtree(folder)


def _run(folder: Path) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    clips = _clips()
    tables = [long_scores(clips, {"mse": rng.normal(size=CLIPS)}) for _ in range(20)]
    size = f"{TRIALS:,} trials × {CLIPS:,} clips"
    some = min(SUBSET, TRIALS)
    ledger = Ledger(folder / "run")

    plain = folder / "plain"
    plain.mkdir()
    bare = seconds(lambda: _write_bare(plain, tables, some)) / some
    ours = seconds(lambda: _commit(ledger, tables, TRIALS)) / TRIALS
    yield (
        f"ledger: {size} written",
        "bare pyarrow write_table",
        bare / ours,
        f"{ours * TRIALS:.1f} s, {ours * 1e3:.2f} ms a trial (checked, with record, fsync and rename) against "
        f"{bare * 1e3:.2f} ms ({some} written)",
    )

    paths = ledger.trial_files()
    whole = seconds(lambda: [pq.read_table(stored.path, partitioning=None) for stored in paths[:some]]) / some
    ours = seconds(lambda: _expect(len(Ledger(folder / "run").records()), TRIALS)) / TRIALS
    yield (
        f"ledger: {size} listed",
        "each file read whole",
        whole / ours,
        f"{ours * TRIALS:.2f} s, {ours * 1e3:.2f} ms a trial against {whole * 1e3:.2f} ms ({some} read)",
    )

    pivot = seconds(lambda: _pivot([Path(stored.path) for stored in paths[:some]])) / some
    ours = seconds(lambda: _matrix(folder / "run")) / TRIALS
    yield (
        f"ledger: {size} into a matrix",
        "pyarrow read_table, pandas concat and pivot",
        pivot / ours,
        f"{ours * TRIALS:.2f} s, {ours * 1e3:.2f} ms a trial against {pivot * 1e3:.2f} ms ({some} pivoted)",
    )

    spent = seconds(lambda: compact(ledger))
    ours = seconds(lambda: _matrix(folder / "run")) / TRIALS
    yield (
        f"ledger: {size} into a matrix, compacted",
        "pyarrow read_table, pandas concat and pivot",
        pivot / ours,
        f"{ours * TRIALS:.2f} s; compacting took {spent:.1f} s",
    )


def _clips() -> pd.DataFrame:
    rows = range(CLIPS)
    return pd.DataFrame(
        {
            "clip": [f"section_{i % 3:02d}_source_test_normal_{i:04d}_vel_{i % 9}.wav" for i in rows],
            "id": [f"{i % 3:02d}" for i in rows],
            "domain": ["source" if i % 2 else "target" for i in rows],
            "split": "test",
            "label": ["normal" if i % 5 else "anomaly" for i in rows],
        }
    )


def _commit(ledger: Ledger, tables: list[pd.DataFrame], trials: int) -> None:
    for number in range(trials):
        record = TrialRecord(
            trial=trial_hash(number=number),
            name=f"fan-autoencoder-{number:04d}",
            number=number,
            machine="fan",
            family="autoencoder",
            params={f"parameter_{i}": number / (i + 1) for i in range(12)},
            objective=0.5,
            variant="mse",
            intermediate=dict.fromkeys(range(50), 0.5),
            versions={"torch": "2.13.0", "ray": "2.60.0", "optuna": "5.0.0"},
        )
        ledger.commit(record, tables[number % len(tables)])


def _write_bare(folder: Path, tables: list[pd.DataFrame], trials: int) -> None:
    for number in range(trials):
        table = pa.Table.from_pandas(tables[number % len(tables)], preserve_index=False)
        pq.write_table(table, folder / f"{number}.parquet", compression="zstd")


def _pivot(paths: list[Path]) -> None:
    long = pd.concat([pq.read_table(path, partitioning=None).to_pandas() for path in paths])
    made = long.astype({"trial": "str", "clip": "str"}).pivot(index="trial", columns="clip", values="score")
    _expect(made.shape[0], len(paths))


def _matrix(run_folder: Path) -> None:
    made = candidate_matrix(Ledger(run_folder), "fan")
    _expect(made.scores.shape[0], TRIALS)


def _expect(found: int, wanted: int) -> None:
    if found != wanted:
        raise AssertionError(f"found {found} trials, not {wanted}")
