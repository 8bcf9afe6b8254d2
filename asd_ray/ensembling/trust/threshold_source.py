"""A threshold that came from test clips: nobody knows how much normal sound is above it."""

from __future__ import annotations

from collections.abc import Iterator

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.threshold import MIXTURE, TEST
from asd_ray.ensembling.trust_warning import TrustWarning

NAME = "threshold_source"


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    limit = ensemble.threshold
    if limit.source is None and ensemble.config.rules == 1 and ensemble.transductive:
        yield TrustWarning(
            NAME,
            f"Threshold from test clips: it is the {limit.percentile:g}th percentile of all of them, so it misses "
            "anomalies if there are many. Choose the ensemble again for a better one.",
            {"percentile": limit.percentile},
        )
    if limit.source != TEST or limit.clips is None or limit.exceeding is None:
        return
    if limit.how == MIXTURE:
        share = limit.normal_share or 0.0
        how = (
            f"the scores show two kinds: the lower {100 * share:.0f} % are taken for normal, and the threshold is "
            f"the {limit.percentile:g}th percentile of these"
        )
    else:
        share = 1.0
        how = f"the scores do not show two kinds, so it is the {limit.percentile:g}th percentile of all of them"
    yield TrustWarning(
        NAME,
        f"Threshold from test clips: no scores of normal clips are stored. Of {limit.clips:,} test clips, {how}. "
        f"It calls {limit.exceeding:,} of them anomalies. How many false alarms it gives on new sound is not known.",
        {"clips": limit.clips, "exceeding": limit.exceeding, "normal_share": share},
    )
