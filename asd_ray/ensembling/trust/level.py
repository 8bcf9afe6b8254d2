"""How far an ensemble's numbers and decisions can be trusted: high, medium or low, with the reasons.

The level follows from what the ensemble file holds: the protocol of its headline number, the width of that number's
interval, and the warnings of the other rules. Computed when it is shown, so files of earlier versions have one as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from asd_ray._numbers import count
from asd_ray.ensembling import protocols
from asd_ray.ensembling._part import Part
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.metric import Metric
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.trust import below_chance, certainty, far_from_training, fault_values, few_clips
from asd_ray.ensembling.trust import threshold_source as from_test
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.ensembling.unmeasured import NO_ID, NOT_KNOWN
from asd_ray.metrics import FalseAlarmRate
from asd_ray.metrics.evaluable import ANOMALY, NORMAL

HIGH, MEDIUM, LOW = LEVELS = ("high", "medium", "low")
NARROW = 0.1  # width of a 95 % interval that allows a high level
WIDE = 0.25  # width above which the level is low
CHANCE = 0.5
SHOWN = 3  # reasons in the sentence
CLEAN = {  # protocol -> why its number is a forecast
    "unseen": "its number comes from clips that chose nothing",
    "nested": "each clip was decided by a recipe and members that were chosen without it",
    "crossval": "each clip was decided by members that were chosen without it",
    "label_free": "the members were chosen without labels",
}
PEEKED = "--checkpoint oracle"  # begins the note of an ensemble whose members' epochs test labels chose

Reason = tuple[str, str]  # a level, and why it is not higher


@dataclass(frozen=True)
class TrustLevel(Part):
    """A level and its reasons, the gravest first. The reasons of a high level say why nothing lowers it."""

    level: str
    reasons: tuple[str, ...]

    @property
    def others(self) -> tuple[str, ...]:
        """The reasons for which `sentence` has no room."""
        return self.reasons[SHOWN:]

    @property
    def sentence(self) -> str:
        """``medium, because …``: at most three reasons; `reasons` has all of them."""
        *before, last = self.reasons[:SHOWN]
        shown = "".join(f"{reason}, " for reason in before) + ("and " if before else "") + last
        more = len(self.others)
        others = f" ({more} more reason{'s' * (more > 1)})" if more > 0 else ""
        return f"{self.level}, because {shown}{others}"


def trust_level(ensemble: Ensemble, warnings: Sequence[TrustWarning] | None = None) -> TrustLevel:
    """The level of an ensemble. `warnings` replace those of its file, which files of earlier versions lack."""
    known = ensemble.warnings or () if warnings is None else warnings
    of_warnings = (reason for warning in known if (reason := _of_warning(warning, ensemble)))
    reasons = [*_of_number(ensemble), *of_warnings, *_of_search(ensemble)]
    for level in (LOW, MEDIUM):
        if any(own == level for own, _ in reasons):
            ordered = sorted(reasons, key=lambda reason: reason[0] != LOW)
            return TrustLevel(level, tuple(dict.fromkeys(why for _, why in ordered)))
    headline, name = ensemble.headline, ensemble.headline_protocol
    assert headline is not None  # without a number the level is low
    assert name is not None
    return TrustLevel(HIGH, (f"{CLEAN[name]}, and the 95 % interval is narrow ({_ends(headline)})",))


def _of_number(ensemble: Ensemble) -> Iterator[Reason]:
    """What limits the headline number: it is missing, it is no forecast, it chose among recipes, or it is uncertain."""
    if any(note.startswith(PEEKED) for note in ensemble.notes):
        yield LOW, "test labels chose the epoch of members (--checkpoint oracle), so no number is a forecast"
    headline, name = ensemble.headline, ensemble.headline_protocol
    if headline is None or name is None:
        yield LOW, _why_not_measured(ensemble)
        return
    if not ensemble.forecasts:
        yield LOW, "its only number is measured on the clips that chose it, so it is an upper bound"
    elif (tried := ensemble.tried) and tried.recipes > 1:
        if tried.chosen_by == "user":
            yield MEDIUM, f"a user picked it of {tried.recipes} recipes and may have seen the numbers"
        elif name in protocols.CHOICE and tried.chosen_by != "order":
            yield MEDIUM, f"the number also picked this ensemble of {tried.recipes} recipes, so it is a little too high"
    yield from _of_interval(headline)
    if ensemble.counts and ensemble.counts.normals:
        yield from _of_false_alarms(ensemble.counts, ensemble.threshold.percentile)


def _why_not_measured(ensemble: Ensemble) -> str:
    said = ensemble.not_measured
    if said.endswith(NO_ID):
        return "no id has both normal clips and anomalies, so how many faults it finds is not measured"
    known = "known " * said.endswith(NOT_KNOWN)
    return f"there are no {known}anomalies to measure how many faults it finds"


def _of_interval(headline: Metric) -> Iterator[Reason]:
    low, high = headline.interval
    shown = _ends(headline)
    if low <= CHANCE:
        yield LOW, f"the 95 % interval reaches chance level ({shown})"
    elif high - low <= certainty.ROUNDING:
        yield LOW, "there are too few clips to show how uncertain the number is"
    elif high - low > WIDE:
        yield LOW, f"the 95 % interval is very wide ({shown})"
    elif high - low > NARROW:
        yield MEDIUM, f"the 95 % interval is wide ({shown})"


def _ends(headline: Metric) -> str:
    low, high = headline.interval
    return f"{low:.2f} … {high:.2f}"


def _of_search(ensemble: Ensemble) -> Iterator[Reason]:
    """The search may have used the labels of the measured clips. Clips that were kept unseen are safe from that."""
    if ensemble.headline_protocol in (None, "unseen"):
        return
    if ensemble.candidates.guided is None:
        yield MEDIUM, "it is not recorded whether the search was led by the labels of the same clips"
    elif ensemble.candidates.guided:
        yield MEDIUM, "the search was led by the labels of the same clips"


def _of_false_alarms(counts: DecisionCounts, percentile: float) -> Iterator[Reason]:
    """The threshold promises a share of false alarms; the counted ones may be more than chance explains."""
    promised = 1 - percentile / 100
    if FalseAlarmRate(counts.false_alarms, counts.normals).limits[0] > promised:
        share = f"{counts.false_alarms:,} of {counts.normals:,} normal test clips"
        yield MEDIUM, f"{share} are false alarms, although the threshold is set for {100 * promised:g} %"


def _of_warning(warning: TrustWarning, ensemble: Ensemble) -> Reason | None:
    """The reason that a warning gives; None for one that does not limit the trust, such as false alarms per day."""
    numbers = warning.numbers
    if warning.name == few_clips.NAME:
        return MEDIUM, _of_few_clips(numbers)
    if warning.name == below_chance.NAME:
        if "cells" in numbers:
            return LOW, f"it is below chance in {count(int(numbers['cells']), 'part')} of the test clips"
        if "unsure" in numbers:
            parts = count(int(numbers["unsure"]), "part")
            return MEDIUM, f"it is below chance in {parts} of the test clips, which may be luck"
        return MEDIUM, f"{count(int(numbers['members']), 'member')} alone would be below chance"
    if warning.name == from_test.NAME:
        return MEDIUM, "the threshold comes from test clips, because no scores of normal clips are stored"
    if warning.name == far_from_training.NAME and ensemble.threshold.source == "train":
        return MEDIUM, "members fit the training clips closely, and the threshold comes from these"
    if warning.name == fault_values.NAME:
        return MEDIUM, "the injected faults behind the choice hardly tell detectors apart, or come from few clips"
    return None


def _of_few_clips(numbers: Mapping[str, float]) -> str:
    if ANOMALY in numbers:
        # These are the smallest numbers of any id, or of any domain of an id, and each of them may be of another id.
        fewest = {"anomalous": (numbers[ANOMALY], few_clips.ANOMALIES), "normal": (numbers[NORMAL], few_clips.NORMALS)}
        one, several = ("a domain of an id", "domains of ids") if few_clips.DOMAINS in numbers else ("an id", "ids")
        few = {kind: int(many) for kind, (many, enough) in fewest.items() if many < enough}
        if len(few) == 1:
            (kind, many), *_ = few.items()
            return f"{one} has only {count(many, f'{kind} test clip')}"
        return f"{several} have as few as {' and '.join(f'{many} {kind}' for kind, many in few.items())} test clips"
    if "clips" in numbers:
        return f"the threshold rests on only {numbers['clips']:g} normal clips"
    return f"{count(int(numbers['groups']), 'id or domain', 'ids or domains')} had few clips for the unit of scores"
