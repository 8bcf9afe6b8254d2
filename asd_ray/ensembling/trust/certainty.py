"""A number whose resampled clips all give the same value: they cannot show how uncertain it is."""

from __future__ import annotations

from collections.abc import Iterator

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.trust_warning import TrustWarning

NAME = "certainty"
ROUNDING = 1e-9


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    metrics = ensemble.metrics.by_protocol
    perfect = [name for name, metric in metrics.items() if metric.value >= 1 - ROUNDING]
    if perfect:
        low, high = metrics[perfect[0]].interval
        is_wide = high - low > ROUNDING
        lower = f"the lower end of the interval, {low:.3f}, allows for clips that were not recorded"
        yield TrustWarning(
            NAME,
            f"Every anomaly scores above every normal clip ({', '.join(perfect)}: 1.000). Resampling these clips "
            f"cannot show how uncertain that is: {lower if is_wide else 'an interval of width zero is no certainty'}.",
            {"value": metrics[perfect[0]].value, "low": low, "high": high},
        )
    for name, metric in metrics.items():
        if name in perfect or metric.interval[1] - metric.interval[0] > ROUNDING:
            continue
        yield TrustWarning(
            NAME,
            f"The interval of {name} has the width zero: there are too few clips to show how uncertain "
            f"{metric.value:.3f} is.",
            {"value": metric.value, "low": metric.interval[0], "high": metric.interval[1]},
        )
