"""What is said of a machine whose ensembles cannot be measured, because no id has normal and anomalous test clips."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NO_ANOMALIES = "there are no anomalies"
NOT_KNOWN = "there are no known anomalies"  # some test clips have no label
NO_ID = "no id has both normal clips and anomalies"
NOT_MEASURED = f"not measured: {NO_ANOMALIES}"


def why_unmeasured(clips: pd.DataFrame) -> str:
    """Why nothing is measured, and what the test clips are; `clips` has the columns id and label."""
    return f"{not_measured(clips)}; {what_they_are(clips)}"


def not_measured(clips: pd.DataFrame) -> str:
    """What stands where a number would, for these test clips."""
    return f"not measured: {lack(clips)}"


def said_in(notes: Iterable[str]) -> str:
    """The same for an ensemble, of whose notes one is `why_unmeasured`."""
    for note in notes:
        for each in (NO_ANOMALIES, NOT_KNOWN, NO_ID):
            if note.startswith(f"not measured: {each}"):
                return f"not measured: {each}"
    return NOT_MEASURED


def lack(clips: pd.DataFrame) -> str:
    """What the test clips lack for a number, as a sentence."""
    if (clips["label"] == "anomaly").any():
        return NO_ID
    return NO_ANOMALIES if (clips["label"] == "normal").all() else NOT_KNOWN


def what_they_are(clips: pd.DataFrame) -> str:
    """What the test clips are, as a sentence."""
    normal, anomalies = (int((clips["label"] == label).sum()) for label in ("normal", "anomaly"))
    if not len(clips):
        return "the machine has no test clips"
    if anomalies and normal:
        return "normal clips and anomalies have different ids"
    if anomalies:
        return (
            "all test clips are anomalies" if anomalies == len(clips) else "the labelled test clips are all anomalies"
        )
    if not normal:
        return "the test clips have no labels"
    return "all test clips are normal" if normal == len(clips) else "the labelled test clips are all normal"
