"""Small evaluation sets and submissions, written to disk in the official shapes of a year."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

MACHINES = {2020: ["fan", "ToyCar"], 2021: ["fan", "pump", "valve", "ToyCar"]}
IDS = {2020: ["01", "03"], 2021: ["03", "04", "05"], 2022: ["03", "04", "05"]}


@dataclass(frozen=True)
class World:
    """One evaluation set with one system's scores: the table and the two folders that say the same."""

    year: int
    table: pd.DataFrame  # machine, id, domain, clip, label, score, decision, long
    truth: Path
    submission: Path


def clip_name(year: int, id: str, domain: str, number: int) -> str:
    if year == 2020:
        return f"id_{id}_{number:08d}.wav"
    return f"section_{id}_{domain}_test_{number:04d}.wav" if year == 2021 else f"section_{id}_{number:04d}.wav"


def long_name(year: int, id: str, domain: str, label: int, number: int) -> str:
    kind = ("normal", "anomaly")[label]
    if year == 2020:
        return f"{kind}_id_{id}_{number:08d}.wav"
    return f"section_{id}_{domain}_test_{kind}_{number:04d}_noAttribute.wav"


def draw(year: int, seed: int = 0) -> pd.DataFrame:
    """Clips of unbalanced cells with scores that tie now and then."""
    rng = np.random.default_rng(seed)
    rows = []
    for machine in MACHINES.get(year, ["bearing", "fan", "ToyCar"]):
        for id in IDS.get(year, ["00"]):
            for domain in [""] if year == 2020 else ["source", "target"]:
                labels = rng.permutation([0] * rng.integers(9, 15) + [1] * rng.integers(5, 12))
                start = 0 if year == 2021 or domain != "target" else 50
                for number, label in enumerate(labels, start):
                    score = round(float(rng.normal() + label), 1)
                    names = (clip_name(year, id, domain, number), long_name(year, id, domain, label, number))
                    rows.append((machine, id, domain, names[0], int(label), score, int(score > 0.5), names[1]))
    return pd.DataFrame(rows, columns=["machine", "id", "domain", "clip", "label", "score", "decision", "long"])


def write_rows(path: Path, names: pd.Series, values: pd.Series) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name},{value}\n" for name, value in zip(names, values, strict=True)))


def cells_of(table: pd.DataFrame, year: int):
    """(what stands in the file name, the cell's clips)."""
    for (machine, id), section in table.groupby(["machine", "id"]):
        if year == 2020:
            yield f"{machine}_id_{id}", section
        elif year == 2021:
            for domain, clips in section.groupby("domain"):
                yield f"{machine}_section_{id}_{domain}_test", clips
        else:
            yield f"{machine}_section_{id}_test", section.sort_values("clip")


def write_truth(table: pd.DataFrame, folder: Path, year: int) -> None:
    if year == 2020:
        lines = []
        for machine, clips in table.groupby("machine"):
            rows = zip(clips["clip"], clips["long"], clips["label"], strict=True)
            lines += [machine, *(f"{name},{long},{label}" for name, long, label in rows)]
        folder.mkdir(parents=True)
        (folder / "eval_data_list.csv").write_text("\n".join(lines) + "\n")
        return
    for name, clips in cells_of(table, year):
        write_rows(folder / "ground_truth_data" / f"ground_truth_{name}.csv", clips["clip"], clips["label"])
        if year > 2021:
            domains = (clips["domain"] == "target").astype(int)
            write_rows(folder / "ground_truth_domain" / f"ground_truth_{name}.csv", clips["clip"], domains)


def write_submission(table: pd.DataFrame, folder: Path, year: int) -> None:
    for name, clips in cells_of(table, year):
        write_rows(folder / f"anomaly_score_{name}.csv", clips["clip"], clips["score"])
        if year > 2020:
            write_rows(folder / f"decision_result_{name}.csv", clips["clip"], clips["decision"])


@pytest.fixture
def world(tmp_path: Path) -> Callable[[int], World]:
    """``world(2021)``: a small evaluation set of that year and one system, on disk."""

    def make(year: int) -> World:
        case = World(year, draw(year), tmp_path / "truth", tmp_path / "system")
        write_truth(case.table, case.truth, year)
        write_submission(case.table, case.submission, year)
        return case

    return make
