"""The facts of a run's report, the common source of its HTML, JSON, CSV and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asd_ray._progress import progress_bar
from asd_ray._terminal import typed
from asd_ray.ensembling import Ensemble, protocols, stored
from asd_ray.ensembling.ensemble_file import FINAL
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.record import NORMAL_ONLY
from asd_ray.ledger.units import objective_of
from asd_ray.metrics import hmean
from asd_ray.reporting.family import family_facts
from asd_ray.reporting.importances import FEWEST
from asd_ray.reporting.machine import headline_facts, how_labels_were_used, machine_facts, picked_of, shown
from asd_ray.reporting.media import Media
from asd_ray.reporting.overview import next_steps, verdict
from asd_ray.reporting.provenance import provenance
from asd_ray.reporting.published import comparison
from asd_ray.reporting.text import detector, not_measured

if TYPE_CHECKING:
    from asd_ray.ensembling.mistakes import Mistakes
    from asd_ray.ledger import Ledger, TrialRecord

FORMAT = "asd_ray-report/1"
WEIGHED = 40  # number of largest studies whose parameters are weighed; one takes a fifth of a second
Facts = dict[str, Any]


def gather(ledger: Ledger) -> Facts:
    """Gather plain values, except for the final ensembles and the mistakes, which `as_json` converts.

    Raises an AsdRayError if no machine has a usable final ensemble. `left_out` names a machine whose final ensemble
    cannot be used, `not_read` other files that cannot be read.
    """
    root, files = ledger.layout.root, stored(ledger)
    unreadable = [(name, why) for names in files.unreadable.values() for name, why in names.items()]
    left_out = [why for name, why in unreadable if name == FINAL]
    not_read = [why for name, why in unreadable if name != FINAL]
    finals: dict[str, Ensemble] = {}
    machines: dict[str, Facts] = {}
    with_final = [(name, own) for name, own in files.ensembles.items() if FINAL in own]
    with progress_bar("measuring", things="machines") as progress:
        for at, (machine, ensembles) in enumerate(sorted(with_final, key=lambda item: item[0].lower())):
            progress(at, len(with_final))
            try:
                machines[machine] = machine_facts(ledger, machine, ensembles)
                finals[machine] = ensembles[FINAL]
            except AsdRayError as error:  # the file does not fit this ledger; the other machines are reported
                left_out.append(str(error))
    if not machines:
        unusable = left_out + not_read
        why = f"; the existing ones cannot be used:\n{listing(unusable)}" if unusable else ""
        raise AsdRayError(f"{root}: no ensembles to report on; run: {typed('asd-ray', 'ensemble', '--run', root)}{why}")
    records = ledger.records()
    return {
        "format": FORMAT,
        "run": root,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": label_sentence(records, finals),
        "summary": summary(finals, {name: own["on_faults"] for name, own in machines.items()}),
        "without": sorted({record.machine for record in records} - set(machines)),
        "left_out": left_out,
        "not_read": not_read,
        "best_of_families": best_of_families(finals, machines),
        "machines": machines,
        "verdicts": {machine: verdict(machine, own) for machine, own in machines.items()},
        "next_steps": list(next_steps(root, machines)),
        "families": families(records),
        "published": comparison(machines, records),
        "provenance": provenance(ledger, records, machines),
    }


def as_json(facts: Facts, media: Media | None = None) -> Facts:
    """The facts in the form of report.json. Of `media` it has the sentences."""
    machines = {
        name: {key: value for key, value in own.items() if key != "labels"}
        | {
            "final": shown(own["final"]),
            "mistakes": mistakes_as_json(own["mistakes"], media, name),
            "warnings": [warning.to_json() for warning in own["warnings"]],
            "decisions": own["decisions"] and own["decisions"].to_json(),
        }
        for name, own in facts["machines"].items()
    }
    verdicts = {name: each.to_json() for name, each in facts["verdicts"].items()}
    steps = [{"sentence": each.sentence, "command": each.command} for each in facts["next_steps"]]
    return {**facts, "machines": machines, "verdicts": verdicts, "next_steps": steps}


def mistakes_as_json(found: Mistakes, media: Media | None, machine: str) -> Facts:
    stored = found.to_json()
    if media is not None:
        for clip in stored["clips"]:
            clip["where"] = media.of(machine, clip["clip"]).sentence
        stored["notes"] = list(media.notes_of(machine))
    return stored


def summary(finals: Mapping[str, Ensemble], on_faults: Mapping[str, Facts | None] | None = None) -> Facts:
    """The first table: one row per machine, and the harmonic mean over machines if all have the same measure.

    `on_faults` has each machine's facts on injected faults.
    """
    rows = [
        {
            "machine": machine,
            "recipe": final.name,
            "members": len(final.members),
            "maximise": final.config.maximise,
            "year": final.dataset.year,
            "transductive": final.transductive,
            "families": sorted({detector(member.family, member.name) for member in final.members}),
            "tried": final.candidates.tried,
            "measured": bool(final.metrics),
            "not_measured": final.not_measured,
            "on_faults": own["value"] if (own := (on_faults or {}).get(machine)) else None,
            **headline_facts(final),
        }
        for machine, final in finals.items()
    ]
    apart = unlike(rows)
    return {"rows": rows, "over_machines": over_machines([] if apart else rows), "apart": apart}


def unlike(rows: Sequence[Facts]) -> str:
    """The reason why the rows have no mean over machines; "" if they have one."""
    unmeasured = [row["machine"] for row in rows if not row.get("measured", True)]
    if unmeasured and len(unmeasured) < len(rows):
        return f"No mean over machines: {', '.join(unmeasured)} cannot be measured."
    for key, difference in (
        ("maximise", "they maximise different measures"),
        ("year", "their cells are of several years"),
    ):
        machines_by: dict[str, list[str]] = {}
        for row in rows:
            machines_by.setdefault(str(row[key] or "no DCASE year"), []).append(row["machine"])
        if len(machines_by) > 1:
            groups = "; ".join(f"{', '.join(machines)}: {value}" for value, machines in machines_by.items())
            return f"No mean over machines: {difference} ({groups})."
    return ""


def over_machines(rows: Sequence[Facts]) -> Facts:
    over: Facts = {"forecast": None, "oracle": None, "protocol": None}
    for key in ("forecast", "oracle"):
        numbers = [row[key] for row in rows]
        if numbers and all(numbers):
            over[key] = {
                name: float(hmean([number[name] for number in numbers])) for name in ("value", "auc", "pauc", "hmean")
            }
    if over["forecast"]:
        used = {row["protocol"] for row in rows}
        over["protocol"] = " and ".join(name for name in protocols.HEADLINE if name in used)
    return over


def best_of_families(finals: Mapping[str, Ensemble], machines: Mapping[str, Facts]) -> Facts:
    """family -> machine -> the best value of its candidates, in the measure that was maximised."""
    best: dict[str, dict[str, float]] = {}
    for machine, final in finals.items():
        maximise = final.config.maximise
        for row in machines[machine]["leaderboard"]["rows"]:
            if row[maximise] is not None:
                best.setdefault(row["family"], {}).setdefault(machine, row[maximise])
    return dict(sorted(best.items(), key=lambda item: -sum(item[1].values()) / len(item[1])))


def families(records: Sequence[TrialRecord]) -> Facts:
    sizes: dict[tuple[str, str], int] = {}
    for record in records:
        if record.status == "complete" and record.objective is not None:
            sizes[record.family, record.machine] = sizes.get((record.family, record.machine), 0) + 1
    large = [key for key in sorted(sizes, key=lambda key: (-sizes[key], key)) if sizes[key] >= FEWEST][:WEIGHED]
    return {
        family: family_facts(
            [record for record in records if record.family == family],
            importance=frozenset(machine for name, machine in large if name == family),
        )
        for family in sorted({record.family for record in records})
    }


def label_sentence(records: Sequence[TrialRecord], finals: Mapping[str, Ensemble]) -> str:
    """How labels were used, from training to the numbers."""
    searched = [record for record in records if record.source == "search"]
    unmeasured = [machine for machine, final in finals.items() if not final.metrics]
    parts = []
    if searched:
        by_faults = any(objective_of(record) == NORMAL_ONLY for record in searched)
        ways = ["with the labels of the test clips"] if any(record.protocol == "oracle" for record in searched) else []
        ways += ["without labels, by faults injected into normal clips"] * by_faults
        parts.append(
            "detectors learned from normal clips alone"
            + f", their parameters were searched {' or '.join(ways)}" * bool(ways)
        )
    if unmeasured:
        reasons = not_measured(finals[machine].not_measured for machine in unmeasured)
        which = "" if len(unmeasured) == len(finals) else f" of {', '.join(unmeasured)}"
        parts.append(f"ensembles{which} were chosen without labels, and how many faults they find is {reasons}")
    if len(searched) < len(records):
        parts.append("how imported systems used labels is not known")
    by_protocol: dict[str, list[Ensemble]] = {}
    for final in finals.values():
        if final.headline_protocol and final.forecasts:
            by_protocol.setdefault(final.headline_protocol, []).append(final)
    by_protocol.pop("label_free", None)
    label_free = [final for final in finals.values() if "label_free" in final.metrics]
    parts += [f"members were {protocols.find(name).sentence} ({name})" for name in by_protocol]
    if any(not picked_of(final) for final in label_free):
        parts.append("ensembles marked label_free were chosen without test labels")
    for final in label_free:
        if picked_of(final):
            parts.append(f"{final.machine}, label_free: {how_labels_were_used(final).replace('; ', ', ')}")
    if len(unmeasured) < len(finals):
        parts.append("oracle numbers are measured on the clips that the members were chosen by: an upper bound")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."
