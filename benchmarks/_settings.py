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
from asd_ray.detectors import Context
from asd_ray.families import family
from asd_ray.metrics import cells_batch, evaluable_clips, hmean

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """A row of the table. `params` differ from PAPER of the family; `variant` is the score that is measured."""

    name: str
    family: str
    params: Params
    variant: str


def values(bank: Bank, machine: str, setting: Setting, seed: int) -> dict[str, float]:
    """Variant -> the harmonic mean of the AUC and pAUC cells of the test clips, after the last epoch.

    The edition is that of the bank's dataset, or DCASE 2022 without one.
    """
    of_machine = bank.select(machine)
    normal = (of_machine.frame["split"] == TRAIN) & (of_machine.frame["label"] == NORMAL)
    train = of_machine.take(np.flatnonzero(normal.to_numpy()))
    test = of_machine.take(np.flatnonzero((of_machine.frame["split"] == TEST).to_numpy()))
    known = family(setting.family)
    params = {**known.search_space().paper, **setting.params}
    detector = known.detector(Context(seed=seed, rate=bank.decoding.rate), **params)
    for _ in detector.fit(train):
        pass
    scores = detector.score(test)
    evaluable = evaluable_clips(machine, test.frame, bank.table.year)
    clips = test.frame.iloc[evaluable.rows].reset_index(drop=True)
    rows = np.stack([np.asarray(own, np.float64)[evaluable.rows] for own in scores.values()])
    _, cells = cells_batch(clips, rows, evaluable.year)
    return {variant: hmean(own) for variant, own in zip(scores, cells, strict=True)}


def measured(
    banks: Mapping[str, Bank], machines: Sequence[tuple[str, str]], settings: Sequence[Setting], seeds: int
) -> pd.DataFrame:
    """One row per setting, place and seed: `name`, `place`, `seed`, `value`. `machines` are (name of bank, machine)."""
    rows = []
    for setting in settings:
        for name, machine in machines:
            for seed in range(seeds):
                own = values(banks[name], machine, setting, seed)
                rows.append((setting.name, f"{name} {machine}", seed, own[setting.variant]))
        print(f"{setting.name}: done", file=sys.stderr, flush=True)
    return pd.DataFrame(rows, columns=["name", "place", "seed", "value"])


def markdown(frame: pd.DataFrame) -> Iterator[str]:
    """One line per setting: mean and lowest value of each place, and the mean of all."""
    places = list(dict.fromkeys(frame["place"]))
    yield "| setting | " + " | ".join(places) + " | mean |"
    yield "|---" * (len(places) + 2) + "|"
    for name, own in frame.groupby("name", sort=False):
        cells = [own.loc[own["place"] == place, "value"] for place in places]
        shown = [f"{cell.mean():.3f} ({cell.min():.3f})" if len(cell) else "–" for cell in cells]
        yield f"| {name} | " + " | ".join([*shown, f"{own['value'].mean():.3f}"]) + " |"
