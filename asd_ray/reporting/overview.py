"""What the overview says of a machine: what its ensemble catches, how far to trust that, what it is, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asd_ray._numbers import count
from asd_ray._terminal import typed
from asd_ray.ensembling import Ensemble, EnsembleConfig, TrustLevel, trust_level
from asd_ray.ensembling._part import Part
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.recipe_file import find_recipe, shipped_recipes
from asd_ray.ensembling.threshold import TEST
from asd_ray.ensembling.trust import few_clips, zero_cell
from asd_ray.ensembling.trust.level import LOW
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.ensembling.unmeasured import NO_ID
from asd_ray.families.weights import needed_encoders, weights_options
from asd_ray.reporting.clip_scores import alarms
from asd_ray.reporting.text import IMPORT, SHORT, detector

COMBINED = {
    "mean": "the mean of their scores",
    "max": "the largest of their scores",
    "min": "the smallest of their scores",
    "median": "the median of their scores",
    "rank_mean": "the mean of their ranks among all test clips",
}


class Step(NamedTuple):
    """What to do now."""

    sentence: str
    command: str = ""
    listens: bool = False  # it makes the sounds and pictures that a page may have already


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
        counts.sentence if counts else _without_labels(facts),
        counts.ground if counts else "",
        "" if counts else _instead(facts["on_faults"]),
        _forecast(final, facts["warnings"]),
        trust_level(final, facts["warnings"]),
        detectors(final),
        cost(final),
    )


def _without_labels(facts: Mapping[str, Any]) -> str:
    """What is known of a machine that was not measured: its false alarms on normal clips.

    These are normal test clips, or where there are none, the clips by which the threshold was set.
    """
    final: Ensemble = facts["final"]
    limit, why = final.threshold, final.not_measured.removeprefix("not measured: ")
    unknown = f"how many faults it catches is not measured: {why}"
    if limit.clips is None or limit.exceeding is None or limit.source == TEST:
        return unknown
    above, clips = limit.exceeding, f"{count(limit.clips, 'normal clip')}, by which the threshold was set"
    if facts["clips"].get("normal"):
        normals = alarms(facts["clip_scores"], limit.value)[0]["labels"]["normal"]
        above, clips = normals["above"], count(normals["clips"], "normal test clip")
    return f"gives {count(above, 'false alarm')} in {clips}; {unknown}"


def _instead(found: Mapping[str, Any] | None) -> str:
    """What was measured in place of real faults."""
    if not found:
        return ""
    clips = f"{count(found['faults'], 'clip')} with an injected fault and {count(found['normal'], 'normal clip')}"
    scale = "(1 is perfect, 0.5 is chance)"
    return f"the value on {clips} is {found['value']:.3f} {scale}; this is no forecast for real faults"


def _forecast(final: Ensemble, warnings: Sequence[TrustWarning]) -> str:
    headline = final.headline
    if headline is None:
        return ""
    low, high = headline.interval
    name = "forecast" if final.forecasts else "on the clips that chose it, so too good"
    measure = final.config.maximise
    others = [f"{SHORT[key]} {getattr(headline, key):.3f}" for key in SHORT if key != measure]
    number = f"{SHORT[measure]} {headline.value:.3f}, 95 % interval {low:.3f} … {high:.3f} ({', '.join(others)})"
    return "; ".join(filter(None, (f"{name}: {number}", zero_cell.reason(final, warnings))))


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
    """The measured time for 10 s of sound; "" where it was not measured, see `no_cost`."""
    return final.running_cost.sentence if final.running_cost else ""


def no_cost(final: Ensemble) -> str:
    """What stands in place of an unknown cost: ``not measured``, with the reason where it is known."""
    return f"not measured: {final.cost_unmeasured}" if final.cost_unmeasured else "not measured"


def can_be_timed(final: Ensemble) -> bool:
    """Whether detectors of its kind can score new sound: nobody has those of imported systems."""
    return any(member.family != IMPORT for member in final.members)


def can_be_bundled(final: Ensemble) -> bool:
    """Whether the ensemble can score one new clip: all of its detectors are ours, and it needs no other clips."""
    return not final.transductive and all(member.family != IMPORT for member in final.members)


def weights_to_bring(final: Ensemble) -> list[str]:
    """The options with which a command loads its detectors: ``--weights ast=FILE`` for each encoder of the user."""
    return weights_options(needed_encoders(member.params for member in final.members))


def choose_again(run: str, final: Ensemble, *options: str) -> str:
    """The command that chooses with the same settings, and with `options`, and makes this recipe's ensemble final."""
    config, usual = final.config, EnsembleConfig()
    changed = [
        (f"--{name}", str(value))
        for name in ("maximise", "folds", "repeats", "seed")
        if (value := getattr(config, name)) != getattr(usual, name)
    ]
    if config.infer_limit is not None:
        changed.append(("--infer-limit", f"{1000 * config.infer_limit:g}ms"))
    changed.append(("--recipe", final.recipe_source or final.recipe.stem))
    shipped = find_recipe(final.recipe.stem) if final.recipe.stem in shipped_recipes() else None
    if shipped is None or final.recipe.by != shipped.by:
        changed.append(("--by", final.recipe.by))
    if shipped is None or final.recipe.standardise.how != shipped.standardise.how:
        changed.append(("--standardise", final.recipe.standardise.how))
    words = [word for option in changed for word in option]
    return typed("asd-ray", "ensemble", final.machine, "--run", run, *words, "--final", *options)


