"""Records of trials as a DataFrame, for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from asd_ray.ledger.record import TrialRecord
from asd_ray.ledger.units import unit_of

if TYPE_CHECKING:
    import pandas as pd

FIRST = ("trial", "name", "machine", "family", "number", "seed", "status", "objective", "variant", "epochs", "seconds")
LAST = ("version", "paper", "source", "device", "node", "created", "error")


def trial_table(records: Iterable[TrialRecord]) -> pd.DataFrame:
    """One row per record; each parameter is a column ``params_<name>``, and `unit` names the objective."""
    import pandas as pd

    rows = []
    for record in records:
        row = {name: getattr(record, name) for name in FIRST}
        row |= {f"params_{name}": value for name, value in record.params.items()}
        rows.append(row | {"unit": unit_of(record)} | {name: getattr(record, name) for name in LAST})
    params = sorted({name for row in rows for name in row if name.startswith("params_")})
    return pd.DataFrame(rows, columns=[*FIRST, *params, "unit", *LAST])
