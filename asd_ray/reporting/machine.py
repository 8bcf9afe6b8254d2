"""The report's facts of one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray._terminal import typed
from asd_ray.ensembling import Candidates, Ensemble, Metric, combine, load, protocols
from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.combine import TRANSDUCTIVE
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.ensemble_file import FINAL, intact
from asd_ray.ensembling.final import rank
from asd_ray.ensembling.mistakes import mistakes
from asd_ray.ensembling.on_faults import FaultScores, OnFaults
from asd_ray.ensembling.standardise import Statistics
from asd_ray.ensembling.threshold import HOW, SOURCES
from asd_ray.ensembling.trust import warnings_of
from asd_ray.ensembling.unmeasured import not_measured, why_unmeasured
from asd_ray.errors import AsdRayError
from asd_ray.ledger.schema import LABELS
from asd_ray.ledger.states import States
from asd_ray.reporting.clip_scores import clip_scores, quantiles
from asd_ray.reporting.curves import histograms, roc_curves
from asd_ray.reporting.inference import inference_facts
from asd_ray.reporting.leaderboard import leaderboard
from asd_ray.reporting.members import agreement, worst_clips
from asd_ray.reporting.training_cost import training_cost

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

TOLERANCE = 1e-6
SPLIT_WORDS = {"held_out": "held-out", "train": "training"}


def machine_facts(ledger: Ledger, machine: str, ensembles: Mapping[str, Ensemble]) -> dict[str, Any]:
    """`ensembles` maps file names to the machine's ensembles; the chosen one is "final"."""
    final = ensembles[FINAL]
    candidates = load(ledger, machine, final.recipe.by, only=final.candidates.all, drop=True)
    members = _members(ledger, candidates, final)
    own = final.statistics.learned(final.recipe.standardise)
    scores, weights = own(members.scores, members.clips), [member.weight for member in final.members]
    alike, older = of_one_choice(ensembles)
    fault_scores = None if candidates.labelled and not candidates.normal_only else FaultScores.of(ledger, candidates)
    on_faults = fault_scores.values() if fault_scores else None
    faults_found = _on_faults(fault_scores, final)
    board = leaderboard(candidates, final.config.maximise, [member.pair for member in final.members], on_faults)
    shown_clips, shown_scores, which = members.clips, scores, "test clips"
    if not len(shown_clips):
        shown_clips, which = members.normal, f"{SPLIT_WORDS[final.recipe.by]} normal clips"
        shown_scores = own(members.normal_scores, shown_clips)
    shown_together = combine(shown_scores, final.recipe.combine[0], weights)
    facts: dict[str, Any] = {
        "final": final,
        "labels": how_labels_were_used(final),
        "recipes": recipes(alike, fault_scores),
        "older": older,
        "clips": {label: many for label in LABELS if (many := int((candidates.clips["label"] == label).sum()))},
        "cells": candidates.judged.cells if candidates.labelled else not_measured(candidates.clips),
        "unmeasured": "" if candidates.labelled else why_unmeasured(candidates.clips),
        "searched_on_faults": candidates.normal_only,
        "on_faults": faults_found,
        "ids": sorted(set(shown_clips["id"])),
        "leaderboard": board,
        "inference": inference_facts(alike, board["rows"]),
        "agreement": agreement(shown_scores, shown_clips),
        "histograms": histograms(shown_clips, shown_together, final.threshold.value),
        "states_kept": States(ledger).has_all((member.family, member.trial) for member in final.members),
        "shown_clips": which,
        "clip_scores": clip_scores(shown_clips, shown_together),
        "quantiles": _quantiles(members, own, final, weights),
        "training_cost": training_cost(
            board, final.config.maximise, [member.trial for member in final.members], _own_value(final, faults_found)
        ),
        "roc": [],
        "worst_clips": None,
        "mistakes": mistakes(candidates, ensembles),
        "decisions": final.counts,
        "epochs": dict(zip(members.table["trial"], members.table["epochs"].tolist(), strict=True)),
        "counts": {},
        "notes": [*final.notes, *_file_notes(ledger, final)],
        "warnings": final.warnings if final.warnings is not None else warnings_of(final, candidates),
        "threshold": final.threshold.description or _threshold_of_before(final),
    }
    if candidates.labelled:
        judged, together = candidates.judged, shown_together
        clips = members.clips.iloc[judged.rows].reset_index(drop=True)
        facts["counts"] = {
            str(key): int(many) for key, many in (clips["id"] + "/" + clips["label"]).value_counts().items()
        }
        facts["roc"] = roc_curves(clips, together[judged.rows])
        facts["decisions"] = final.counts or DecisionCounts.of(  # files of earlier versions have no counts
            final.own_protocol, clips["label"], together[judged.rows] > final.threshold.value
        )
        limits = np.percentile(own(members.normal_scores, members.normal), final.config.percentile, axis=1)
        facts["worst_clips"] = worst_clips(
            clips, together[judged.rows], final.threshold.value, scores[:, judged.rows], limits
        )
        scorer = CellScorer(clips, judged.year, final.config.maximise)
        _check_value(ledger, final, float(scorer(together[judged.rows][None])[0]))
    return facts


