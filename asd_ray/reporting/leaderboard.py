"""The leaderboard of a machine: every candidate with its own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asd_ray.ensembling import Candidates
from asd_ray.ledger.paper_variants import paper_variants
from asd_ray.metrics import cells_batch, hmean
from asd_ray.reporting.text import trained


def leaderboard(
    candidates: Candidates,
    maximise: str,
    members: Sequence[tuple[str, str]],
    on_faults: Mapping[tuple[str, str], float] | None = None,
) -> dict[str, Any]:
    """`rows`, best first by `maximise`, and `cells`, the names of their cells.

    `on_faults` are values on injected faults, by trial and variant. Where there are no anomalies, they give the order.
    """
    table = candidates.table.to_dict("records")
    names, cells, means = _judged(candidates)
    faults = [(on_faults or {}).get(pair) for pair in candidates.pairs]
    values = means[maximise] if names else np.array([-np.inf if value is None else value for value in faults])
    order = np.argsort(-values, kind="stable")
    chosen, rows = set(members), []
    for rank, row in enumerate(order.tolist(), 1):
        candidate = table[row]
        own_scores = paper_variants(candidate["family"], candidates.machine, candidates.year)
        rows.append(
            {
                "rank": rank,
                "name": str(candidate["name"]),
                "family": candidate["family"],
                "variant": candidate["variant"],
                **{kind: float(values[row]) if names else None for kind, values in means.items()},
                **({"faults": faults[row]} if on_faults else {}),
                "cells": dict(zip(names, cells[row].tolist(), strict=True)) if names else {},
                "seconds": None if np.isnan(candidate["seconds"]) else float(candidate["seconds"]),
                "paper": bool(candidate["paper"]),
                "paper_score": bool(candidate["paper"] and candidate["variant"] in own_scores),
                "seed": int(candidate["seed"]),
                "trial": candidate["trial"],
                "member": (candidate["trial"], candidate["variant"]) in chosen,
                "params": candidate["params"],
                "epochs": int(candidate["epochs"]),
            }
        )
    return {"cells": names, "rows": rows, "measured": bool(names), "on_faults": bool(on_faults)}


def differing(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """trial -> the parameters that differ from its family's paper setting, or all if that setting was not run.

    The epochs are those that were trained, so they are among them if a limit cut those of the paper's setting.
    """
    paper: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["paper"]:
            paper.setdefault(row["family"], row["params"])
    missing = object()
    return {
        row["trial"]: {
            name: value
            for name, value in trained(row["params"], row["epochs"]).items()
            if paper.get(row["family"], {}).get(name, missing) != value
        }
        for row in rows
    }


def setting_of(row: Mapping[str, Any]) -> str:
    """The mark of a row with its paper's setting; "" for other rows. Its other variants are not the paper's score."""
    if not row["paper"]:
        return ""
    epochs, asked = trained(row["params"], row["epochs"]).get("epochs"), row["params"].get("epochs")
    cut = f", {epochs} epochs" if epochs != asked else ""
    return ("paper's setting and score" if row["paper_score"] else "paper's setting") + cut


def _judged(candidates: Candidates) -> tuple[list[str], Any, dict[str, Any]]:
    blank = np.zeros((len(candidates), 0))
    if not candidates.labelled:
        return [], blank, {"auc": [], "pauc": [], "hmean": []}
    judged = candidates.judged
    clips = candidates.clips.iloc[judged.rows].reset_index(drop=True)
    names, cells = cells_batch(clips, candidates.scores[:, judged.rows], judged.year)
    of = {kind: [at for at, name in enumerate(names) if _kind(name) == kind] for kind in ("auc", "pauc")}
    means = {kind: np.asarray(hmean(cells[:, columns], axis=1)) for kind, columns in of.items()}
    return names, cells, means | {"hmean": np.asarray(hmean(cells, axis=1))}


def _kind(cell: str) -> str:
    return "pauc" if cell.rpartition("/")[2].startswith("pauc") else "auc"
