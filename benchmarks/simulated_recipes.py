"""Recipes and units on simulated machines, where the true value of an ensemble is known: a table in Markdown.

    python -m benchmarks.simulated_recipes [--machines 30] [--worlds plain,heavy,faults,both] [--recipe NAME] [--tried]

A machine has 60 candidates of six families. A candidate has its own strength, the distance in deviations between the
anomalies that it hears and the normal clips; a third of a score's variance is common to all families and a third to its
family. The worlds differ in two ways:

- tails: normal distributions, or in "heavy" and "both" Student's t of 3 degrees of freedom;
- faults: in "plain" and "heavy" every family hears every kind of anomaly; in "faults" and "both" there are six kinds of
  anomaly, and each family hears only two of them.

A recipe chooses members by the labels of 100 normal and 100 anomalous clips, in units of 100 other normal clips. Its
value is measured on 10,000 further clips, which nothing chose by: the harmonic mean of AUC and pAUC. The table has the
mean over the machines, and in brackets the standard error of its difference from `greedy` by mean in z.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.evaluation_set import EvaluationSet, ensemble_scores
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.recipe_file import find_recipe
from asd_ray.ensembling.select import select
from asd_ray.ensembling.standardise import Standardiser

Floats = npt.NDArray[np.float64]
Values = Mapping[tuple[str, str], float]  # recipe, unit -> value
FAMILIES = ("autoencoder", "idnn", "group_made", "flow_aff", "stgram", "twfr_gmm")
CANDIDATES, KINDS, HEARD = 60, 6, 2
CHOOSING, TRUTH, NORMALS = 200, 10_000, 100  # clips; half of the first two are anomalies
WORLDS = {"plain": (False, False), "heavy": (True, False), "faults": (False, True), "both": (True, True)}
RECIPES = ("best_single", "top_k", "greedy", "smooth_weights")
TRIED = (  # not shipped, but a recipe file of a user may select so
    Recipe("greedy_bagged", "greedy", bags=20, fraction=0.5, size=25, pool=200),
    Recipe("optuna_weights", "optuna_weights", k=5, trials=200),
)
UNITS = ("z", "robust", "rank", "open_rank")
REFERENCE = ("greedy.mean", "z")


class World:
    """One simulated machine."""

    def __init__(self, seed: int, heavy: bool, faults: bool) -> None:
        self.rng, self.heavy = np.random.default_rng(seed), heavy
        self.family = np.arange(CANDIDATES) % len(FAMILIES)
        self.strength = self.rng.gamma(2.0, 0.25, CANDIDATES)
        self.hears = np.ones((len(FAMILIES), KINDS), bool)
        if faults:  # what a family hears it hears better, so that the values are like those of the other worlds
            self.strength *= KINDS / HEARD
            self.hears = np.array([self.rng.permutation(KINDS) < HEARD for _ in FAMILIES])
        self.scale = self.rng.lognormal(0, 1, CANDIDATES)  # candidates have different units

    def scores(self, label: Floats) -> npt.NDArray[np.float32]:
        """[candidates, clips] of new clips with these labels."""
        clips = len(label)
        common, own = self._noise((1, clips)), self._noise((CANDIDATES, clips))
        noise = (common + self._noise((len(FAMILIES), clips))[self.family] + own) / np.sqrt(3)
        kind = self.rng.integers(KINDS, size=clips)
        raised = self.strength[:, None] * self.hears[self.family][:, kind] * label
        return np.asarray((noise + raised) * self.scale[:, None], np.float32)

    def _noise(self, shape: tuple[int, int]) -> Floats:
        drawn = self.rng.standard_t(3, shape) / np.sqrt(3) if self.heavy else self.rng.normal(size=shape)
        return np.asarray(drawn)

    def candidates(self, clips: int, normal: pd.DataFrame, normal_scores: npt.NDArray[np.float32]) -> Candidates:
        label = np.arange(clips) % 2
        frame = _clips("test", clips)
        frame["label"] = np.where(label, "anomaly", "normal")
        table = pd.DataFrame(
            {
                "trial": [f"t{number}" for number in range(CANDIDATES)],
                "variant": "v",
                "name": [f"fan-{number}" for number in range(CANDIDATES)],
                "family": [FAMILIES[number] for number in self.family],
                "paper": False,
                "params": [{}] * CANDIDATES,
            }
        )
        scores = self.scores(label.astype(float))
        return Candidates("fan", table, frame, scores, normal, normal_scores, "held_out", "simulated", "", 2020)


def _clips(split: str, count: int) -> pd.DataFrame:
    names = [f"{split}{number}.wav" for number in range(count)]
    return pd.DataFrame({"clip": names, "id": "00", "domain": "source", "label": "normal"})


def values(seed: int, world: str, ways: Sequence[Recipe], units: Sequence[str]) -> Values:
    """The true value of each recipe in each unit on one machine."""
    machine = World(seed, *WORLDS[world])
    normal, normal_scores = _clips("held_out", NORMALS), machine.scores(np.zeros(NORMALS))
    seen, truth = (machine.candidates(clips, normal, normal_scores) for clips in (CHOOSING, TRUTH))
    found = {}
    for unit in units:
        standardiser = Standardiser(unit)
        chosen_on, measured_on = (EvaluationSet.of(each, standardiser) for each in (seen, truth))
        for way in ways:
            own = replace(way, standardise=standardiser)
            chosen = select(own, seen.table, chosen_on.scores, chosen_on.scorer)
            scores = ensemble_scores(measured_on, own, chosen, measured_on.all_clips, rescaled=False)
            found[way.name, unit] = float(measured_on.scorer(scores[None])[0])
    return found


def table(found: Mapping[str, Sequence[Values]], units: Sequence[str]) -> str:
    """`found`: world -> the values on each machine."""
    head = ["recipe", *(f"{world}: {unit}" for world in found for unit in units)]
    lines = [f"| {' | '.join(head)} |", f"|---{'|---:' * (len(head) - 1)}|"]
    for name in dict.fromkeys(name for name, _ in next(iter(found.values()))[0]):
        cells = []
        for machines in found.values():
            for unit in units:
                own = np.array([values[name, unit] for values in machines])
                gain = own - [values.get(REFERENCE, np.nan) for values in machines]
                cells.append(f"{own.mean():.3f} ({gain.std(ddof=1) / np.sqrt(len(gain)):.3f})")
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=30)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--recipe", action="append", help="a recipe's name or file; may be repeated")
    parser.add_argument("--tried", action="store_true", help="also the recipes that were tried and are not shipped")
    args = parser.parse_args(argv)
    ways = [way for name in args.recipe or RECIPES for way in find_recipe(name).ways()]
    ways += TRIED if args.tried else ()
    found = {
        world: [values(seed, world, ways, UNITS) for seed in range(args.machines)] for world in args.worlds.split(",")
    }
    print(table(found, UNITS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
