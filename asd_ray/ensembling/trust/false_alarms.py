"""False alarms to expect in a day, from the normal clips behind the threshold, with an upper limit."""

from __future__ import annotations

from collections.abc import Iterator

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.threshold import TEST
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.metrics import FalseAlarmRate
from asd_ray.metrics.false_alarms import DAY

NAME = "false_alarms"
SECONDS = 10.0  # of a clip where its length is not known: the ledger does not keep it, and DCASE's clips last 10 s
A_DAY = 1.0  # false alarms that nobody needs to be warned of


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    limit = ensemble.threshold
    if limit.clips is not None and limit.exceeding is not None and limit.source != TEST:
        yield from of_rate(FalseAlarmRate(limit.exceeding, limit.clips), SECONDS)


def of_rate(rate: FalseAlarmRate, seconds: float) -> Iterator[TrustWarning]:
    """The warning about a threshold that is used on clips of this length, day and night; none for rare alarms."""
    expected, most = rate.per_day(seconds), rate.most_per_day(seconds)
    if most <= A_DAY:
        return
    yield TrustWarning(
        NAME,
        f"False alarms: {rate.exceeding:,} of {rate.clips:,} normal clips score above the threshold. Of the "
        f"{DAY / seconds:,.0f} clips of {seconds:g} s in a day, expect {_number(expected)} false alarms, and not more "
        f"than {_number(most)} (95 % limit) if new sound is like these clips. A higher percentile gives fewer.",
        {"exceeding": rate.exceeding, "clips": rate.clips, "seconds": seconds, "per_day": expected, "most": most},
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
