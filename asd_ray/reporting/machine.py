"""Everything that the report shows of one machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray._terminal import typed
from asd_ray.ensembling import Candidates, Ensemble, combine, load
from asd_ray.ensembling.ensemble_file import intact, stored_statistics
from asd_ray.ensembling.judge import Judge
from asd_ray.errors import AsdRayError
from asd_ray.ledger.schema import LABELS
from asd_ray.reporting.curves import histograms, roc_curves
from asd_ray.reporting.leaderboard import leaderboard
from asd_ray.reporting.members import agreement, worst_clips

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

FORECASTS = ("label_free", "crossval")  # protocols whose numbers are not of the labels that were chosen by
TOLERANCE = 1e-6


def machine_facts(ledger: Ledger, machine: str, found: Mapping[str, Ensemble]) -> dict[str, Any]:
    """`found` are the machine's ensembles by recipe, and the chosen one as "final"."""
    final = found["final"]
    candidates = load(ledger, machine, final["recipe"]["by"], only=final["candidates"]["all"], drop=True)
    members = _members(ledger, candidates, final)
    pairs = [(each["trial"], each["variant"]) for each in final["members"]]
    own = stored_statistics(final, members)
    scores, weights = own(members.scores, members.clips), [each["weight"] for each in final["members"]]
    together = combine(scores, final["recipe"]["combine"][0], weights)
    board = leaderboard(candidates, final["wishes"]["maximise"], pairs)
    alike, older = of_one_choice(found)
    made: dict[str, Any] = {
        "final": _shown(final),
        "recipes": recipes(alike),
        "older": older,
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
    if intact(final) is False:
        made["notes"].append(
            "the ensemble file was changed after it was written; see what differs: asd-ray ensemble --verify FILE"
        )
    new = _new(ledger, final)
    if new:
        made["notes"].append(
            f"{new} candidates came to the ledger after this ensemble was chosen; run: {_again(ledger, machine)}"
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
                f"{_stored_value(final):.6f}; the file or the ledger was changed: run again {_again(ledger, machine)}"
            )
    return made


def of_one_choice(found: Mapping[str, Ensemble]) -> tuple[dict[str, Ensemble], list[str]]:
    """The ensembles that can stand beside the final one, and the names of the others.

    Files of earlier choices stay in the folder: those of other wishes or another dataset are no alternatives, nor are
    those of other candidates than the final one, or the newest of those standardised by the same clips, chose from.
    """
    final, digests = found["final"], dict[str, str]()
    for each in sorted(found.values(), key=lambda each: str(each["created"])):
        if _settings(each) == _settings(final):
            digests[each["recipe"]["by"]] = each["candidates"]["digest"]
    digests[final["recipe"]["by"]] = final["candidates"]["digest"]
    alike = {
        name: each
        for name, each in found.items()
        if _settings(each) == _settings(final) and each["candidates"]["digest"] == digests[each["recipe"]["by"]]
    }
    return alike, sorted(set(found) - set(alike))


def _settings(ensemble: Ensemble) -> tuple[Any, Any]:
    return ensemble["wishes"], ensemble["dataset"]


def picked_of(ensemble: Mapping[str, Any]) -> int:
    """Of how many recipes test labels picked this one; 0 where no label did."""
    tried = ensemble.get("tried", {})
    return int(tried["recipes"]) if tried.get("recipes", 1) > 1 and tried["chosen_by"] != "order" else 0


def chosen_how(ensemble: Mapping[str, Any]) -> str:
    """How labels were used, in the ensemble file's words, unless its recipe became the final one by test labels."""
    of = picked_of(ensemble)
    if "label_free" in ensemble["metrics"] and of:
        by = "a user, who may have seen test labels" if ensemble["tried"]["chosen_by"] == "user" else "test labels"
        return f"members chosen without labels; this recipe picked of {of} by {by}"
    return str(ensemble["labels"])


def _new(ledger: Ledger, final: Ensemble) -> int:
    """Candidates in the ledger that the choice did not know."""
    known = {(trial, variant) for trial, variants in final["candidates"]["all"].items() for variant in variants}
    told = {each.rpartition(" (")[0] for each in final["candidates"]["left_out"]}
    return sum(
        (entry.record.trial, variant) not in known and not told & {entry.record.name, f"{entry.record.name} {variant}"}
        for entry in ledger.entries(final["machine"])
        if entry.record.status == "complete" and "test" in entry.splits
        for variant in entry.splits["test"].variants
    )


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
    """The number under label_free, or crossval; the one under oracle; and the gain, under the former where there is.

    Only a gain in a forecast, over a single detector that was not chosen by the same labels, can be `better`; of the
    best of several recipes, only one that is so when their number is allowed for.
    """
    metrics = ensemble["metrics"]
    protocol = next((name for name in FORECASTS if name in metrics), None)
    own = metrics[protocol] if protocol else None
    oracle = metrics.get("oracle")
    measured = own or oracle
    gain = None
    if measured:
        against = measured["single"]["protocol"]
        as_best = [metrics[name]["gain"].get("better_as_best") for name in FORECASTS if name in metrics]
        better = next((each for each in as_best if each is not None), measured["gain"]["better"])
        gain = {
            **{name: measured["gain"][name] for name in ("value", "interval")},
            "better": bool(better) and protocol is not None and against != "oracle",
            "protocol": protocol or "oracle",
            "against": against,
        }
    shown = ("value", "interval", "auc", "pauc", "hmean")
    return {
        "protocol": protocol,
        "forecast": {key: own[key] for key in shown} if own else None,
        "oracle": {key: oracle[key] for key in shown} if oracle else None,
        "gain": gain,
    }


def _members(ledger: Ledger, candidates: Candidates, ensemble: Ensemble) -> Candidates:
    pairs = zip(candidates.table["trial"], candidates.table["variant"], strict=True)
    place = {pair: row for row, pair in enumerate(pairs)}
    wanted = [(each["trial"], each["variant"]) for each in ensemble["members"]]
    machine, lacking = ensemble["machine"], [pair for pair in wanted if pair not in place]
    if lacking or candidates.fingerprint != ensemble["dataset"]["fingerprint"]:
        told = f"lacks the member {lacking[0][0]} {lacking[0][1]}" if lacking else "is of other clips"
        raise AsdRayError(f"{machine}: the ledger {told} of its ensemble; run: {_again(ledger, machine)}")
    return candidates.take([place[pair] for pair in wanted])


def _again(ledger: Ledger, machine: str) -> str:
    """The command that chooses the machine's ensemble anew."""
    return typed("asd-ray", "ensemble", machine, "--run", ledger.layout.root)


def _stored_value(ensemble: Ensemble) -> float:
    metrics = ensemble["metrics"]
    return float(metrics["label_free" if "label_free" in metrics else "oracle"]["value"])


def _shown(ensemble: Ensemble) -> dict[str, Any]:
    """The ensemble without what only scoring needs."""
    made = {key: value for key, value in ensemble.items() if key not in ("statistics", "candidates", "resampled_gains")}
    made["labels"] = chosen_how(ensemble)
    made["candidates"] = {key: value for key, value in ensemble["candidates"].items() if key != "all"}
    return made
