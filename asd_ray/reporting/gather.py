"""From a run to the facts of its report: plain values, from which HTML, JSON, CSV and Markdown are written alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asd_ray._terminal import typed
from asd_ray.ensembling import stored
from asd_ray.ensembling.ensemble_file import FINAL
from asd_ray.errors import AsdRayError, listing
from asd_ray.metrics import hmean
from asd_ray.reporting.family import family_facts
from asd_ray.reporting.importances import FEWEST
from asd_ray.reporting.machine import FORECASTS, forecast, machine_facts, picked_of
from asd_ray.reporting.provenance import provenance
from asd_ray.reporting.published import comparison

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger, TrialRecord

FORMAT = "asd_ray-report/1"
WEIGHED = 40  # studies whose parameters are weighed, the largest: a fifth of a second each
Facts = dict[str, Any]


def gather(ledger: Ledger) -> Facts:
    """An error where no machine has a final ensemble that can be used.

    A machine whose final one cannot be used is named in `left_out`, other files that cannot be read in `not_read`.
    """
    root, files = ledger.layout.root, stored(ledger)
    unreadable = [(name, why) for names in files.unreadable.values() for name, why in names.items()]
    left_out = [why for name, why in unreadable if name == FINAL]
    not_read = [why for name, why in unreadable if name != FINAL]
    machines: dict[str, Facts] = {}
    for machine, found in sorted(files.ensembles.items(), key=lambda item: item[0].lower()):
        if FINAL not in found:
            continue
        try:
            machines[machine] = machine_facts(ledger, machine, found)
        except AsdRayError as error:  # of a file that is not of this ledger; the others are reported all the same
            left_out.append(str(error))
    if not machines:
        unusable = left_out + not_read
        why = f"; what there is cannot be used:\n{listing(unusable)}" if unusable else ""
        raise AsdRayError(f"{root}: no ensembles to report on; run: {typed('asd-ray', 'ensemble', '--run', root)}{why}")
    records = ledger.records()
    return {
        "format": FORMAT,
        "run": root,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": label_sentence(records, machines),
        "summary": summary(machines),
        "without": sorted({record.machine for record in records} - set(machines)),
        "left_out": left_out,
        "not_read": not_read,
        "best_of_families": best_of_families(machines),
        "machines": machines,
        "families": families(records),
        "published": comparison(machines),
        "provenance": provenance(ledger, records, machines),
    }


def summary(machines: Mapping[str, Facts]) -> Facts:
    """The first screen: a row a machine, and the harmonic mean over machines where all are measured alike."""
    rows = []
    for machine, facts in machines.items():
        final = facts["final"]
        rows.append(
            {
                "machine": machine,
                "recipe": final["recipe"]["name"],
                "members": len(final["members"]),
                "maximise": final["wishes"]["maximise"],
                "year": final["dataset"]["year"],
                "transductive": final["transductive"],
                "families": sorted({each["family"] for each in final["members"]}),
                "tried": final["candidates"]["tried"],
                **forecast(final),
            }
        )
    apart = unlike(rows)
    return {"rows": rows, "over_machines": over_machines([] if apart else rows), "apart": apart}


def unlike(rows: Sequence[Facts]) -> str:
    """Why a mean over machines would mix what cannot be mixed, if it would."""
    for key, what in (("maximise", "each maximises what it was told to"), ("year", "their cells are of several years")):
        given: dict[str, list[str]] = {}
        for row in rows:
            given.setdefault(str(row[key] or "no DCASE year"), []).append(row["machine"])
        if len(given) > 1:
            told = "; ".join(f"{', '.join(machines)}: {value}" for value, machines in given.items())
            return f"No mean over machines: {what} ({told})."
    return ""


def over_machines(rows: Sequence[Facts]) -> Facts:
    made: Facts = {"forecast": None, "oracle": None, "protocol": None}
    for key in ("forecast", "oracle"):
        given = [row[key] for row in rows]
        if given and all(given):
            made[key] = {
                name: float(hmean([each[name] for each in given])) for name in ("value", "auc", "pauc", "hmean")
            }
    if made["forecast"]:
        made["protocol"] = " and ".join(name for name in FORECASTS if any(row["protocol"] == name for row in rows))
    return made


def best_of_families(machines: Mapping[str, Facts]) -> Facts:
    """family -> machine -> the best value of its candidates there, by what was maximised."""
    made: dict[str, dict[str, float]] = {}
    for machine, facts in machines.items():
        maximise = facts["final"]["wishes"]["maximise"]
        for row in facts["leaderboard"]["rows"]:
            if row[maximise] is not None:
                made.setdefault(row["family"], {}).setdefault(machine, row[maximise])
    return dict(sorted(made.items(), key=lambda item: -sum(item[1].values()) / len(item[1])))


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


def label_sentence(records: Sequence[TrialRecord], machines: Mapping[str, Facts]) -> str:
    """How labels were used, from training to the numbers."""
    if not any(facts["final"]["metrics"] for facts in machines.values()):
        return "The test clips have no labels: nothing was chosen by labels, and nothing could be measured."
    searched = [record for record in records if record.source == "search"]
    parts = []
    if searched:
        by_labels = any(record.protocol == "oracle" for record in searched)
        parts.append(
            "detectors learned from normal clips alone"
            + (", their parameters were searched with the labels of the test clips" if by_labels else "")
        )
    if len(searched) < len(records):
        parts.append("how imported systems used labels is not known")
    names = {row for facts in machines.values() for row in (forecast(facts["final"])["protocol"],) if row}
    if "crossval" in names:
        parts.append("members were chosen with test labels on folds and measured on the fold left out (crossval)")
    if "label_free" in names:
        finals = [facts["final"] for facts in machines.values() if "label_free" in facts["final"]["metrics"]]
        if any(not picked_of(final) for final in finals):
            parts.append("ensembles marked label_free were chosen without test labels")
        for final in finals:
            if picked_of(final):
                parts.append(f"{final['machine']}, label_free: {final['labels'].replace('; ', ', ')}")
    parts.append("oracle numbers are of the very clips that the members were chosen by: an upper bound")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."
