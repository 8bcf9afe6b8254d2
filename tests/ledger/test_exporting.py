from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, candidate_matrix, export_table, import_table
from asd_ray.ledger.exporting import Exported


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_export_imports_to_the_same_scores(filled: Ledger, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"all{suffix}"
    assert export_table(filled, path) == Exported(5, 5 * 24)
    other = Ledger(tmp_path / "other")
    import_table(other, path)
    for split in ("train", "test"):
        ours, theirs = candidate_matrix(filled, "fan", split), candidate_matrix(other, "fan", split)
        pd.testing.assert_frame_equal(ours.clips, theirs.clips)
        assert ours.candidates["name"].tolist() == theirs.candidates["name"].tolist()
        assert ours.candidates["variant"].tolist() == theirs.candidates["variant"].tolist()
        np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_exports_are_chosen_by_machine_family_split_status_and_variant(ledger: Ledger, trial, tmp_path: Path) -> None:
    for machine in ("fan", "pump"):
        for family in ("ae", "idnn"):
            ledger.commit(*trial(machine=machine, family=family))
    ledger.commit(*trial(1, status="pruned"))
    path = tmp_path / "out" / "some.parquet"
    choices = {"machine": "fan", "family": "ae", "splits": ["test"], "best_variants": True}
    assert export_table(ledger, path, **choices) == Exported(1, 8)
    table = pq.read_table(path).to_pandas()
    assert set(table["variant"]) == {"mse"}
    assert set(table["split"]) == {"test"}
    assert export_table(ledger, path, statuses=["pruned"], splits=["test"]).trials == 1


def test_trials_of_one_name_get_their_hash_in_an_export(ledger: Ledger, trial, tmp_path: Path) -> None:
    for number in range(2):
        ledger.commit(*trial(number, name="same"))
    export_table(ledger, tmp_path / "all.csv")
    other = Ledger(tmp_path / "other")
    assert len(import_table(other, tmp_path / "all.csv").stored) == 2


def test_an_export_that_cannot_be_written_leaves_the_old_one(filled: Ledger, tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="ends in .csv or .parquet"):
        export_table(filled, tmp_path / "all.xlsx")
    (tmp_path / "file").write_text("x")
    with pytest.raises(AsdRayError, match="cannot write the export"):
        export_table(filled, tmp_path / "file" / "all.csv")


def test_a_table_of_many_batches_is_written_whole(filled: Ledger, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("asd_ray.ledger.exporting.BATCH", 10)
    export_table(filled, tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.schema.field("id").type == pa.string()
    assert len(table) == 5 * 24
