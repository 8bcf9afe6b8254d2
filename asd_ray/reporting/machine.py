"""Everything that the report shows of one machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray.ensembling import Candidates, Ensemble, combine, load
from asd_ray.ensembling.ensemble_file import stored_statistics
from asd_ray.ensembling.judge import Judge
from asd_ray.errors import AsdRayError
from asd_ray.ledger.schema import LABELS
from asd_ray.reporting.curves import histograms, roc_curves
from asd_ray.reporting.leaderboard import leaderboard
from asd_ray.reporting.members import agreement, worst_clips

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

FORECASTS = ("crossval", "label_free")  # protocols whose numbers are not of the labels that were chosen by
TOLERANCE = 1e-6


def machine_facts(ledger: Ledger, machine: str, found: Mapping[str, Ensemble]) -> dict[str, Any]:
    """`found` are the machine's ensembles by recipe, and the chosen one as "final"."""
    final = found["final"]
    candidates = load(ledger, machine, final["recipe"]["by"])
    members = _members(candidates, final)
    pairs = [(each["trial"], each["variant"]) for each in final["members"]]
    own = stored_statistics(final, members)
    scores, weights = own(members.scores, members.clips), [each["weight"] for each in final["members"]]
    together = combine(scores, final["recipe"]["combine"][0], weights)
    board = leaderboard(candidates, final["wishes"]["maximise"], pairs)
    made: dict[str, Any] = {
        "final": _shown(final),
        "recipes": recipes(found),
        "clips": {label: many for label in LABELS if (many := int((candidates.clips["label"] == label).sum()))},
        "cells": candidates.judged.cells if candidates.labelled else "no labels, so nothing is measured",
        "ids": sorted(set(candidates.clips["id"])),
        "leaderboard": board,
        "agreement": agreement(scores, members.clips),
        "histograms": histograms(members.clips, together, final["threshold"]["value"]),
        "roc": [],
        "worst_clips": None,
        "counts": {},
        "notes": list(final["notes"]),
    }
    new = len(candidates) + len(candidates.left_out) - final["candidates"]["tried"] - len(
        final["candidates"]["left_out"]
    )  # fmt: skip
    if new > 0:
        made["notes"].append(
            f"{new} candidates came to the ledger after this ensemble was chosen; run: asd-ray ensemble {machine}"
        )
    if candidates.labelled:
        judged = candidates.judged
        clips = members.clips.iloc[judged.rows].reset_index(drop=True)
        made["counts"] = {
            str(key): int(many) for key, many in (clips["id"] + "/" + clips["label"]).value_counts().items()
        }
        made["roc"] = roc_curves(clips, together[judged.rows])
        normal = own(members.normal_scores, members.normal)
        limits = np.percentile(normal, final["wishes"]["percentile"], axis=1)
        made["worst_clips"] = worst_clips(
            clips, together[judged.rows], final["threshold"]["value"], scores[:, judged.rows], limits
        )
        value = float(Judge(clips, judged.year, final["wishes"]["maximise"])(together[judged.rows][None])[0])
        if not abs(value - _stored_value(final)) <= TOLERANCE:
            raise AsdRayError(
                f"{machine}: the ledger gives its ensemble the value {value:.6f}, its file says "
                f"{_stored_value(final):.6f}; the file or the ledger was changed: run asd-ray ensemble {machine} again"
            )
    return made


def recipes(found: Mapping[str, Ensemble]) -> list[dict[str, Any]]:
    """Every recipe's ensemble, the best forecast first."""
    rows = []
    for name, each in found.items():
        if name == "final":
            continue
        rows.append(
            {
                "recipe": name,
                "members": len(each["members"]),
                "chosen": name == found["final"]["recipe"]["name"],
                "transductive": each["transductive"],
                **forecast(each),
                "gap": each["metrics"].get("gap"),
                "cross_id": each["metrics"].get("cross_id", {}).get("value"),
            }
        )
    return sorted(rows, key=lambda row: (not row["chosen"], -(row["forecast"] or {}).get("value", 0), row["members"]))


def forecast(ensemble: Ensemble) -> dict[str, Any]:
    """The number under crossval, or label_free; the one under oracle; and the gain, under the former where there is."""
    metrics = ensemble["metrics"]
    protocol = next((name for name in FORECASTS if name in metrics), None)
    own = metrics[protocol] if protocol else None
    oracle = metrics.get("oracle")
    measured = own or oracle
    gain = None
    if measured:
        gain = {**measured["gain"], "protocol": protocol or "oracle", "against": measured["single"]["protocol"]}
    shown = ("value", "interval", "auc", "pauc", "hmean")
    return {
        "protocol": protocol,
        "forecast": {key: own[key] for key in shown} if own else None,
        "oracle": {key: oracle[key] for key in shown} if oracle else None,
        "gain": gain,
    }


def _members(candidates: Candidates, ensemble: Ensemble) -> Candidates:
    pairs = zip(candidates.table["trial"], candidates.table["variant"], strict=True)
    place = {pair: row for row, pair in enumerate(pairs)}
    wanted = [(each["trial"], each["variant"]) for each in ensemble["members"]]
    machine, lacking = ensemble["machine"], [pair for pair in wanted if pair not in place]
    if lacking or candidates.fingerprint != ensemble["dataset"]["fingerprint"]:
        told = f"lacks the member {lacking[0][0]} {lacking[0][1]}" if lacking else "is of other clips"
        raise AsdRayError(f"{machine}: the ledger {told} of its ensemble; run: asd-ray ensemble {machine}")
    return candidates.take([place[pair] for pair in wanted])


def _stored_value(ensemble: Ensemble) -> float:
    metrics = ensemble["metrics"]
    return float(metrics["label_free" if "label_free" in metrics else "oracle"]["value"])


def _shown(ensemble: Ensemble) -> dict[str, Any]:
    """The ensemble without what only scoring needs."""
    made = {key: value for key, value in ensemble.items() if key not in ("statistics", "candidates")}
    made["candidates"] = {key: value for key, value in ensemble["candidates"].items() if key != "all"}
    return made
