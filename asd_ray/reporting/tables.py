"""The report's tables as CSV files, with plain numbers and all rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from asd_ray._csv import csv_text

SHOWN = ("value", "auc", "pauc", "hmean")


def tables(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names of the files and their contents."""
    yield "summary.csv", csv_text(map(_flat, facts["summary"]["rows"]))
    recipes = [
        {"machine": machine, **_flat(row)} for machine, own in facts["machines"].items() for row in own["recipes"]
    ]
    yield "recipes.csv", csv_text(recipes)
    yield "trials.csv", csv_text(_trials(facts))
    if facts["published"]:
        yield "published.csv", csv_text(_published(facts["published"]))
    for machine, own in facts["machines"].items():
        yield f"{machine}-leaderboard.csv", csv_text(map(_candidate, own["leaderboard"]["rows"]))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the summary or of recipes: the nested numbers as columns that name their protocol."""
    flat = {name: value for name, value in row.items() if name not in ("forecast", "oracle", "gain", "families")}
    for part in ("forecast", "oracle"):
        numbers = row[part] or {}
        flat |= {f"{part}_{name}": numbers.get(name) for name in SHOWN}
        flat[f"{part}_low"], flat[f"{part}_high"] = numbers.get("interval", (None, None))
    gain = row["gain"] or {}
    flat |= {f"gain_{name}": gain.get(name) for name in ("value", "protocol", "against", "better")}
    flat["gain_low"], flat["gain_high"] = gain.get("interval", (None, None))
    return flat


def _candidate(row: Mapping[str, Any]) -> dict[str, Any]:
    columns = {name: value for name, value in row.items() if name not in ("cells", "params")}
    protocol = "oracle" if row["cells"] else "not measured"
    return {**columns, "protocol": protocol, **row["cells"], "params": json.dumps(row["params"])}


def _trials(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for family, own in facts["families"].items():
        reasons = {(row["machine"], row["name"]): row for row in own["ended"]}
        for study in own["studies"].values():
            machine = study["machine"]
            for trial in study["trials"]:
                columns = {name: value for name, value in trial.items() if name != "at"}
                ended = reasons.get((machine, trial["name"]), {}) if trial["status"] != "complete" else {}
                yield {
                    "machine": machine,
                    "family": family,
                    **columns,
                    "unit": study["unit"],
                    "protocol": study["protocol"],
                    "reason": ended.get("reason", ""),
                }


def _published(comparison: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in comparison["rows"]:
        for machine, values in row["values"].items():
            yield {
                "year": comparison["year"],
                "measure": comparison["measure"],
                "system": row["system"],
                "protocol": row["protocol"],
                "machine": machine,
                "value": values[0],
                "pauc": values[1] if len(values) > 1 else None,
            }
