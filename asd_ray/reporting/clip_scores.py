"""The ensemble's score of every clip by id and domain, for box plots, for clips in order and for decisions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.ledger.schema import LABELS
from asd_ray.reporting.curves import cells

Floats = npt.NDArray[np.float64]
BOX = (5, 25, 50, 75, 95)  # percentiles that a box plot shows
MOST = 4000  # scores of normal clips by which a page can tell a threshold's percentile
UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
TIME = re.compile(
    r"(?<!\d)(20\d\d)[-_]?([01]\d)[-_]?([0-3]\d)[-_T ]*([0-2]\d)[-_:h]?([0-5]\d)(?:[-_:m]?([0-5]\d))?(?!\d)"
)


def clip_scores(clips: pd.DataFrame, scores: Floats) -> list[dict[str, Any]]:
    """One part for each id and domain: its clips in order, by label, and the percentiles of their scores.

    The order is the time in the names of clips where all have one, and else the order of the names.
    """
    parts = []
    for name, domain, rows in cells(clips):
        names, own = [str(clip) for clip in clips["clip"].to_numpy()[rows]], scores[rows]
        order = sorted(range(len(rows)), key=lambda at: _natural(names[at]))
        times, axis = _times([names[at] for at in order])
        placed = sorted(zip(times, order, strict=True))
        labels: dict[str, Any] = {}
        for label in LABELS:
            mine = [(at, row) for at, row in placed if clips["label"].iat[rows[row]] == label]
            if mine:
                values = own[[row for _, row in mine]]
                labels[label] = {
                    "clips": [names[row] for _, row in mine],
                    "at": [at for at, _ in mine],
                    "scores": values.tolist(),
                    "box": np.percentile(values, BOX).tolist(),
                }
        parts.append({"id": name, "domain": domain, "axis": axis, "labels": labels})
    return parts


def quantiles(normal_scores: Floats) -> list[float]:
    """The scores of normal clips in order, so that a page can tell a threshold's percentile.

    Of more than `MOST` clips, these are the scores at so many equal steps of percentiles.
    """
    if len(normal_scores) <= MOST:
        return [float(score) for score in np.sort(normal_scores)]
    return [float(score) for score in np.percentile(normal_scores, np.linspace(0, 100, MOST))]


def alarms(parts: Sequence[Mapping[str, Any]], threshold: float) -> list[dict[str, Any]]:
    """How many clips of each label score above the threshold: a row for each id and domain, after one for all."""
    rows = []
    for part in parts:
        counts = {
            label: {"clips": len(own["scores"]), "above": sum(score > threshold for score in own["scores"])}
            for label, own in part["labels"].items()
        }
        rows.append({"id": part["id"], "domain": part["domain"], "labels": counts})
    total = {
        label: {
            key: sum(row["labels"][label][key] for row in rows if label in row["labels"]) for key in ("clips", "above")
        }
        for label in LABELS
        if any(label in row["labels"] for row in rows)
    }
    return [{"id": "", "domain": "", "labels": total}, *rows]


def recorded_at(name: str) -> datetime | None:
    """The date and time in a file's name, as in ``fan_2024-05-01_12-30-00.wav``; None if there is none."""
    found = TIME.search(name.rpartition("/")[2])
    if not found:
        return None
    try:
        return datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
    except ValueError:  # such as the 31st of February
        return None


def _times(names: Sequence[str]) -> tuple[list[float], str]:
    """The place of each clip on the axis, and the axis's label."""
    times = [found for name in names if (found := recorded_at(name))]
    if len(times) < len(names) or len(set(times)) < 2:
        return [float(at) for at in range(1, len(names) + 1)], "clip, in the order of names"
    first = min(times)
    seconds = [(time - first).total_seconds() for time in times]
    unit, size = next((unit, size) for unit, size in UNITS if max(seconds) >= 3 * size or size == 1)
    return [each / size for each in seconds], f"{unit} since {first:%Y-%m-%d %H:%M}"


def _natural(name: str) -> list[tuple[int, int | str]]:
    """A key that sorts clip 9 before clip 10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]
