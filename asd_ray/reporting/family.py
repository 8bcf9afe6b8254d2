"""The report's facts of one family: its studies, their cost, and their failures."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from asd_ray.ledger import TrialRecord
from asd_ray.ledger.record import STATUSES
from asd_ray.ledger.units import UNITS, by_objective, unit_of
from asd_ray.reporting.importances import FEWEST, importances

CHANCE = 0.5
AXES = 8  # parameters in parallel coordinates
LINES = 80  # best trials in parallel coordinates


def family_facts(records: Sequence[TrialRecord], *, importance: frozenset[str] = frozenset()) -> dict[str, Any]:
    """`records` belong to one family on all machines. `importance` names the machines whose parameters are weighed.

    Trials that were compared by labels and those compared by injected faults are two studies of a machine.
    """
    machines = sorted({record.machine for record in records}, key=str.lower)
    studies = {}
    for machine in machines:
        of_machine = sorted((r for r in records if r.machine == machine), key=lambda r: (r.seed, r.number, r.created))
        by_unit = by_objective(of_machine)
        for objective, own in by_unit.items():
            name = f"{machine}, {UNITS[objective]}" if len(by_unit) > 1 else machine
            studies[name] = {"machine": machine, "unit": UNITS[objective], **_study(own, machine in importance)}
    return {"studies": studies, "ended": _ended(records), "seeds": seed_spread(records)}


def _study(records: Sequence[TrialRecord], weigh: bool) -> dict[str, Any]:
    done = [r for r in records if r.status == "complete" and r.objective is not None]
    weighed, why_not = (importances(done) if weigh else ({}, "")) if len(done) >= FEWEST else ({}, _too_few(len(done)))
    return {
        "protocol": ", ".join(sorted({r.protocol for r in done if r.protocol})),
        "trials": [_trial(record, at) for at, record in enumerate(records)],
        "counts": {status: Counter(r.status for r in records)[status] for status in STATUSES},
        "best": max((r.objective for r in done if r.objective is not None), default=None),
        "cost": cost(records),
        "importances": weighed,
        "no_importances": why_not or ("" if weighed else "left out: only the largest studies are weighed"),
        "parallel": parallel(done, weighed),
    }


def _too_few(done: int) -> str:
    return f"left out: {done} complete trial{'' if done == 1 else 's'}, and {FEWEST} are needed"


def _trial(record: TrialRecord, at: int) -> dict[str, Any]:
    reported = [value for _, value in sorted(record.intermediate.items()) if math.isfinite(value)]
    return {
        "at": at,
        "name": record.name,
        "number": record.number,
        "seed": record.seed,
        "status": record.status,
        "objective": record.objective if record.objective is not None else reported[-1] if reported else None,
        "seconds": record.seconds,
        "paper": record.paper,
    }


def cost(records: Sequence[TrialRecord]) -> dict[str, Any]:
    """The cost of one machine. Trials over several machines are divided among them; a GPU counts as if not shared."""
    spent = gpu = 0.0
    for record in records:
        share = (record.seconds or 0.0) / len(record.machines)
        spent += share
        gpu += share if record.device not in ("", "cpu") else 0.0
    known = any(record.seconds is not None for record in records)
    values = [r.objective for r in records if r.status == "complete" and r.objective is not None]
    points = 100 * (max(values) - CHANCE) if values else None
    gained = points is not None and points > 0
    return {
        "seconds": spent if known else None,
        "gpu_seconds": gpu if known else None,
        "points": points,
        "seconds_per_point": spent / points if known and points and gained else None,
        "gpu_seconds_per_point": gpu / points if known and points and gained else None,
    }


def parallel(done: Sequence[TrialRecord], weighed: Mapping[str, float]) -> dict[str, Any]:
    """The best trials over the parameters that differ among them, the most important parameters first."""
    best = sorted(done, key=lambda r: -(r.objective or 0.0))[:LINES]
    names = [name for record in best for name in record.params]
    differing = [
        name for name in dict.fromkeys(names) if len({json.dumps(record.params.get(name)) for record in best}) > 1
    ]
    differing.sort(key=lambda name: -weighed.get(name, 0.0))
    return {
        "axes": differing[:AXES],
        "left_out": len(differing[AXES:]),
        "of": len(done),
        "rows": [
            {"name": r.name, "objective": r.objective, "values": [r.params.get(name) for name in differing[:AXES]]}
            for r in best
        ],
    }


def seed_spread(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """Trials that differ only in their seed; the setting with the most seeds first."""
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in records:
        if record.status == "complete" and record.objective is not None:
            settings = {k: v for k, v in _settings(record).items() if k != "fingerprint"}
            key = json.dumps([record.params, settings, record.machines], sort_keys=True)
            groups.setdefault((record.machine, key), []).append(record)
    rows = []
    for (machine, _), group in groups.items():
        values = [record.objective for record in group if record.objective is not None]
        if len({record.seed for record in group}) > 1:
            rows.append(
                {
                    "machine": machine,
                    "unit": unit_of(group[0]),
                    "name": group[0].name,
                    "paper": group[0].paper,
                    "seeds": len(values),
                    "mean": statistics.fmean(values),
                    "deviation": statistics.stdev(values),
                    "lowest": min(values),
                    "highest": max(values),
                }
            )
    return sorted(rows, key=lambda row: (-row["seeds"], -row["mean"]))


def _settings(record: TrialRecord) -> dict[str, Any]:
    return record.settings.to_dict() if record.settings else {}


def _ended(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """Pruned and failed trials, failed first."""
    ended = [
        {
            "machine": record.machine,
            "name": record.name,
            "status": record.status,
            "epochs": record.epochs,
            "seconds": record.seconds,
            "reason": reason(record),
        }
        for record in records
        if record.status != "complete"
    ]
    return sorted(ended, key=lambda row: (row["status"] != "failed", row["machine"], row["name"]))


def reason(record: TrialRecord) -> str:
    if record.error:
        return record.error
    if record.status == "pruned" and record.intermediate:
        epoch = max(record.intermediate)
        return f"value {record.intermediate[epoch]:.4f} after epoch {epoch}: others were better there"
    return "no reason was stored"
