"""The model card of a bundle, in Markdown: what it catches, its training, its numbers, and what was not measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asd_ray.deploy.calibration import GIVEN, Calibration
from asd_ray.ensembling.costs import in_ms
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.threshold import Threshold
from asd_ray.ensembling.trust import false_alarms, trust_level
from asd_ray.families.weights import WEIGHTS_VARIABLE, needed_encoders, weights_options
from asd_ray.metrics import FalseAlarmRate

SPLITS = {"held_out": "held-out", "train": "training", "test": "test"}  # which normal clips units are learned from


def model_card(facts: Mapping[str, Any], ensemble: Ensemble, calibration: Calibration) -> str:
    parts = (
        _head(facts, ensemble),
        _expect(facts, ensemble),
        _use(facts, ensemble),
        _warnings(facts, ensemble, calibration),
        _training(facts, ensemble),
        _members(facts, ensemble),
        _numbers(facts, ensemble),
        _threshold(facts, ensemble, calibration),
        _not_measured(facts, ensemble),
        _versions(facts),
    )
    return "\n".join(line for part in parts for line in [*part, ""]).rstrip() + "\n"


def _head(facts: Mapping[str, Any], ensemble: Ensemble) -> Iterator[str]:
    yield f"# Anomalous sound of {_text(ensemble.machine)}"
    yield ""
    count = len(ensemble.members)
    yield (
        f"This bundle scores sound of the machine {_text(ensemble.machine)}: a higher score is more anomalous. It is "
        f"an ensemble of {count} member{'s' * (count != 1)} by the recipe {_text(ensemble.name)}, written by asd_ray "
        f"on {facts['created'][:10]}."
    )


def _expect(facts: Mapping[str, Any], ensemble: Ensemble) -> Iterator[str]:
    """What it catches and how far to trust that, in sentences: these come before the numbers."""
    counts, trust = ensemble.counts, trust_level(ensemble)
    yield "## What to expect"
    yield ""
    if counts:
        yield f"It {_text(counts.sentence)}. {_sentence(counts.ground)}{_of_before(facts)}"
        yield ""
    elif not ensemble.metrics:
        why = ensemble.not_measured.removeprefix("not measured: ")
        yield f"How many faults it catches is not measured: {_sentence(why)}"
        yield ""
    yield f"Trust in its numbers and decisions is {trust.level}:"
    yield ""
    yield from (f"- {_sentence(reason)}" for reason in trust.reasons)


def _of_before(facts: Mapping[str, Any]) -> str:
    """That the counts are not of what this bundle holds."""
    if facts["refit"]:
        return " That was counted before its members were trained anew."
    if "calibrated" in facts:
        return " That was counted with other units or another threshold than this bundle has now."
    return ""


def _use(facts: Mapping[str, Any], ensemble: Ensemble) -> Iterator[str]:
    yield "## Use"
    yield ""
    encoders = needed_encoders(detector["params"] for detector in facts["detectors"])
    command = " ".join(["asd-ray score THIS_FOLDER new.wav", *weights_options(encoders)])
    yield from ("```sh", command, "```", "")
    yield from (
        "```python",
        "from asd_ray import Bundle",
        'Bundle.load("THIS_FOLDER").score("new.wav").decision',
        "```",
    )
    yield ""
    yield (
        "Nothing in this folder is code. Scoring needs neither Ray nor Optuna; `requirements.txt` lists the packages. "
        f"Sound of any rate is resampled to {facts['rate']} Hz; {_channel(facts['channel'])} used."
    )
    if encoders:
        yield ""
        yield (
            f"It needs the files of these encoders, named by a hash of their content: {_text(', '.join(encoders))}; "
            f"bring them with `--weights`, or in the folder of `${WEIGHTS_VARIABLE}`, which Python reads, too."
        )
    if cost := ensemble.running_cost:
        limit = ensemble.config.infer_limit
        chosen = "" if limit is None else f"; they were chosen to take at most {in_ms(limit)}"
        yield ""
        yield f"Its detectors take {_text(cost.sentence)}{chosen}."
    elif ensemble.cost_unmeasured:
        yield ""
        yield f"The time that its detectors take was not measured: {_text(ensemble.cost_unmeasured).removesuffix('.')}."


def _warnings(facts: Mapping[str, Any], ensemble: Ensemble, calibration: Calibration) -> Iterator[str]:
    """Those of the ensemble; false alarms by this bundle's threshold and the length of its training clips.

    Decisions on test clips were counted at the ensemble's own units and threshold. Others are compared with the scores
    of the bundle's normal clips.
    """
    profile = facts["profiles"].get("", {})
    seconds = profile.get("usual_seconds") or false_alarms.SECONDS
    sentences = [each.sentence for each in ensemble.warnings or () if each.name != false_alarms.NAME]
    if (counts := ensemble.counts) and counts.normals and "calibrated" not in facts:
        found = false_alarms.of_counts(counts, seconds)
    else:
        rate = FalseAlarmRate.of(calibration.normal[""], calibration.threshold.value)
        found = false_alarms.of_rate(rate, seconds, "normal clips of this bundle")
    sentences += [each.sentence for each in found]
    if sentences:
        yield "## Before you trust it"
        yield ""
        yield from (f"- {_sentence(sentence)}" for sentence in sentences)


def _training(facts: Mapping[str, Any], ensemble: Ensemble) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield f"Only normal sound was used for training, of the dataset {_text(ensemble.dataset.name)}:"
    yield ""
    yield "| id | clips | seconds | level, dB of full scale | rate of the files, Hz |"
    yield "|---|---|---|---|---|"
    for id, profile in facts["profiles"].items():
        name = _text(id) if id else "all"
        rates = ", ".join(map(str, profile["rates"]))
        yield f"| {name} | {profile['clips']} | {_span(profile['seconds'])} | {_span(profile['level_db'])} | {rates} |"
    if facts["refit"]:
        yield ""
        yield (
            "The members were trained anew on all normal clips, those that had been held out included. **All numbers "
            "of this card are those of the ensemble before that**, and so are its units and its threshold; the "
            "detectors in this folder were not measured."
        )


def _members(facts: Mapping[str, Any], ensemble: Ensemble) -> Iterator[str]:
    origins = {detector["trial"]: detector["origin"] for detector in facts["detectors"]}
    yield "## Members"
    yield ""
    yield "| trial | family | score | weight | parameters | state |"
    yield "|---|---|---|---|---|---|"
    for member in ensemble.members:
        params = ", ".join(f"{name} {_text(value)}" for name, value in member.params.items())
        yield (
            f"| {_text(member.name)} | {_text(member.family)} | {_text(member.variant)} | {member.weight:g} "
            f"| {params} | {_text(origins[member.trial])} |"
        )
    yield ""
    standardise = ensemble.recipe.standardise
    yield (
        f"Scores are brought into one unit by `{standardise.how}` per {standardise.per.replace('_', ' and ')}, from "
        f"scores of normal clips, and combined by `{ensemble.combine}`. {_sentence(ensemble.labels)}"
    )


def _numbers(facts: Mapping[str, Any], ensemble: Ensemble) -> Iterator[str]:
    yield "## Numbers"
    yield ""
    if not len(ensemble.metrics):
        yield f"{_sentence(ensemble.not_measured)} How well it finds real faults is not known."
        return
    tried = ensemble.candidates.tried
    yield f"On labelled test clips of {_text(ensemble.dataset.name)}; {tried} candidates were tried."
    yield ""
    yield "| protocol | value | 95 % interval | AUC | pAUC | how labels were used |"
    yield "|---|---|---|---|---|---|"
    for name in ensemble.metrics:
        metric = ensemble.metrics[name]
        low, high = metric.interval
        headline = " (headline)" * (name == ensemble.headline_protocol)
        yield (
            f"| {name}{headline} | {metric.value:.4f} | {low:.4f} to {high:.4f} | {metric.auc:.4f} "
            f"| {metric.pauc:.4f} | {_text(metric.labels)} |"
        )


def _threshold(facts: Mapping[str, Any], ensemble: Ensemble, calibration: Calibration) -> Iterator[str]:
    limit, count = calibration.threshold, len(calibration.normal[""])
    yield "## Threshold"
    yield ""
    if "calibrated" in facts:
        yield (
            f"Units and threshold were changed on {facts['calibrated'][:10]}, after the ensemble was measured: the "
            "numbers above are those of its own units and threshold. "
        )
        yield ""
    yield f"A score above {limit.value:.4f} is called an anomaly. " + _reason(limit, count, SPLITS[ensemble.recipe.by])
    if ensemble.metrics.decisions is not None and limit.value == ensemble.threshold.value:
        decisions = ensemble.metrics.decisions
        yield ""
        yield (
            f"Decisions on the labelled test clips: precision {decisions.precision:.3f}, "
            f"recall {decisions.recall:.3f}, F1 {decisions.f1:.3f}."
        )


def _reason(limit: Threshold, count: int, which: str) -> str:
    if limit.note == GIVEN:
        return "A user chose this threshold."
    how = "a gamma distribution fitted to the scores" if limit.how == "gamma" else "the scores"
    return (
        f"It is the {limit.percentile:g}th percentile, by {how} of {count} {which} normal clips. So about "
        f"{100 - limit.percentile:g} % of normal clips give a false alarm; change that with `--false-alarms 1%` or "
        "`--threshold`, without training."
    )


def _not_measured(facts: Mapping[str, Any], ensemble: Ensemble) -> Iterator[str]:
    yield "## Not measured"
    yield ""
    yield "- Other machines, other units of this machine, other microphones and other rooms than those of the dataset."
    if len(ensemble.metrics):
        yield "- Faults that the test clips do not have, and how early a fault is heard."
    else:
        yield "- Faults of any kind, and how early a fault is heard."
    yield "- Change over time: a machine that wears in, another season. Watch for drift, and calibrate anew."
    if not ensemble.forecasts and len(ensemble.metrics):
        yield "- How well the ensemble does on clips that it was not chosen on: the numbers above are upper bounds."
    for note in ensemble.notes:
        yield f"- {_sentence(note)}"


def _versions(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "## Versions"
    yield ""
    yield ", ".join(f"{name} {version}" for name, version in facts["versions"].items()) + "."


def _channel(channel: object) -> str:
    return "every channel is" if channel == "all" else f"channel {_text(channel)} is"


def _span(pair: list[float]) -> str:
    low, high = pair
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _sentence(text: object) -> str:
    plain = _text(text)
    return f"{plain[:1].upper()}{plain[1:]}{'' if plain.endswith('.') else '.'}"


def _text(value: object) -> str:
    """A value in a line of Markdown: no line breaks, and no characters that end a cell or begin markup."""
    text = " ".join(str(value).split())
    return "".join(f"\\{character}" if character in "\\|<>*`[]" else character for character in text)
