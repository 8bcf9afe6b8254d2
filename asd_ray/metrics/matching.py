"""Pairing a submission's rows with the ground truth by file and clip name; what has no partner is a problem."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import pandas as pd

from asd_ray.metrics.csv_rows import shortened
from asd_ray.metrics.editions import DECISION, SCORE, Cell, Edition

Rows = dict[Cell, list[tuple[str, Any]]]


@dataclass(frozen=True)
class Files:
    """The csv files of a submission, as far as their names go."""

    edition: Edition
    read: dict[tuple[str, Cell], str]  # (kind, cell) -> file name
    misnamed: list[str]
    needs_decisions: bool


def match_files(
    truth: pd.DataFrame, scores: pd.DataFrame, decisions: pd.DataFrame | None, files: Files
) -> tuple[pd.DataFrame, list[str]]:
    """The truth's clips with their score and decision, and every problem; the table is complete if there is none."""
    by_kind = {SCORE: _rows(scores)} | ({} if decisions is None else {DECISION: _rows(decisions)})
    expected = _by_file(truth, files.edition)
    problems = _files_missing(list(expected), files)
    parts = []
    for cell, clips in expected.items():
        part = clips[["machine", "id", "domain", "clip", "label"]].reset_index(drop=True)
        short_names = _short_names(clips)
        for kind, column in ((SCORE, "score"), (DECISION, "decision")):
            if kind in by_kind and (kind, cell) in files.read:
                rows = by_kind[kind].get(cell, [])
                values, wrong = _values(rows, short_names, files.read[kind, cell], files.edition)
                problems += wrong
                part[column] = [values.get(clip) for clip in part["clip"]]
        parts.append(part)
    return pd.concat(parts, ignore_index=True), problems


def _rows(table: pd.DataFrame) -> Rows:
    rows: Rows = {}
    for machine, id, domain, clip, value in table.itertuples(index=False, name=None):
        rows.setdefault((machine, id, domain), []).append((clip, value))
    return rows


def _by_file(truth: pd.DataFrame, edition: Edition) -> dict[Cell, pd.DataFrame]:
    """The truth by submission file: of one domain, or of the whole section, depending on the year."""
    keys = ["machine", "id", *(["domain"] if edition.files.has_domain else [])]
    cells = {}
    for key, clips in truth.groupby(keys, sort=False):
        machine, id, domain = (*key, "")[:3]
        cells[str(machine), str(id), str(domain)] = clips
    return cells


def _short_names(clips: pd.DataFrame) -> dict[str, str]:
    """Every name of a clip in the ground truth -> its short name."""
    short = clips["clip"].tolist()
    names: dict[str, str] = {}
    for column in ("full_name", "alias"):
        if column in clips:
            names |= {long: clip for long, clip in zip(clips[column], short, strict=True) if long}
    return names | {clip: clip for clip in short}


def _values(
    rows: list[tuple[str, Any]], short_names: dict[str, str], file: str, edition: Edition
) -> tuple[dict[str, Any], list[str]]:
    """Values by short name, and what is wrong with the names of one file."""
    problems = []
    values: dict[str, Any] = {}
    written: dict[str, str] = {}  # short name -> the name in the file
    unknown = []
    for name, value in rows:
        clip = short_names.get(name)
        if clip is None and edition.clips.accepts_misspelling:
            clip = short_names.get(edition.clips.official(name))
        if clip is None:
            unknown.append(name)
            continue
        if written.setdefault(clip, name) != name:
            problems.append(f"{file} lists one clip under two names, {written[clip]} and {name}; keep one")
        written[clip] = name
        values[clip] = value
    if unknown:
        near = difflib.get_close_matches(unknown[0], short_names, n=1) or list(short_names)[:1]
        problems.append(
            f"{file} names {len(unknown)} clip(s) that the ground truth does not know: {shortened(unknown)}; "
            f"did you mean {near[0]!r}?"
        )
    expected = dict.fromkeys(short_names.values())
    missing = [clip for clip in expected if clip not in values]
    if missing:
        problems.append(f"{file} lacks {len(missing)} of {len(expected)} clips: {shortened(missing)}")
    return values, problems


def _files_missing(cells: list[Cell], files: Files) -> list[str]:
    """The files that the ground truth asks for and the folder lacks, each with the file that may be meant instead."""
    kinds = (SCORE, DECISION) if files.needs_decisions else (SCORE,)
    unused = [name for (_, cell), name in files.read.items() if cell not in set(cells)] + files.misnamed
    problems = []
    for kind in kinds:
        for cell in cells:
            if (kind, cell) in files.read:
                continue
            name = files.edition.files.spell(kind, cell)
            near = difflib.get_close_matches(name, unused, n=1, cutoff=0.8)
            hint = f"; is it {near[0]}?" if near else ""
            cure = " (or score without decisions: --scores-only)" if kind == DECISION and not near else ""
            problems.append(f"{name} is missing{hint}{cure}")
    return problems