def next_steps(run: str, machines: Mapping[str, Mapping[str, Any]]) -> Iterator[Step]:
    """What to do now: a sentence, and a command or ""."""
    finals: dict[str, Ensemble] = {name: own["final"] for name, own in machines.items()}
    few = [name for name, own in machines.items() if _few_normals(own)]
    if few:
        yield Step(
            f"Record more normal sound of {', '.join(few)}, so that the threshold rests on more clips, and search "
            "again into a new run (--run)."
        )
    unmeasured = {name: final.not_measured for name, final in finals.items() if not final.metrics}
    without_faults = [name for name, why in unmeasured.items() if not why.endswith(NO_ID)]
    without_normals = [name for name, why in unmeasured.items() if why.endswith(NO_ID)]
    if without_faults:
        yield Step(
            f"Find out how many faults of {', '.join(without_faults)} are found: add a few recordings of faults to the "
            "test clips (folder abnormal/, or DCASE's test/ folder), and search again into a new run (--run)."
        )
    if without_normals:
        yield Step(
            f"Find out how many faults of {', '.join(without_normals)} are found: add normal recordings of the same id "
            "as the faults to the test clips, and search again into a new run (--run)."
        )
    listed = [own["mistakes"] for own in machines.values() if own["mistakes"].clips]
    if listed:
        which = "that are decided wrongly" if any(each.labelled for each in listed) else "that score highest"
        command = f"{typed('asd-ray', 'report', '--run', run, '--data')} FOLDER"
        yield Step(f"Listen to the clips {which}.", command, listens=True)
    yield from _use(run, machines)


def _use(run: str, machines: Mapping[str, Mapping[str, Any]]) -> Iterator[Step]:
    """How to score new sound: with the first ensemble that can, if possible one that is to be trusted."""
    able = [name for name, own in machines.items() if can_be_bundled(own["final"])]
    trusted = [name for name in able if trust_level(machines[name]["final"], machines[name]["warnings"]).level != LOW]
    if not able:
        return
    first = (trusted or able)[0]
    bundle = typed("asd-ray", "bundle", first, "--run", run)
    weights = weights_to_bring(machines[first]["final"])
    if machines[first]["states_kept"]:
        yield Step(f"Put the ensemble of {first} into one folder.", bundle)
    else:
        yield Step(
            f"Put the ensemble of {first} into one folder. The search did not keep what all of its members have "
            "learned, so they are trained again on the clips of the search.",
            " ".join([bundle, "--data FOLDER", *weights]),
        )
    yield Step("Score new recordings with it.", typed("asd-ray", "score", f"{first}.bundle", "new.wav", *weights))
    yield Step(
        "Watch a folder of recordings for alarms.",
        typed("asd-ray", "watch", f"{first}.bundle", "recordings/", "--false-alarms", "0.1%", *weights),
    )


def _few_normals(own: Mapping[str, Any]) -> bool:
    return any(each.name == few_clips.NAME and "exceeding" in each.numbers for each in own["warnings"])
