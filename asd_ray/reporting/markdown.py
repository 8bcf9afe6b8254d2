"""The report as Markdown, for an e-mail or a repository."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from asd_ray._numbers import count
from asd_ray._terminal import visible
from asd_ray.ensembling import Ensemble
from asd_ray.ensembling.mistakes import Mistakes
from asd_ray.reporting.leaderboard import differing, setting_of
from asd_ray.reporting.machine import beside_headline
from asd_ray.reporting.media import Media
from asd_ray.reporting.overview import cost, detectors, no_cost
from asd_ray.reporting.text import (
    DASH,
    MEASURES,
    SHORT,
    detector,
    number,
    percent,
    settings,
    short,
    signed,
    span,
)

BEST = 10  # candidates shown per machine


def markdown(facts: Mapping[str, Any], media: Media | None = None) -> str:
    return "\n".join(_lines(facts, media)) + "\n"


def _lines(facts: Mapping[str, Any], media: Media | None) -> Iterator[str]:
    yield f"# Report of {plain(facts['run'])}\n"
    yield from (f"- {plain(each.sentence)}." for each in facts["verdicts"].values())
    yield f"\n{plain(facts['labels'])}\n"
    yield from _summary(facts["summary"])
    if facts["summary"]["apart"]:
        yield f"\n{plain(facts['summary']['apart'])}"
    if facts["without"]:
        yield f"\nWithout an ensemble yet: {', '.join(map(plain, facts['without']))}."
    yield from (f"\nLeft out: {plain(why)}" for why in facts["left_out"])
    yield from (f"\nNot read: {plain(why)}" for why in facts["not_read"])
    for machine, own in facts["machines"].items():
        yield from _machine(machine, own)
        yield from _mistakes(machine, own["mistakes"], media)
    yield "\n## Families\n"
    yield from table(
        (*("family", "machine", "complete", "pruned", "failed", "best objective", "protocol"),
         *("seconds", "seconds per point")),
        (
            [family, machine, *map(str, study["counts"].values()), _best(study), study["protocol"] or DASH,
             number(study["cost"]["seconds"], 1), number(study["cost"]["seconds_per_point"], 1)]
            for family, own in facts["families"].items()
            for machine, study in own["studies"].items()
        ),
        left=2,
    )  # fmt: skip
    if facts["published"]:
        yield from _published(facts["published"])
    yield from _provenance(facts["provenance"])


def _summary(summary: Mapping[str, Any]) -> Iterator[str]:
    if not any(row["measured"] for row in summary["rows"]):
        yield from table(
            ("machine", "ensemble", "real faults", "members", "value on injected faults"),
            (
                [row["machine"], row["recipe"], row["not_measured"], str(row["members"]), _faults(row["on_faults"])]
                for row in summary["rows"]
            ),
            left=3,
        )
        return
    names = ["machine", "ensemble", "members", "protocol"]
    maximised = {row["maximise"] for row in summary["rows"]}
    for name, shown in SHORT.items():
        names += [shown, f"95 % of {shown}"] if name in maximised else [shown]
    rows = [_row(row["machine"], row["recipe"], str(row["members"]), row, maximised) for row in summary["rows"]]
    over = summary["over_machines"]
    if (over["forecast"] or over["oracle"]) and len(summary["rows"]) > 1:
        rows.append(_row("hmean over machines", "", "", {**over, "gain": None, "maximise": ""}, maximised))
    oracle = (f"{shown} (oracle)" for shown in SHORT.values())
    yield from table((*names, *oracle, "gain over best single", "its 95 %"), rows, left=2)


def _row(machine: str, recipe: str, members: str, row: Mapping[str, Any], maximised: Collection[str]) -> list[str]:
    """A row with a column of intervals after each measure that some row maximises."""
    if not row.get("measured", True):
        numbers = ["not measured"] * (2 * len(SHORT) + len(maximised) + 2)
        return [machine, recipe, members, row["not_measured"], *numbers]
    own, best, gain = row["forecast"] or {}, row["oracle"] or {}, row["gain"] or {}
    cells = [machine, recipe, members, row["protocol"] or DASH]
    for name in SHORT:
        cells.append(number(own.get(name)))
        if name in maximised:
            cells.append(span(own.get("interval")) if row["maximise"] == name else DASH)
    cells += [number(best.get(name)) for name in SHORT]
    return [*cells, signed(gain.get("value")) + _against(gain), span(gain.get("interval"), plus=True)]


def _machine(machine: str, facts: Mapping[str, Any]) -> Iterator[str]:
    final: Ensemble = facts["final"]
    yield f"\n## {plain(machine)}: {plain(final.name)}\n"
    yield f"{plain(detectors(final))}. Cost: {plain(cost(final) or no_cost(final)).removesuffix('.')}.\n"
    tried = count(final.candidates.tried, "candidate")
    measure = f", {MEASURES[final.config.maximise]}" if final.metrics else ""
    yield f"{tried} tried{measure}; {plain(facts['labels'])}.\n"
    yield from (f"- {short(member.weight)} × {plain(member.name)} {plain(member.variant)}" for member in final.members)
    if facts["warnings"]:
        yield "\n### Before you trust these numbers\n"
        yield from (f"- {plain(warning.sentence)}" for warning in facts["warnings"])
    yield from (f"\nNote: {plain(note)}" for note in facts["notes"])
    yield from _on_faults(facts)
    yield "\n### Recipes\n"
    beside = beside_headline()
    names = (
        "recipe",
        "members",
        "protocol",
        "forecast",
        "95 %",
        "oracle",
        "oracle − crossval",
        *beside,
        "gain",
        "its 95 %",
    )
    if not final.metrics:
        rows = (
            [
                row["recipe"] + " (chosen)" * row["chosen"],
                str(row["members"]),
                final.not_measured,
                _faults(row["on_faults"]),
            ]
            for row in facts["recipes"]
        )
        yield from table(("recipe", "members", "real faults", "injected faults"), rows)
    else:
        yield from table(names, (_recipe(row, beside) for row in facts["recipes"]))
    if facts["older"]:
        yield f"\nNot compared, because older or chosen with other settings: {', '.join(map(plain, facts['older']))}."
    if times := facts["inference"]:
        yield from _times(times)
    board = facts["leaderboard"]
    if board["cells"]:
        yield f"\n### Best candidates (oracle; {min(BEST, len(board['rows']))} of {len(board['rows'])})\n"
        others = differing(board["rows"])
        yield from table(
            ("candidate", "variant", "AUC", "pAUC", "hmean", "seconds", "parameters"),
            (
                [row["name"], row["variant"], number(row["auc"]), number(row["pauc"]), number(row["hmean"]),
                 number(row["seconds"], 1), setting_of(row) or settings(others[row["trial"]])]
                for row in board["rows"][:BEST]
            ),
            left=2,
        )  # fmt: skip
    if final.selection_frequency:
        frequent = [
            f"{plain(row.name)} {plain(row.variant)} {percent(row.frequency)}"
            for row in final.selection_frequency[:BEST]
        ]
        yield f"\nShare of crossval's folds that chose a candidate: {', '.join(frequent)}."


def _on_faults(facts: Mapping[str, Any]) -> Iterator[str]:
    """The values on injected faults by kind, where there are any."""
    if not (found := facts["on_faults"]):
        return
    members = [f"{detector(member.family, member.name)} {member.variant}" for member in facts["final"].members]
    yield "\n### Injected faults\n"
    yield (
        "AUC between held-out normal clips and the same clips with a fault; 0.5 is chance. Value: the median over "
        "kinds of the harmonic mean of AUC and pAUC. It does not forecast how well real faults are found.\n"
    )
    rows = [[kind, *(number(value, 3) for value in aucs)] for kind, aucs in found["aucs"].items()]
    rows.append(["value", *(number(value, 3) for value in (found["value"], *found["members"]))])
    yield from table(("kind of fault", "ensemble", *members), rows)


def _faults(value: float | None) -> str:
    return "not scored" if value is None else number(value)


def _times(times: Mapping[str, Any]) -> Iterator[str]:
    yield "\n### Time for 10 s of sound\n"
    yield (
        f"The chosen ensemble takes {number(1000 * times['seconds'], 1)} ms, and the limit was "
        f"{number(1000 * times['limit'], 1)} ms, in one thread of {plain(times['computer'])}.\n"
    )
    names = ["ensemble or single candidate", "ms", *["hmean (oracle)", "hmean (forecast)"] * times["measured"]]
    rows = (
        [row["name"], number(1000 * row["seconds"], 1)]
        + [number(row["hmean"]), number(row.get("forecast"))] * times["measured"]
        for row in (*times["ensembles"], *times["singles"])
    )
    yield from table(names, rows)


def _mistakes(machine: str, found: Mistakes, media: Media | None) -> Iterator[str]:
    """The clips that are most often wrong. Of `media` it has the sentences."""
    if not found.clips:
        return
    yield f"\n### {found.title}\n"
    sentences = [media.of(machine, each.clip).sentence if media else "" for each in found.clips]
    words = ["clip", "id", "domain", "label", "decision", *["mistake"] * found.labelled]
    words += ["where the score comes from"] * any(sentences)
    numbers = [*["wrong in ensembles"] * found.labelled, "score", "threshold"]
    rows = (
        [each.clip, each.id, each.domain or DASH, each.label, each.decision, *[each.mistake] * found.labelled]
        + [sentence] * any(sentences)
        + [f"{each.wrong} of {len(found.ensembles)}"] * found.labelled
        + [number(each.score, 3), number(found.threshold, 3)]
        for each, sentence in zip(found.clips, sentences, strict=True)
    )
    yield from table([*words, *numbers], rows, left=len(words))
    if media is not None:
        yield from (f"\nNote: {plain(note)}" for note in media.notes_of(machine))


def _best(study: Mapping[str, Any]) -> str:
    return number(study["best"]) + " (faults)" * (study["unit"] == "faults" and study["best"] is not None)


def _recipe(row: Mapping[str, Any], beside: Sequence[str]) -> list[str]:
    own, gain = row["forecast"] or {}, row["gain"] or {}
    return [
        row["recipe"] + (" (chosen)" if row["chosen"] else ""),
        str(row["members"]),
        row["protocol"] or DASH,
        number(own.get("value")),
        span(own.get("interval")),
        number((row["oracle"] or {}).get("value")),
        signed(row["gap"]),
        *(number(row[protocol]) for protocol in beside),
        signed(gain.get("value")) + _against(gain),
        span(gain.get("interval"), plus=True),
    ]


def _against(gain: Mapping[str, Any]) -> str:
    """The protocol if the gain is no forecast, or the protocol of the single detector if it differs."""
    if not gain or gain["against"] == gain["protocol"] != "oracle":
        return ""
    return " (oracle)" if gain["protocol"] == "oracle" else f" (single: {gain['against']})"


def _published(comparison: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## Compared with published numbers: DCASE {comparison['year']}, {comparison['measure']}\n"
    yield f"Compared with this run: {plain(comparison['compared'])}.\n"
    machines = comparison["machines"]
    rows = (
        [row["system"], row["protocol"]]
        + [" / ".join(number(value, 2) for value in row["values"].get(machine, ())) or DASH for machine in machines]
        for row in comparison["rows"]
    )
    yield from table(("system", "protocol", *machines), rows, left=2)


def _provenance(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Provenance\n"
    yield from (f"- {name}: {plain(text)}" for part in ("protocols", "measures") for name, text in facts[part].items())
    for machine, dataset in facts["datasets"].items():
        clips = ", ".join(f"{many} {label}" for label, many in dataset["clips"].items())
        name, fingerprint = plain(dataset["name"]), plain(dataset["fingerprint"] or DASH)
        test = f"test clips {clips}" if clips else "no test clips"
        described = f"dataset {name}, fingerprint {fingerprint}, {test}"
        yield f"- {plain(machine)}: {described}; {plain(dataset['cells'])}"
    for stage, versions in facts["versions"].items():
        if versions:
            packages = ", ".join(f"{name} {version}" for name, version in versions.items())
            yield f"- versions of {stage}: {plain(packages)}"
    longest = max((len(run) for command in facts["commands"] for run in re.findall("`+", command)), default=0)
    fence = "`" * max(3, longest + 1)  # longer than any in the commands
    yield f"\n{fence}sh"
    yield from facts["commands"]
    yield fence


def table(names: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> Iterator[str]:
    """The lines of a table. The first `left` columns are words, the others numbers."""
    yield f"| {' | '.join(map(plain, names))} |"
    yield f"|{'|'.join('---' if at < left else '--:' for at in range(len(names)))}|"
    yield from (f"| {' | '.join(map(plain, row))} |" for row in rows)


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", visible(" ".join(str(text).split())))
