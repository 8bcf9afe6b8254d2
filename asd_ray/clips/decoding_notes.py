"""Problems that only headers and samples reveal: other rates, several channels, the same audio twice."""

from __future__ import annotations

import pandas as pd

from asd_ray.clips._store import Decoding
from asd_ray.clips.audio import MEAN
from asd_ray.clips.table import ANOMALY, NORMAL, NOTE, SUPPLEMENTAL, WARNING, Problem, examples


def decoding_notes(frame: pd.DataFrame, decoding: Decoding) -> list[Problem]:
    """Notes on clips that are resampled, and on clips of which only one channel is used."""
    notes = []
    for rate, rows in frame[frame["rate"] != decoding.rate].groupby("rate"):
        limit = f"; they contain nothing above {int(str(rate)) // 2} Hz" if int(str(rate)) < decoding.rate else ""
        rule = f"{len(rows)} clips are at {rate} Hz and are resampled to {decoding.rate} Hz{limit}"
        notes.append(Problem(NOTE, examples(rows["path"].tolist()), rule, "choose another rate with --rate"))
    for channels, rows in frame[frame["channels"] > 1].groupby("channels"):
        used = "the mean of all channels" if decoding.channel == MEAN else f"channel {decoding.channel}"
        rule = f"{len(rows)} clips have {channels} channels; {used} is used"
        notes.append(Problem(NOTE, examples(rows["path"].tolist()), rule, "choose with --channel N or --channel mean"))
    return notes


def repeated_audio(frame: pd.DataFrame) -> list[Problem]:
    """Audio that a machine has in both train and test, or as both normal and anomalous, which makes scores meaningless.

    `frame` has a column `digest`; clips with an empty digest are ignored.
    """
    problems = []
    repeated = frame[(frame["digest"] != "") & frame.duplicated(["machine", "digest"], keep=False)]
    for (machine, _), rows in repeated.groupby(["machine", "digest"], sort=False):
        files = examples(rows["path"].tolist(), 3)
        if len(set(rows["split"]) - {SUPPLEMENTAL}) > 1:
            rule = f"the same audio is in train and test: {files}"
            problems.append(Problem(WARNING, str(machine), rule, "remove it from one of them"))
        elif {NORMAL, ANOMALY} <= set(rows["label"]):
            rule = f"the same audio is labelled normal and anomalous: {files}"
            problems.append(Problem(WARNING, str(machine), rule, "remove the wrong one"))
    return problems
