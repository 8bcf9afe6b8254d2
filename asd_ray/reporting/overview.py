"""What the overview says of a machine: what its ensemble catches, how far to trust that, what it is, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asd_ray._terminal import typed
from asd_ray.ensembling import Ensemble, TrustLevel, trust_level
from asd_ray.ensembling._part import Part
from asd_ray.ensembling.costs import in_ms
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.threshold import TEST
from asd_ray.ensembling.trust import few_clips
from asd_ray.ensembling.trust.level import LOW
from asd_ray.reporting.text import SHORT, count, detector

COMBINED = {
    "mean": "the mean of their scores",
    "max": "the largest of their scores",
    "min": "the smallest of their scores",
    "median": "the median of their scores",
    "rank_mean": "the mean of their ranks among the scored clips",
}


@dataclass(frozen=True)
class Verdict(Part):
    """A machine's ensemble in sentences without capital letters and full stops; "" for what is not known."""

    machine: str
    catches: str  # catches 41 of 48 faults at 5 false alarms in 48 normal clips
    ground: str  # which clips were counted
    instead: str  # what was measured in place of real faults
    forecast: str
    trust: TrustLevel
    detectors: str
    cost: str

    @property
    def sentence(self) -> str:
        """All that a reader must know, for the terminal and Markdown."""
        parts = (self.catches, self.instead, self.forecast, f"trust: {self.trust.sentence}")
        return f"{self.machine}: {'; '.join(filter(None, parts))}"


def verdict(machine: str, facts: Mapping[str, Any]) -> Verdict:
    """`facts` are those of the machine."""
    final: Ensemble = facts["final"]
    counts: DecisionCounts | None = facts["decisions"]
    return Verdict(
        machine,
        counts.sentence if counts else _without_labels(final),
        counts.ground if counts else "",
        "" if counts else _instead(facts["on_faults"]),
        _forecast(final),
        trust_level(final, facts["warnings"]),
        detectors(final),
        cost(final),
    )


def _without_labels(final: Ensemble) -> str:
    """What is known of a machine that was not measured: its false alarms on the normal clips behind the threshold."""
    limit, why = final.threshold, final.not_measured.removeprefix("not measured: ")
    unknown = f"how many faults it catches is not measured: {why}"
    if limit.clips is None or limit.exceeding is None or limit.source == TEST:
        return unknown
    return f"gives {count(limit.exceeding, 'false alarm')} in {count(limit.clips, 'normal clip')}; {unknown}"


def _instead(found: Mapping[str, Any] | None) -> str:
    """What was measured in place of real faults."""
    if not found:
        return ""
    clips = f"{count(found['faults'], 'clip')} with an injected fault and {count(found['normal'], 'normal clip')}"
    scale = "(1 is perfect, 0.5 is chance)"
    return f"the value on {clips} is {found['value']:.3f} {scale}; this is no forecast for real faults"


def _forecast(final: Ensemble) -> str:
    headline = final.headline
    if headline is None:
        return ""
    low, high = headline.interval
    name = "forecast" if final.forecasts else "upper bound"
    measure = final.config.maximise
    others = [f"{SHORT[key]} {getattr(headline, key):.3f}" for key in SHORT if key != measure]
    return f"{name}: {SHORT[measure]} {headline.value:.3f}, 95 % interval {low:.3f} … {high:.3f} ({', '.join(others)})"


def detectors(final: Ensemble) -> str:
    """Which detectors the ensemble has, and how it combines them."""
    names = Counter(detector(member.family, member.name) for member in final.members)
    listed = ", ".join(f"{many} × {name}" if many > 1 else name for name, many in names.items())
    if len(final.members) == 1:
        return f"1 detector: {listed}"
    return (
        f"{count(len(final.members), 'detector')}: {listed}; combined by {COMBINED.get(final.combine, final.combine)}"
    )


def cost(final: Ensemble) -> str:
    """The measured time for 10 s of sound; "" where no limit was set, because only then it is measured."""
    if final.inference is None:
        return ""
    return f"{in_ms(final.inference.seconds)} for 10 s of sound, in one thread of {final.inference.costs.computer}"


def next_steps(run: str, machines: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What to do now: a sentence, and a command or ""."""
    finals: dict[str, Ensemble] = {name: own["final"] for name, own in machines.items()}
    few = [name for name, own in machines.items() if _few_normals(own)]
    unmeasured = [name for name, final in finals.items() if not final.metrics]
    usable = [name for name, own in machines.items() if trust_level(own["final"], own["warnings"]).level != LOW]
    first = next(iter([*usable, *finals]))
    if few:
        yield (
            f"Record more normal sound of {', '.join(few)}, so that the threshold rests on more clips. Then search "
            "again.",
            "",
        )
    if unmeasured:
        yield (
            f"Find out how many faults are found of {', '.join(unmeasured)}: put a few recordings of faults into the "
            "folder abnormal/ of the machine, and search again into a new run.",
            "",
        )
    if any(own["mistakes"].clips for own in machines.values()):
        yield (
            "Listen to the clips that are decided wrongly.",
            f"{typed('asd-ray', 'report', '--run', run, '--data')} FOLDER",
        )
    yield f"Put the ensemble of {first} into one folder.", typed("asd-ray", "bundle", first, "--run", run)
    yield "Score new recordings with it.", typed("asd-ray", "score", f"{first}.bundle", "new.wav")
    yield "Watch a folder of recordings for alarms.", typed("asd-ray", "watch", f"{first}.bundle", "recordings/")


def _few_normals(own: Mapping[str, Any]) -> bool:
    return any(each.name == few_clips.NAME and "exceeding" in each.numbers for each in own["warnings"])
