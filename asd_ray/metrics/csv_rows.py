"""Rows ``name,value`` of the headerless csv files of the challenge. Wrong rows are reported, never guessed."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from asd_ray.errors import AsdRayError
from asd_ray.storage.places import check_readable

LARGEST = 64 << 20  # bytes; the largest official file is less than one percent of it
Row = tuple[int, list[str]]  # line number, its columns


def read_rows(path: Path) -> list[Row]:
    """The lines that are not blank, with columns stripped. A byte order mark and Windows line ends are accepted."""
    try:
        check_readable(path, LARGEST)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AsdRayError(f"{path}: cannot be read as csv in UTF-8 ({error}); save it as plain text") from error


def read_values(path: Path, *, decisions: bool = False) -> tuple[list[tuple[str, float]], list[str]]:
    """The correct rows, and a list of what is wrong with the others."""
    try:
        rows = read_rows(path)
    except AsdRayError as error:
        return [], [str(error)]
    if not rows:
        return [], [f"{path.name} is empty; it needs one row name,value per clip"]
    expected = "decision 0 or 1" if decisions else "score"
    correct: list[tuple[str, float]] = []
    wrong: dict[str, list[int]] = {}
    for line, row in rows:
        reason = _reason(row, decisions)
        if reason is None:
            correct.append((row[0], float(row[1])))
        elif line == rows[0][0] and reason == _NOT_A_NUMBER and not row[0].lower().endswith(".wav"):
            wrong["is a header row; delete it"] = [line]
        else:
            wrong.setdefault(f"{reason}; a row is a clip's file name and its {expected}", []).append(line)
    problems = [f"{path.name} line {shortened(lines)} {reason}" for reason, lines in wrong.items()]
    repeated = [name for name, times in Counter(name for name, _ in correct).items() if times > 1]
    if repeated:
        what = f"lists {len(repeated)} clip(s) more than once: {shortened(repeated)}"
        problems.append(f"{path.name} {what}; keep one row per clip")
    return correct, problems


_NOT_A_NUMBER = "has a value that is not a number"


def _reason(row: list[str], decisions: bool) -> str | None:
    """Why a row is wrong; None if it is correct."""
    if len(row) != 2:
        return f"has {len(row)} column(s) instead of 2"
    try:
        value = math.nan if "_" in row[1] else float(row[1])  # float() itself would take 1_000
    except ValueError:
        return _NOT_A_NUMBER
    if "_" in row[1]:
        return _NOT_A_NUMBER
    if not math.isfinite(value):
        return f"has the value {row[1]!r}, which is not finite"
    if decisions and value not in (0.0, 1.0):
        return f"has the value {row[1]!r}, which is neither 0 nor 1"
    return None


def shortened(items: Sequence[object], limit: int = 5) -> str:
    """``a, b, c and 12 more``."""
    shown = ", ".join(str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
