"""The value of each trial against the seconds of its training, and the trials that no cheaper one beats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def training_cost(
    board: Mapping[str, Any], maximise: str, members: Iterable[str], value: float | None
) -> dict[str, Any] | None:
    """Facts of the trials of a leaderboard, each with its best variant; None if fewer than two have a time.

    `members` are trials of the ensemble, and `value` is its own value in the same unit as the trials' values.
    """
    key = maximise if board["measured"] else "faults"
    best: dict[str, Mapping[str, Any]] = {}
    for row in board["rows"]:
        known = best.get(row["trial"])
        if row["seconds"] and row.get(key) is not None and (known is None or row[key] > known[key]):
            best[row["trial"]] = row
    if len(best) < 2:
        return None
    rows = [
        {"name": row["name"], "family": row["family"], "seconds": row["seconds"], "value": row[key]}
        for row in best.values()
    ]
    own = set(members)
    known_value = value is not None and own <= set(best)
    ensemble = {"seconds": sum(best[trial]["seconds"] for trial in own), "value": value} if known_value else None
    return {"measure": maximise if board["measured"] else "faults", "rows": rows, "ensemble": ensemble}


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """The positions of (cost, value) points that no cheaper point reaches, from the cheapest to the best."""
    front: list[int] = []
    for at in sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1])):
        if not front or points[at][1] > points[front[-1]][1]:
            front.append(at)
    return front
