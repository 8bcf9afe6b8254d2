"""What an ensemble is worth, by how labels were used in choosing it.

    oracle      chosen with the labels of the very clips that it is measured on
    crossval    chosen on folds of the clips, measured on the fold left out; folds are stratified by id, domain and
                label, and drawn anew for each repeat
    cross_id    chosen on the clips of all other ids, measured on the id left out
    label_free  chosen without any label

Chosen here: each fold's ensemble is another, so before the folds' scores are judged together, each ensemble's are put
into units of its own scores of all the clips of an id, without their labels. (Units of its scores of normal training
clips would not do: how far test clips lie from those differs by detector, and folds that chose differently would not
fit together.) A mean of the folds' own values would be biased for pAUC: of its first tenth a fold has but a few clips.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.greedy import Chosen
from asd_ray.ensembling.judge import Judge, strata_of
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.select import choose
from asd_ray.ensembling.standardise import Standardiser, Statistics
from asd_ray.errors import AsdRayError, unknown

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
PROTOCOLS = ("oracle", "crossval", "cross_id", "label_free")


@dataclass(frozen=True)
class Field:
    """Standardised scores of all candidates, of the labelled clips that are judged."""

    candidates: Candidates
    statistics: Statistics
    rows: npt.NDArray[np.intp]  # the judged ones of the candidates' clips
    judge: Judge
    scores: Floats  # [candidates, judged clips]

    @property
    def ids(self) -> npt.NDArray[np.str_]:
        return self.judge.clips["id"].to_numpy().astype(str)


@dataclass(frozen=True)
class Measured:
    """Scores of the judged clips, a row a repeat, and their value: the mean over repeats."""

    protocol: str
    scores: Floats
    values: Floats  # one a repeat
    cells: dict[str, float]
    chosen: tuple[Chosen, ...]  # one a fold

    @property
    def value(self) -> float:
        return float(self.values.mean())


def field_of(candidates: Candidates, standardiser: Standardiser, maximise: str = "hmean") -> Field:
    """An error where no id has labels of both classes."""
    judged = candidates.judged
    statistics = standardiser.learn(candidates.normal_scores, candidates.normal)
    clips = candidates.clips.iloc[judged.rows].reset_index(drop=True)
    return Field(
        candidates,
        statistics,
        judged.rows,
        Judge(clips, judged.year, maximise),
        statistics(candidates.scores[:, judged.rows], clips),
    )


def measure(
    field: Field, recipe: Recipe, protocol: str, *, repeats: int = 3, folds: int = 5, seed: int = 0
) -> Measured:
    """One of the protocols; `recipe` combines in one way."""
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if protocol == "label_free" and recipe.select != "label_free":
        raise AsdRayError(f"recipe {recipe.name} chooses by labels, so no number of it is label_free; use crossval")
    if protocol in ("oracle", "label_free"):
        whole = np.ones(len(field.ids), bool)
        chosen = choose(recipe, field.candidates.table, field.scores, field.judge, seed=seed)
        return _measured(field, recipe, protocol, [[(whole, chosen)]])
    if protocol == "cross_id":
        parts = [list(left_out_ids(field.ids))]
    else:
        parts = [list(folds_of(field.judge, folds, seed + repeat)) for repeat in range(repeats)]
    every = [held for repeat in parts for held in repeat]
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:  # numpy sorts outside of Python's lock
        found = iter(list(pool.map(lambda held: _chosen_without(field, recipe, held, seed), every)))
    return _measured(field, recipe, protocol, [[(held, next(found)) for held in repeat] for repeat in parts])


def _chosen_without(field: Field, recipe: Recipe, held: Mask, seed: int) -> Chosen:
    """Chosen by the clips that are not held out: neither labels nor scores of those go in."""
    return choose(recipe, field.candidates.table, field.scores[:, ~held], field.judge.of(~held), seed=seed)


def _measured(field: Field, recipe: Recipe, protocol: str, parts: Sequence[Sequence[tuple[Mask, Chosen]]]) -> Measured:
    scores = np.empty((len(parts), field.scores.shape[1]))
    for row, repeat in zip(scores, parts, strict=True):
        for held, chosen in repeat:
            row[held] = together(field, recipe, chosen, held, rescaled=len(repeat) > 1)
    each = [field.judge.cells(row) for row in scores]
    cells = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    return Measured(
        protocol, scores, field.judge(scores), cells, tuple(chosen for repeat in parts for _, chosen in repeat)
    )


def together(field: Field, recipe: Recipe, chosen: Chosen, clips: Mask, *, rescaled: bool) -> Floats:
    """The ensemble's scores of judged `clips`; `rescaled`, in units of its own scores of each id's clips."""
    made = combine(field.scores[list(chosen.members)], recipe.combine[0], chosen.weights)
    if rescaled:
        made = Standardiser("z", "id", floor=0.0).learn(made[None], field.judge.clips)(made[None], field.judge.clips)[0]
    return np.asarray(made[clips])


def possible(field: Field, protocol: str) -> bool:
    if protocol == "cross_id":
        return len(set(field.ids)) > 1
    return protocol != "crossval" or min(map(len, strata_of(field.judge.clips).values())) > 1


def folds_of(judge: Judge, folds: int, seed: int) -> Iterator[Mask]:
    """Clips held out, fold by fold; each id, domain and label is spread over the folds as evenly as it goes."""
    if folds < 2:
        raise AsdRayError(f"crossval needs 2 folds or more but got {folds}")
    draw, frame = np.random.default_rng(seed), judge.clips
    strata = strata_of(frame)
    name, fewest = min(strata.items(), key=lambda item: len(item[1]))
    least = len(fewest)
    if least < 2:
        raise AsdRayError(
            f"crossval needs 2 clips or more of each id, domain and label but {name} has {least}; leave that id out"
        )
    fold, at = np.empty(len(frame), np.intp), 0
    for rows in strata.values():
        fold[draw.permutation(rows)] = (at + np.arange(len(rows))) % min(folds, least)
        at += len(rows)
    for each in range(min(folds, least)):
        yield fold == each


def left_out_ids(ids: npt.NDArray[np.str_]) -> Iterator[Mask]:
    names = sorted(set(ids))
    if len(names) < 2:
        raise AsdRayError("cross_id chooses on other ids, and this machine has one; use crossval")
    for name in names:
        yield ids == name
