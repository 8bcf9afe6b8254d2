"""The provenance of the report's numbers: data, versions, settings, and the commands that compute them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asd_ray._terminal import typed
from asd_ray.ensembling import Ensemble, protocols
from asd_ray.ensembling.ensemble_file import FINAL
from asd_ray.ledger.record import NORMAL_ONLY
from asd_ray.metrics import EDITIONS

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger, RunLayout, TrialRecord


def provenance(ledger: Ledger, records: Sequence[TrialRecord], machines: Mapping[str, Mapping[str, Any]]) -> Any:
    finals: dict[str, Ensemble] = {machine: facts["final"] for machine, facts in machines.items()}
    years = {final.dataset.year for final in finals.values()}
    return {
        "datasets": {
            machine: {
                **final.dataset.to_json(),
                "clips": machines[machine]["clips"],
                "cells": machines[machine]["cells"],
            }
            for machine, final in finals.items()
        },
        "protocols": {protocol.name: protocol.sentence for protocol in protocols.every()},
        "measures": {
            "AUC, pAUC": "area under the ROC curve, and its part up to a false positive rate of 0.1 in McClish's "
            "scale, where 0.5 is chance; per machine the harmonic mean of its cells",
            "hmean": "harmonic mean of all AUC and pAUC cells of a machine; over machines, of the machines' values",
            "95 %": "bootstrap interval: clips drawn again within each id, domain and label "
            f"({_distinct(final.config.draws for final in finals.values())} draws), ensemble and best single "
            "detector on the same draws",
            **{
                f"DCASE {year}": f"its official score: {edition.definition}; here a machine's cells are taken together"
                for year, edition in sorted(EDITIONS.items())
                if edition.is_scored and year in years
            },
        },
        "searches": _searches(records),
        "versions": {"ensembles": _merged(final.versions for final in finals.values()),
                     "trials": _merged(record.versions for record in records)},
        "devices": sorted({record.device for record in records if record.device}),
        "commands": commands(ledger.layout, finals),
    }  # fmt: skip


def commands(layout: RunLayout, finals: Mapping[str, Ensemble]) -> list[str]:
    """Commands that choose each final ensemble again, that verify it, and that write this report."""
    lines = []
    for machine, final in finals.items():
        config, name = final.config, final.recipe_source or final.recipe.stem
        options = [
            ("--run", layout.root),
            ("--recipe", name),
            ("--maximise", config.maximise),
            ("--by", final.recipe.by),
        ]
        options += [(f"--{option}", getattr(config, option)) for option in ("folds", "repeats", "seed", "threshold")]
        options.append(("--percentile", f"{config.percentile:g}"))
        if config.infer_limit is not None:
            options.append(("--infer-limit", f"{config.infer_limit:.9f}".rstrip("0").rstrip(".")))
        lines.append(typed("asd-ray", "ensemble", machine, *(word for option in options for word in option)))
    for machine in finals:
        file = layout.url(layout.ensemble_file(machine, FINAL))
        lines.append(typed("asd-ray", "ensemble", "--verify", file, "--run", layout.root))
    return [*lines, typed("asd-ray", "report", "--run", layout.root)]


def _searches(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """The different settings of trials, with the number of trials of each."""
    counts: dict[tuple[Any, ...], int] = {}
    for record in records:
        settings = record.settings.to_dict() if record.settings else {}
        shown = [("source", record.source), ("seed", record.seed), ("protocol", record.protocol)]
        names = ("year",) if record.source == "import" else ("year", "held_out", "epochs_cap", "checkpoint")
        shown += [(name, settings[name]) for name in names if name in settings]
        shown += [("objective", NORMAL_ONLY)] if settings.get("objective") == NORMAL_ONLY else []
        shown += [("unseen", settings["unseen"])] if settings.get("unseen") else []
        if len(record.machines) > 1:
            shown.append(("jointly", ", ".join(record.machines)))
        counts[tuple(shown)] = counts.get(tuple(shown), 0) + 1
    return [{**dict(shown), "trials": many} for shown, many in sorted(counts.items(), key=lambda item: -item[1])]


def _merged(versions_of_all: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """package -> all its versions."""
    merged: dict[str, set[str]] = {}
    for packages in versions_of_all:
        for package, version in packages.items():
            merged.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions)) for package, versions in sorted(merged.items())}


def _distinct(values: Any) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))