def _quantiles(members: Candidates, own: Statistics, final: Ensemble, weights: Sequence[float]) -> list[float]:
    """The scores of the normal clips by which the threshold was set, in order; none where it was set by others."""
    how = final.recipe.combine[0]
    if final.threshold.how not in HOW or final.transductive or how in TRANSDUCTIVE or not len(members.normal):
        return []
    return quantiles(combine(own(members.normal_scores, members.normal), how, weights))


def _own_value(final: Ensemble, on_faults: Mapping[str, Any] | None) -> float | None:
    """The ensemble's value in the unit of the leaderboard."""
    if oracle := final.metrics.get("oracle"):
        return float(oracle.value)
    return float(on_faults["value"]) if on_faults else None


def _on_faults(scores: FaultScores | None, final: Ensemble) -> dict[str, Any] | None:
    """The final ensemble and its members on injected faults; None if their scores of faults are not stored."""
    found = OnFaults.of(scores, final) if scores else None
    if scores is None or found is None:
        return None
    return {
        "value": found.value,
        "members": list(found.members),
        "aucs": {kind: list(each) for kind, each in found.aucs.items()},
        "normal": len(scores.normal_clips),
        "faults": len(scores.fault_clips),
    }


def of_one_choice(ensembles: Mapping[str, Ensemble]) -> tuple[dict[str, Ensemble], list[str]]:
    """The ensembles that can be compared with the final one, and the names of the others.

    Files of earlier choices stay in the folder. They cannot be compared if their config or dataset differs, or if they
    were chosen from other candidates than the final one, or than the newest with the same `by`.
    """
    final, digests = ensembles[FINAL], dict[str, str]()
    for ensemble in sorted(ensembles.values(), key=lambda ensemble: ensemble.created):
        if _settings(ensemble) == _settings(final):
            digests[ensemble.recipe.by] = ensemble.candidates.digest
    digests[final.recipe.by] = final.candidates.digest
    alike = {
        name: ensemble
        for name, ensemble in ensembles.items()
        if _settings(ensemble) == _settings(final) and ensemble.candidates.digest == digests[ensemble.recipe.by]
    }
    return alike, sorted(set(ensembles) - set(alike))


def _settings(ensemble: Ensemble) -> tuple[Any, Any]:
    return ensemble.config, ensemble.dataset


def picked_of(ensemble: Ensemble) -> int:
    """The number of recipes from which test labels picked this one; 0 if no label did."""
    tried = ensemble.tried
    return tried.recipes if tried and tried.recipes > 1 and tried.chosen_by != "order" else 0


def how_labels_were_used(ensemble: Ensemble) -> str:
    """How labels were used for the headline; for a label-free ensemble, whether test labels picked its recipe."""
    recipes_compared = picked_of(ensemble)
    name = ensemble.headline_protocol
    if name and ensemble.forecasts and "label_free" not in ensemble.metrics:
        return f"the forecast is {name}: {protocols.find(name).sentence}"
    if "label_free" not in ensemble.metrics or not ensemble.tried or not recipes_compared:
        return ensemble.labels
    by = "a user, who may have seen test labels" if ensemble.tried.chosen_by == "user" else "test labels"
    return f"members were chosen without labels; this recipe was picked from {recipes_compared} by {by}"


def recipes(ensembles: Mapping[str, Ensemble], fault_scores: FaultScores | None = None) -> list[dict[str, Any]]:
    """One row for each recipe's ensemble: the chosen one first, then by the value that chose.

    None has its number on unseen clips, see `Ensemble.without_unseen`.
    """
    on_faults = {
        name: found.value
        for name, ensemble in ensembles.items()
        if fault_scores and (found := OnFaults.of(fault_scores, ensemble))
    }
    final, columns = ensembles[FINAL], [name for name in protocols.names() if name not in ("oracle", "unseen")]
    ranked = sorted(ensembles.items(), key=lambda item: rank(item[1]))
    rows = [
        {
            "recipe": name,
            "members": len(ensemble.members),
            "chosen": name == final.name,
            "transductive": ensemble.transductive,
            **headline_facts(ensemble.without_unseen),
            "on_faults": on_faults.get(name),
            "gap": ensemble.metrics.gap,
            **{other: metric.value if (metric := _measured(ensemble, final, other)) else None for other in columns},
        }
        for name, ensemble in ranked
        if name != FINAL
    ]
    return sorted(rows, key=lambda row: not row["chosen"])


