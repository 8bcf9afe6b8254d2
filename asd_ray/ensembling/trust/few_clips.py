"""Few clips: of a class, of an id, or behind the threshold and the units."""

from __future__ import annotations

from collections.abc import Iterator

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.standardise import LEAST
from asd_ray.ensembling.threshold import TEST
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.metrics import MAX_FPR, FalseAlarmRate
from asd_ray.metrics.evaluable import ANOMALY, NORMAL

NAME = "few_clips"
ANOMALIES = 10  # of an id: with fewer, one anomaly moves its AUC by more than a tenth
NORMALS = 20  # of an id: with fewer, the tenth of the normal clips that pAUC looks at is less than two clips
ABOVE = 5  # normal clips that are expected above the threshold


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    yield from _of_classes(ensemble, members)
    yield from _behind_threshold(ensemble)
    yield from _behind_units(ensemble, members)


def _of_classes(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    if not ensemble.metrics:
        return
    clips = members.clips.iloc[members.judged.rows]
    counts = {
        str(id): (int((own["label"] == NORMAL).sum()), int((own["label"] == ANOMALY).sum()))
        for id, own in clips.groupby("id")
    }
    few = {id: (n, a) for id, (n, a) in counts.items() if n < NORMALS or a < ANOMALIES}
    if not few:
        return
    normals, anomalies = min(n for n, _ in few.values()), min(a for _, a in few.values())
    if len(few) == 1:
        [(id, (n, a))] = few.items()
        which = f"Id {id} has {_clips(n, NORMAL)} and {_clips(a, 'anomalous')} in the test"
    else:
        which = (
            f"{len(few)} of {len(counts)} ids have few test clips (as few as {_clips(normals, NORMAL)} and "
            f"{_clips(anomalies, 'anomalous')})"
        )
    one = f"one anomaly more or less moves the AUC of an id by up to {1 / anomalies:.2f}"
    tenth = f"pAUC looks at the {100 * MAX_FPR:g} % of the normal clips that score highest, {_share(MAX_FPR * normals)}"
    why = [one] * (anomalies < ANOMALIES) + [tenth] * (normals < NORMALS)
    yield TrustWarning(NAME, f"{which}: {', and '.join(why)}.", {"ids": len(few), NORMAL: normals, ANOMALY: anomalies})


def _behind_threshold(ensemble: Ensemble) -> Iterator[TrustWarning]:
    limit = ensemble.threshold
    if limit.clips is None or limit.exceeding is None or limit.source == TEST:
        return
    expected = limit.clips * (1 - limit.percentile / 100)
    if expected < ABOVE:
        yield behind_threshold(FalseAlarmRate(limit.exceeding, limit.clips), limit.percentile)


def behind_threshold(rate: FalseAlarmRate, percentile: float) -> TrustWarning:
    low, high = rate.limits
    return TrustWarning(
        NAME,
        f"{rate.clips} normal clips are few for the threshold at their {percentile:g}th percentile: by these clips "
        f"alone, the share of normal sound above it may be anything from {100 * low:.1f} % to {100 * high:.1f} %.",
        {"clips": rate.clips, "exceeding": rate.exceeding, "low": low, "high": high},
    )


def _behind_units(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    groups = ensemble.recipe.standardise.groups
    learned, used = groups(members.normal), set(groups(members.clips).tolist())
    few = {name: many for name in sorted(used) if (many := int((learned == name).sum())) < LEAST}
    if few and ensemble.recipe.standardise.per != "machine":
        names = ", ".join(few)
        yield TrustWarning(
            NAME,
            f"Fewer than {LEAST} clips to take units from: {names}. Scores there are in units of the whole machine.",
            {"groups": len(few), "fewest": min(few.values())},
        )


def _clips(many: int, kind: str) -> str:
    return f"{many} {kind} clip{'s' * (many != 1)}"


def _share(clips: float) -> str:
    return "less than one clip" if clips < 1 else f"{clips:.2g} clip{'s' * (clips > 1)}"
