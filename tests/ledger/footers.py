"""A run of six trials, and ways to change the file of the last one as no asd_ray would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from asd_ray.ledger import Ledger, Settings, TrialRecord
from asd_ray.ledger.trial_file import SCHEMA_KEY, TRIALS_KEY

OTHERS = 5


def fill(ledger: Ledger, trial: Callable[..., Any]) -> Ledger:
    """Trials with every field; the tests change the last one."""
    whole = {
        "seconds": 12.5,
        "peak_memory_mb": 100.0,
        "objective_parts": {"00/auc": 0.7, "00/pauc": 0.6},
        "protocol": "oracle",
        "versions": {"torch": "2.1"},
        "dataset": "dcase2020",
        "data_fingerprint": "ab12",
        "settings": Settings("ab12", 2020),
        "paper": True,
        "node": "a",
        "extra": {"note": "a"},
    }
    for number in range(OTHERS + 1):
        ledger.commit(*both_labels(*trial(number, count=24, **whole)))
    return ledger


def both_labels(record: TrialRecord, scores: pd.DataFrame) -> tuple[TrialRecord, pd.DataFrame]:
    """Each id with normal and anomalous test clips, so that ensembles can be chosen."""
    odd = scores["clip"].str[-5].isin(list("2367")) & (scores["split"] == "test")
    return record, scores.assign(label=odd.map({True: "anomaly", False: "normal"}))


def victim(ledger: Ledger) -> Path:
    [record] = [record for record in ledger.records() if record.number == OTHERS]
    return Path(ledger.layout.trial_file(record.machine, record.family, record.trial))


def described(path: Path) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(pq.read_metadata(path).metadata[TRIALS_KEY])
    return made


def rewrite(
    path: Path, trials: bytes | None = None, change: Callable[[pa.Table], pa.Table] = lambda rows: rows
) -> None:
    """The same file with other JSON in its footer, or other rows."""
    file = pq.ParquetFile(path)
    tables = [change(file.read_row_group(group)) for group in range(file.num_row_groups)]
    metadata = {SCHEMA_KEY: b"1", TRIALS_KEY: trials or file.metadata.metadata[TRIALS_KEY]}
    path.unlink()
    with pq.ParquetWriter(path, tables[0].schema.remove_metadata(), write_statistics=False) as writer:
        for table in tables:
            writer.write_table(table)
        writer.add_key_value_metadata(metadata)


def put_at(trials: Any, where: str, value: object) -> bytes:
    """`where` is a path such as record.extra.settings.year; of the only trial."""
    *path, last = where.split(".")
    node = trials[0]
    for step in path:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return json.dumps(trials).encode()
