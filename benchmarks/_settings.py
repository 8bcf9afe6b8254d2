"""Settings of a family, trained in this process on a machine with several seeds: what each of them is worth."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from asd_ray.clips.bank import Bank
from asd_ray.clips.table import NORMAL, TEST, TRAIN
from asd_ray.detectors import Context, Scores
from asd_ray.families import family
from asd_ray.features import FeatureCache, FeatureSource
from asd_ray.metrics import cells_batch, evaluable_clips, hmean

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """A row of the table. `params` differ from PAPER of the family; `variant` is the score that is measured."""

    name: str
    family: str
    params: Params
    variant: str


def trained_scores(
    bank: Bank,
    machine: str,
    name: str,
    params: Params,
    seed: int,
    features: FeatureSource | None = None,
    weights: Mapping[str, str] | None = None,
) -> tuple[Scores, pd.DataFrame]:
    """Scores of a machine's test clips after the last epoch, and the table of these clips.

    `weights` are those of a Context.
    """
    of_machine = bank.select(machine)
    normal = (of_machine.frame["split"] == TRAIN) & (of_machine.frame["label"] == NORMAL)
    train = of_machine.take(np.flatnonzero(normal.to_numpy()))
    test = of_machine.take(np.flatnonzero((of_machine.frame["split"] == TEST).to_numpy()))
    context = Context(
        seed=seed, rate=bank.decoding.rate, features=features or FeatureCache(), weights=dict(weights or {})
    )
    detector = family(name).detector(context, **params)
    for _ in detector.fit(train):
        pass
    return detector.score(test), test.frame


def hmeans(machine: str, scores: Scores, clips: pd.DataFrame, year: int | None) -> dict[str, float]:
    """Variant -> the harmonic mean of the AUC and pAUC cells of the year."""
    evaluable = evaluable_clips(machine, clips, year)
    rows = np.stack([np.asarray(own, np.float64)[evaluable.rows] for own in scores.values()])
    _, cells = cells_batch(clips.iloc[evaluable.rows].reset_index(drop=True), rows, evaluable.year)
    return {variant: hmean(own) for variant, own in zip(scores, cells, strict=True)}


def values(
    bank: Bank, machine: str, setting: Setting, seed: int, weights: Mapping[str, str] | None = None
) -> dict[str, float]:
    """The harmonic means of a setting. The edition is that of the bank's dataset."""
    params = {**family(setting.family).search_space().paper, **setting.params}
    scores, clips = trained_scores(bank, machine, setting.family, params, seed, weights=weights)
    return hmeans(machine, scores, clips, bank.table.year)


def measured(
    banks: Mapping[str, Bank],
    machines: Sequence[tuple[str, str]],
    settings: Sequence[Setting],
    seeds: int,
    weights: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """One row per setting, place and seed: `name`, `place`, `seed`, `value`. `machines` are (name of bank, machine)."""
    rows = []
    for setting in settings:
        for name, machine in machines:
            for seed in range(seeds):
                own = values(banks[name], machine, setting, seed, weights)
                rows.append((setting.name, f"{name} {machine}", seed, own[setting.variant]))
        print(f"{setting.name}: done", file=sys.stderr, flush=True)
    return pd.DataFrame(rows, columns=["name", "place", "seed", "value"])


def markdown(frame: pd.DataFrame) -> Iterator[str]:
    """One line per setting: mean and lowest value of each place, and the mean of all."""
    places = list(dict.fromkeys(frame["place"]))
    yield "| setting | " + " | ".join(places) + " | mean |"
    yield "|---" * (len(places) + 2) + "|"
    for name, own in frame.groupby("name", sort=False):
        yield f"| {name} | {_cells(own, 'place', places)} | {own['value'].mean():.3f} |"


def by_family(outcomes: pd.DataFrame, column: str, columns: Sequence[str]) -> str:
    """A line per family and machine, with the value of each of the `columns` that the field `column` has."""
    lines = ["| family | machine | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for (name, machine), own in outcomes.groupby(["family", "machine"]):
        lines.append(f"| `{name}` | {machine} | {_cells(own, column, columns)} |")
    return "\n".join(lines)


def _cells(own: pd.DataFrame, column: str, columns: Sequence[str]) -> str:
    """The mean over seeds and, in brackets, the lowest value."""
    cells = [own.loc[own[column] == each, "value"] for each in columns]
    return " | ".join(f"{cell.mean():.3f} ({cell.min():.3f})" if len(cell) else "–" for cell in cells)
