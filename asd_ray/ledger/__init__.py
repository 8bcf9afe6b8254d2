"""The store of a run: every trial and every clip's score, in Parquet."""

from asd_ray.ledger.compacting import compact
from asd_ray.ledger.exporting import export_table
from asd_ray.ledger.importing import import_submission, import_table
from asd_ray.ledger.matrix import CandidateMatrix, candidate_matrix
from asd_ray.ledger.record import Settings, TrialRecord, trial_hash
from asd_ray.ledger.schema import SCHEMA_VERSION, long_scores
from asd_ray.ledger.store import Ledger
from asd_ray.ledger.verifying import verify
from asd_ray.storage.run_layout import RunLayout

__all__ = [
    "SCHEMA_VERSION",
    "CandidateMatrix",
    "Ledger",
    "RunLayout",
    "Settings",
    "TrialRecord",
    "candidate_matrix",
    "compact",
    "export_table",
    "import_submission",
    "import_table",
    "long_scores",
    "trial_hash",
    "verify",
]
