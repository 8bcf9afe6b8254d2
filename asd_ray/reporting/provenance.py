"""Where the report's numbers come from: data, versions, settings, and the commands that make them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asd_ray._terminal import typed
from asd_ray.ensembling.build import LABELS
from asd_ray.metrics import EDITIONS

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger, TrialRecord


def provenance(ledger: Ledger, records: Sequence[TrialRecord], machines: Mapping[str, Mapping[str, Any]]) -> Any:
    finals = {machine: facts["final"] for machine, facts in machines.items()}
    return {
        "datasets": {
            machine: {
                **final["dataset"],
                "clips": machines[machine]["clips"],
                "cells": machines[machine]["cells"],
            }
            for machine, final in finals.items()
        },
        "protocols": dict(LABELS),
        "measures": {
            "AUC, pAUC": "area under the ROC curve, and its part up to a false positive rate of 0.1 in McClish's "
            "scale, where 0.5 is chance; per machine the harmonic mean of its cells",
            "hmean": "harmonic mean of all AUC and pAUC cells of a machine; over machines, of the machines' values",
            "95 %": "bootstrap interval: clips drawn again within each id, domain and label "
            f"({_once(final['wishes']['draws'] for final in finals.values())} draws), ensemble and best single "
            "detector on the same draws",
            **{
                f"DCASE {year}": f"its official score: {edition.definition}; here a machine's cells are taken together"
                for year, edition in sorted(EDITIONS.items())
                if edition.is_scored and year in {final["dataset"]["year"] for final in finals.values()}
            },
        },
        "searches": _searches(records),
        "versions": {"ensembles": _merged(final["versions"] for final in finals.values()),
                     "trials": _merged(record.versions for record in records)},
        "devices": sorted({record.device for record in records if record.device}),
        "commands": commands(ledger.layout.root, finals),
    }  # fmt: skip


def commands(root: str, finals: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What chooses each final ensemble again, what checks it, and what writes this report."""
    made = []
    for machine, final in finals.items():
        wishes, recipe = final["wishes"], final["recipe"]
        name = final.get("recipe_source") or recipe["name"].partition(".")[0]
        asked = [("--run", root), ("--recipe", name), ("--maximise", wishes["maximise"]), ("--by", recipe["by"])]
        asked += [(f"--{each}", wishes[each]) for each in ("folds", "repeats", "seed", "threshold")]
        asked.append(("--percentile", f"{wishes['percentile']:g}"))
        made.append(typed("asd-ray", "ensemble", machine, *(word for pair in asked for word in pair)))
    for machine in finals:
        made.append(typed("asd-ray", "ensemble", "--verify", f"{root}/ensembles/{machine}/final.json", "--run", root))
    return [*made, typed("asd-ray", "report", "--run", root)]


def _searches(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """The settings of trials, and how many have them."""
    found: dict[tuple[Any, ...], int] = {}
    for record in records:
        settings = record.settings.to_dict() if record.settings else {}
        told = [("source", record.source), ("seed", record.seed), ("protocol", record.protocol)]
        names = ("year",) if record.source == "import" else ("year", "held_out", "epochs_cap", "checkpoint")
        told += [(name, settings[name]) for name in names if name in settings]
        if len(record.machines) > 1:
            told.append(("jointly", ", ".join(record.machines)))
        found[tuple(told)] = found.get(tuple(told), 0) + 1
    return [{**dict(told), "trials": many} for told, many in sorted(found.items(), key=lambda item: -item[1])]


def _merged(given: Any) -> dict[str, str]:
    """package -> every version that took part."""
    made: dict[str, set[str]] = {}
    for each in given:
        for package, version in each.items():
            made.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions)) for package, versions in sorted(made.items())}


def _once(values: Any) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))
