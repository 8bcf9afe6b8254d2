"""Few clips: of a class, of an id, or behind the threshold and the units."""

from __future__ import annotations

from collections.abc import Iterator

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.protocols.unseen import Unseen
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.standardise import LEAST
from asd_ray.ensembling.threshold import TEST
from asd_ray.ensembling.trust._measured import measured_clips
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.metrics import MAX_FPR, FalseAlarmRate
from asd_ray.metrics.evaluable import ANOMALY, NORMAL

NAME = "few_clips"
# Test clips, or unseen clips, of an id, or of one domain of it where each domain is ranked alone.
ANOMALIES = 10  # with fewer, one anomaly moves the AUC by more than a tenth
NORMALS = 20  # with fewer, the tenth of the normal clips that pAUC looks at is less than two clips
DOMAINS = "domains"  # stands in a warning's numbers in place of ids, where domains of ids were counted
ABOVE = 5  # normal clips that are expected above the threshold


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    yield from _of_classes(ensemble, members)
    yield from _behind_threshold(ensemble)
    yield from _behind_units(ensemble, members)


def _of_classes(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    if not ensemble.metrics:
        return
    clips, judged = measured_clips(members, ensemble.headline_protocol)
    by, kind = judged.ranked_by, "unseen" if ensemble.headline_protocol == Unseen.name else "test"
    key, unit, units = "ids", "an id", "ids"
    if "domain" in by:
        key, unit, units = DOMAINS, "a domain of an id", "domains of ids"
    counts = {
        " ".join(map(str, names)): (int((own["label"] == NORMAL).sum()), int((own["label"] == ANOMALY).sum()))
        for names, own in clips.groupby(by)
    }
    few = {name: (n, a) for name, (n, a) in counts.items() if n < NORMALS or a < ANOMALIES}
    if not few:
        return
    normals, anomalies = min(n for n, _ in few.values()), min(a for _, a in few.values())
    if len(few) == 1:
        [(name, (n, a))] = few.items()
        where = "in the test" if kind == "test" else "among the unseen ones"
        which = f"Id {name} has {_clips(n, NORMAL)} and {_clips(a, 'anomalous')} {where}"
    else:
        which = (
            f"{len(few)} of {len(counts)} {units} have few {kind} clips (as few as {_clips(normals, NORMAL)} and "
            f"{_clips(anomalies, 'anomalous')})"
        )
    one = f"one anomaly more or less moves the AUC of {unit} by up to {1 / anomalies:.2f}"
    tenth = f"pAUC looks at the {100 * MAX_FPR:g} % of the normal clips that score highest, {_share(MAX_FPR * normals)}"
    why = [one] * (anomalies < ANOMALIES) + [tenth] * (normals < NORMALS)
    yield TrustWarning(NAME, f"{which}: {', and '.join(why)}.", {key: len(few), NORMAL: normals, ANOMALY: anomalies})


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