def _measured(ensemble: Ensemble, final: Ensemble, protocol: str) -> Metric | None:
    """The number of an ensemble; the numbers of the choice itself stand with the chosen one."""
    of_choice = ensemble.name == final.name and protocol in [each.name for each in protocols.OF_FINAL]
    return (final if of_choice else ensemble).metrics.get(protocol)


def beside_headline() -> list[str]:
    """The protocols that have a column of their own in the table of recipes."""
    return [name for name in protocols.names() if name not in ("unseen", *protocols.CHOICE)]


def headline_facts(ensemble: Ensemble) -> dict[str, Any]:
    """The headline if it is a forecast, the number under oracle, and the gain over the best single detector."""
    headline, gain = ensemble.headline, ensemble.gain
    return {
        "protocol": ensemble.headline_protocol if ensemble.forecasts else None,
        "forecast": _numbers(headline) if headline and ensemble.forecasts else None,
        "oracle": _numbers(oracle) if (oracle := ensemble.metrics.get("oracle")) else None,
        "gain": {
            "value": gain.value,
            "interval": list(gain.interval),
            "better": gain.better,
            "against_it": list(ensemble.disagreeing) if ensemble.corrected else [],
            "protocol": ensemble.headline_protocol,
            "against": headline.single.protocol,
        }
        if headline and gain
        else None,
    }


def shown(ensemble: Ensemble) -> dict[str, Any]:
    """An ensemble in the form of report.json, without the parts that only scoring and comparing need."""
    stored = ensemble.to_json() | {"labels": how_labels_were_used(ensemble)}
    hidden = ("statistics", "candidates", "resampled_gains", "inference")
    candidates = {key: value for key, value in ensemble.candidates.to_json().items() if key != "all"}
    return {key: value for key, value in stored.items() if key not in hidden} | {"candidates": candidates}


def _threshold_of_before(ensemble: Ensemble) -> str:
    """Where the threshold of a file of an earlier version comes from."""
    limit, by_test = ensemble.threshold, ensemble.transductive
    return f"{limit.how}, percentile {limit.percentile:g} of {SOURCES['test' if by_test else ensemble.recipe.by]}"


def _numbers(metric: Metric) -> dict[str, Any]:
    means = {"auc": metric.auc, "pauc": metric.pauc, "hmean": metric.hmean}
    return {"value": metric.value, "interval": list(metric.interval), **means}


def _file_notes(ledger: Ledger, final: Ensemble) -> list[str]:
    """Notes on a changed file and on new candidates of the ledger."""
    notes = []
    if intact(final) is False:
        notes.append(
            "the ensemble file was changed after it was written; see what differs: asd-ray ensemble --verify FILE"
        )
    if new := _new_candidates(ledger, final):
        command = _choose_again(ledger, final.machine)
        notes.append(f"{new} candidates were added to the ledger after this ensemble was chosen; run: {command}")
    return notes


def _new_candidates(ledger: Ledger, final: Ensemble) -> int:
    """The number of candidates that the ledger got after the choice."""
    known = {(trial, variant) for trial, variants in final.candidates.all.items() for variant in variants}
    left_out = {text.rpartition(" (")[0] for text in final.candidates.left_out}
    complete = [entry for entry in ledger.entries(final.machine) if entry.record.status == "complete"]
    split = "test" if any("test" in entry.splits for entry in complete) else final.recipe.by
    return sum(
        (entry.record.trial, variant) not in known
        and not left_out & {entry.record.name, f"{entry.record.name} {variant}"}
        for entry in complete
        if split in entry.splits
        for variant in entry.splits[split].variants
    )


def _members(ledger: Ledger, candidates: Candidates, ensemble: Ensemble) -> Candidates:
    place = {pair: row for row, pair in enumerate(candidates.pairs)}
    wanted = [member.pair for member in ensemble.members]
    missing = [pair for pair in wanted if pair not in place]
    if missing or candidates.fingerprint != ensemble.dataset.fingerprint:
        fault = (
            f"lacks the member {missing[0][0]} {missing[0][1]} of its ensemble"
            if missing
            else "has other clips than its ensemble"
        )
        command = _choose_again(ledger, ensemble.machine)
        raise AsdRayError(f"{ensemble.machine}: the ledger {fault}; run: {command}")
    return candidates.take([place[pair] for pair in wanted])


def _check_value(ledger: Ledger, final: Ensemble, value: float) -> None:
    if not final.metrics:
        return
    stored = final.metrics[final.own_protocol].value
    if not abs(value - stored) <= TOLERANCE:
        raise AsdRayError(
            f"{final.machine}: the ledger gives its ensemble the value {value:.6f}, its file has {stored:.6f}; the "
            f"file or the ledger was changed: run again {_choose_again(ledger, final.machine)}"
        )


def _choose_again(ledger: Ledger, machine: str) -> str:
    """The command that chooses the machine's ensemble again."""
    return typed("asd-ray", "ensemble", machine, "--run", ledger.layout.root)
