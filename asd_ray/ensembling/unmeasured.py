"""What is said of a machine whose ensembles cannot be measured, because no test clip is known to be an anomaly."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NOT_MEASURED = "not measured: there are no anomalies"


def why_unmeasured(clips: pd.DataFrame) -> str:
    """`NOT_MEASURED` with what the test clips are; `clips` has the column label, and no anomaly."""
    normal = int((clips["label"] == "normal").sum())
    if not len(clips):
        what = "the machine has no test clips"
    elif not normal:
        what = "the test clips have no labels"
    elif normal == len(clips):
        what = "all test clips are normal"
    else:
        what = "the labelled test clips are all normal"
    return f"{NOT_MEASURED}; {what}"
