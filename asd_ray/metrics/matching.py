"""Pairing a submission's rows with the ground truth by file and clip name; whatever does not pair is said."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from asd_ray.metrics.csv_rows import shortened
from asd_ray.metrics.file_names import DECISION, SCORE, Cell, spell

Rows = dict[Cell, list[tuple[str, Any]]]


@dataclass(frozen=True)
class Files:
    """What is known of a submission's files."""

    year: int
    read: dict[tuple[str, Cell], str]  # (kind, cell) -> file name
    misnamed: list[str]
    needs_decisions: bool


def match_files(
    truth: pd.DataFrame, scores: pd.DataFrame, decisions: pd.DataFrame | None, files: Files
) -> tuple[pd.DataFrame, list[str]]:
    """The truth's clips with their score and decision, and every problem; the table is whole if there is none."""
    by_kind = {SCORE: _rows(scores)} | ({} if decisions is None else {DECISION: _rows(decisions)})
    wanted = _cells(truth, files.year)
    problems = _files_missing(list(wanted), files)
    parts = []
    for cell, clips in wanted.items():
        part = clips[["machine", "id", "domain", "clip", "label"]].reset_index(drop=True)
        short = _names(clips, files.year)
        for kind, column in ((SCORE, "score"), (DECISION, "decision")):
            if kind in by_kind and (kind, cell) in files.read:
                values, wrong = _values(by_kind[kind].get(cell, []), short, files.read[kind, cell])
                problems += wrong
                part[column] = [values.get(clip) for clip in part["clip"]]
        parts.append(part)
    return pd.concat(parts, ignore_index=True), problems


def _rows(table: pd.DataFrame) -> Rows:
    rows: Rows = {}
    for machine, each, domain, clip, value in table.itertuples(index=False, name=None):
        rows.setdefault((machine, each, domain), []).append((clip, value))
    return rows


def _cells(truth: pd.DataFrame, year: int) -> dict[Cell, pd.DataFrame]:
    """The truth by file: in 2021 a file holds one domain, in other years all of a section."""
    keys = ["machine", "id", "domain"] if year == 2021 else ["machine", "id"]
    cells = {}
    for key, clips in truth.groupby(keys, sort=False):
        machine, each, domain = (*key, "")[:3]
        cells[str(machine), str(each), str(domain)] = clips
    return cells


def _names(clips: pd.DataFrame, year: int) -> dict[str, str]:
    """Every name a clip may go by -> its short name."""
    short = clips["clip"].tolist()
    names: dict[str, str] = {}
    for column in ("full_name", "alias"):
        if column in clips:
            names |= {long: clip for long, clip in zip(clips[column], short, strict=True) if long}
    if year == 2022:  # its README says section_03_test_0000.wav, its lists section_03_0000.wav
        names |= {re.sub(r"^(section_\d\d)_(\d+\.wav)$", r"\1_test_\2", clip): clip for clip in short}
    return names | {clip: clip for clip in short}


def _values(rows: list[tuple[str, Any]], short: dict[str, str], file: str) -> tuple[dict[str, Any], list[str]]:
    """Values by short name, and what is wrong with the names of one file."""
    problems = []
    values: dict[str, Any] = {}
    seen: dict[str, str] = {}
    for name, value in rows:
        clip = short.get(name)
        if clip is not None and clip in seen and seen[clip] != name:
            problems.append(f"{file} lists one clip under two names, {seen[clip]} and {name}; keep one")
        if clip is not None:
            seen[clip] = name
            values[clip] = value
    unknown = [name for name, _ in rows if name not in short]
    if unknown:
        near = difflib.get_close_matches(unknown[0], short, n=1) or list(short)[:1]
        problems.append(
            f"{file} names {len(unknown)} clip(s) that the ground truth does not know: {shortened(unknown)}; "
            f"did you mean {near[0]!r}?"
        )
    missing = [clip for clip in dict.fromkeys(short.values()) if clip not in values]
    if missing:
        problems.append(f"{file} lacks {len(missing)} of {len(set(short.values()))} clips: {shortened(missing)}")
    return values, problems


def _files_missing(cells: list[Cell], files: Files) -> list[str]:
    """Files that the ground truth asks for; files of other cells may be what was meant, else they are left alone."""
    kinds = (SCORE, DECISION) if files.needs_decisions else (SCORE,)
    spare = [name for (_, cell), name in files.read.items() if cell not in set(cells)] + files.misnamed
    problems = []
    for kind in kinds:
        for cell in cells:
            if (kind, cell) in files.read:
                continue
            name = spell(kind, cell, files.year)
            near = difflib.get_close_matches(name, spare, n=1, cutoff=0.8)
            hint = f"; is it {near[0]}?" if near else ""
            cure = " (or score without decisions: --scores-only)" if kind == DECISION and not near else ""
            problems.append(f"{name} is missing{hint}{cure}")
    return problems
