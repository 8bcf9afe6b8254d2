"""What is said of a machine whose ensembles cannot be measured, because no id has normal and anomalous test clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NOT_MEASURED = "not measured: there are no anomalies"
NO_ID = "no id has both normal clips and anomalies"


def why_unmeasured(clips: pd.DataFrame) -> str:
    """Why nothing is measured, and what the test clips are; `clips` has the columns id and label."""
    return f"not measured: {lack(clips)}; {what_they_are(clips)}"


def lack(clips: pd.DataFrame) -> str:
    """What the test clips lack for a number, as a sentence."""
    return NO_ID if (clips["label"] == "anomaly").any() else "there are no anomalies"


def what_they_are(clips: pd.DataFrame) -> str:
    """What the test clips are, as a sentence."""
    normal, anomalies = (int((clips["label"] == label).sum()) for label in ("normal", "anomaly"))
    if not len(clips):
        return "the machine has no test clips"
    if anomalies and normal:
        return "normal clips and anomalies have different ids"
    if anomalies:
        return "all test clips are anomalies" if anomalies == len(clips) else "the labelled test clips are all anomalies"
    if not normal:
        return "the test clips have no labels"
    return "all test clips are normal" if normal == len(clips) else "the labelled test clips are all normal"
