"""False alarms to expect in a day, with an upper limit.

Normal test clips are counted where there are any, because the threshold was set without them, and under the protocol of
the headline number, so that the report gives one answer. Else it is the normal clips by which the threshold was set.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.scoring import own_scores
from asd_ray.ensembling.threshold import SOURCES, TEST
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.metrics import FalseAlarmRate
from asd_ray.metrics.false_alarms import DAY

NAME = "false_alarms"
SECONDS = 10.0  # of a clip where its length is not known: the ledger does not keep it, and DCASE's clips last 10 s
A_DAY = 1.0  # false alarms that nobody needs to be warned of


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    limit = ensemble.threshold
    if limit.clips is None or limit.exceeding is None or limit.source in (None, TEST):
        return
    counts = ensemble.counts or _as_it_is(ensemble, members)
    if counts.normals:
        yield from of_counts(counts, SECONDS)
    else:
        rate = FalseAlarmRate(limit.exceeding, limit.clips)
        yield from of_rate(rate, SECONDS, SOURCES[limit.source], "these clips set the threshold")


def of_counts(counts: DecisionCounts, seconds: float) -> Iterator[TrustWarning]:
    """The warning by counted decisions on normal test clips; there must be some."""
    yield from of_rate(FalseAlarmRate(counts.false_alarms, counts.normals), seconds, "normal test clips", counts.ground)


def of_rate(
    rate: FalseAlarmRate, seconds: float, clips: str = "normal clips", ground: str = ""
) -> Iterator[TrustWarning]:
    """The warning about a threshold that is used on clips of this length, day and night; none for rare alarms.

    `clips` names those of the rate, and `ground` says what they are to the threshold or to the choice.
    """
    expected, most = rate.per_day(seconds), rate.most_per_day(seconds)
    if most <= A_DAY:
        return
    yield TrustWarning(
        NAME,
        f"False alarms: {rate.exceeding:,} of {rate.clips:,} {clips} score above the threshold"
        f"{f' ({ground})' if ground else ''}. Of the {DAY / seconds:,.0f} clips of {seconds:g} s in a day, expect "
        f"{_number(expected)} false alarms, and not more than {_number(most)} (95 % limit) if new sound is like these "
        "clips. A higher percentile gives fewer.",
        {"exceeding": rate.exceeding, "clips": rate.clips, "seconds": seconds, "per_day": expected, "most": most},
    )


def _as_it_is(ensemble: Ensemble, members: Candidates) -> DecisionCounts:
    """Of an ensemble whose decisions were not counted: it is not the final one, or there are no anomalies."""
    protocol = ensemble.own_protocol if ensemble.metrics else "label_free"
    labels = members.clips["label"].to_numpy().astype(str)
    scores = own_scores(ensemble, members) if len(labels) else np.empty(0)
    return DecisionCounts.of(protocol, labels, scores > ensemble.threshold.value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
