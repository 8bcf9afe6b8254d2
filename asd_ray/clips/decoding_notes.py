"""Problems that only headers and samples reveal: other rates, several channels, the same audio twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.clips._store import Decoding
from asd_ray.clips.audio import ALL, MEAN
from asd_ray.clips.table import ANOMALY, ERROR, NORMAL, NOTE, SUPPLEMENTAL, WARNING, Problem, examples


def decoding_notes(frame: pd.DataFrame, decoding: Decoding) -> list[Problem]:
    """Notes on clips that are resampled, and on clips of which only one channel is used."""
    notes = []
    for rate, rows in frame[frame["rate"] != decoding.rate].groupby("rate"):
        limit = f"; they contain nothing above {int(str(rate)) // 2} Hz" if int(str(rate)) < decoding.rate else ""
        rule = f"{len(rows)} clips are at {rate} Hz and are resampled to {decoding.rate} Hz{limit}"
        notes.append(Problem(NOTE, examples(rows["path"].tolist()), rule, "choose another rate with --rate"))
    for channels, rows in frame[frame["channels"] > 1].groupby("channels"):
        if decoding.channel == ALL:
            used = "all are kept, and detectors without use for several take channel 0"
        else:
            used = (
                f"{'the mean of all channels' if decoding.channel == MEAN else f'channel {decoding.channel}'} is used"
            )
        rule = f"{len(rows)} clips have {channels} channels; {used}"
        cure = "choose with --channel N, --channel mean or --channel all"
        notes.append(Problem(NOTE, examples(rows["path"].tolist()), rule, cure))
    return notes


def other_channels(paths: Sequence[str], channels: npt.NDArray[np.unsignedinteger]) -> list[Problem]:
    """An error for each clip whose number of channels is not that of most clips of its machine.

    Detectors get equally many channels of every clip. Of two equally frequent numbers the larger one counts.
    """
    if not len(channels):
        return []
    numbers, counts = np.unique(channels, return_counts=True)
    usual = int(numbers[np.flatnonzero(counts == counts.max())[-1]])
    cure = "record it again, or leave it out with --skip-broken; --channel 0 takes one channel of every clip"
    return [
        Problem(ERROR, path, f"has {_count(own)} where most clips of its machine have {usual}", cure)
        for path, own in zip(paths, channels.tolist(), strict=True)
        if own != usual
    ]


def _count(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


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
