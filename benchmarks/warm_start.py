"""Replay searches over stored trials: with --prior and without, and with other samplers of Optuna.

    python benchmarks/warm_start.py RUN --make --families twfr_gmm,idnn [--machines fan,pump] [--trials 60]
    python benchmarks/warm_start.py RUN [--seeds 5] [--only warm] [--without GP] [--sizes 5,3]

RUN has trials of several machines at random settings, without pruning; --make makes them on the demo set, beside RUN. A
forest for each machine and family, fitted to the stored trials, stands for the machine: it gives the value of any
setting. A family with an encoder takes that of $ASD_RAY_WEIGHTS. The first table has the correlation of the forest's
predictions with the values that it did not learn from. A warm search of one machine takes its prior from the trials of
all others: 20 of each, drawn anew for each seed.

With --pruning, a second forest gives the value at the first rung, and trials are pruned by it as a search prunes them.

Regret is the value of the best stored setting less that of the best setting found, both by the forest. 0.010 is one
point of the objective.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from scipy.stats import rankdata, spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold, cross_val_predict

from asd_ray import Dataset, Run
from asd_ray.clips.demo import MACHINES, make_demo
from asd_ray.families import Family, Space, family
from asd_ray.families.drawing import draw, first_draw, paper_draw
from asd_ray.families.weights import PARAMETER
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.tuning import prior
from asd_ray.tuning.halving import Halving
from asd_ray.tuning.prior import Observation, Origin
from benchmarks._ledgers import make_ledger

PRIOR_TRIALS = 20  # of each other machine
GP_SEEDS = 3  # at most: its proposals are slow
Array = npt.NDArray[np.float64]
Params = Mapping[str, Any]


class Machine:
    """The stored trials of one machine and family, and a forest that values any setting."""

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        self.records = list(records)
        self.paper = records[0].params
        self.values = np.array([record.objective for record in records], dtype=float)
        self._choices = {name: sorted({repr(r.params[name]) for r in records}) for name in self.paper}
        rows = np.stack([self._row(record.params) for record in records])
        forest = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0)
        unseen = cross_val_predict(forest, rows, self.values, cv=KFold(10, shuffle=True, random_state=0))
        self.correlation = float(spearmanr(unseen, self.values).statistic)
        self._trees = [tree.tree_ for tree in forest.fit(rows, self.values).estimators_]
        self._rung_trees, self.rung = [], 0  # of the value at the first rung, if all trials have one
        if all(record.intermediate for record in records):
            self.rung = min(records[0].intermediate)
            at_rung = [record.intermediate[self.rung] for record in records]
            self._rung_trees = [tree.tree_ for tree in forest.fit(rows, at_rung).estimators_]
        self.best = max(self.value(record.params) for record in records)

    def value(self, params: Params) -> float:
        row = self._row(params).astype(np.float32)[None]
        return float(np.mean([tree.predict(row)[0] for tree in self._trees]))

    def value_at_rung(self, params: Params) -> float:
        row = self._row(params).astype(np.float32)[None]
        return float(np.mean([tree.predict(row)[0] for tree in self._rung_trees]))

    def _row(self, params: Params) -> Array:
        """Numbers as they are, and one column for each choice of a category."""
        row: list[float] = []
        for name, paper in self.paper.items():
            value = params.get(name, paper)
            if isinstance(paper, int | float) and not isinstance(paper, bool):
                row.append(np.log(value) if name == "lr" else float(value))
            else:
                row += [float(repr(value) == choice) for choice in self._choices[name]]
        return np.array(row)


@dataclass(frozen=True)
class Way:
    """How a search chooses its settings after the paper's."""

    name: str
    trials: tuple[int, ...]  # at which its regret is read
    sampler: Callable[[int], optuna.samplers.BaseSampler]
    size: int = 0  # of the portfolio
    observed: bool = False  # whether the sampler learns of the prior's trials, all values as ranks
    seeds: int = 1000  # at most


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def tpe_of_auto_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """What OptunaHub's AutoSampler takes for spaces with choices or conditions, and all of ours have choices."""
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def plain_tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=False)


def gp(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


def cma_es(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def random(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def ways(size: int) -> list[Way]:
    found = [
        Way("cold, TPE", (5, 10, 20, 40, 60), tpe),
        Way("warm, TPE", (5, 10, 20), tpe, size),
        Way("warm, random", (5, 10, 20), random, size),
        Way("TPE that learns of the prior", (5, 10, 20), tpe, 0, True),
        Way("warm, TPE that learns of the prior", (5, 10, 20), tpe, size, True),
        Way("cold, AutoSampler's TPE", (5, 10, 20, 40, 60), tpe_of_auto_sampler),
        Way("cold, TPE of one parameter at a time", (5, 10, 20, 40, 60), plain_tpe),
        Way("cold, random", (5, 10, 20, 40, 60), random),
        Way("cold, GP", (5, 10, 20, 40), gp, seeds=GP_SEEDS),
        Way("warm, GP", (5, 10, 20), gp, size, seeds=GP_SEEDS),
    ]
    if importlib.util.find_spec("cmaes"):
        found.append(Way("cold, CMA-ES", (5, 10, 20, 40, 60), cma_es))
    return found


def search(
    way: Way,
    space: Space,
    paper: dict[str, Any],
    machine: Machine,
    others: Mapping[Origin, list[Observation]],
    seed: int,
    pruning: bool,
) -> list[float]:
    """The best value of a complete trial after each trial. The first setting is never pruned."""
    first = [each.suggested for each in prior.portfolio(others, way.size)] if way.size else []
    prior_trials = [seen for own in others.values() for seen in own] if way.observed else []
    study = optuna.create_study(direction="maximize", sampler=way.sampler(seed), pruner=Halving())
    found: list[float] = []
    for begin in [paper, *first]:
        study.enqueue_trial(begin)
    while len(found) < max(way.trials):
        if prior_trials and len(found) > len(first):
            study = _with_prior(way, study, prior_trials, found, seed * 1000 + len(found))
        trial = study.ask()
        params = draw(space, trial)
        if pruning and machine.rung:
            trial.report(machine.value_at_rung(params), machine.rung)
            if found and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                found.append(-np.inf)
                continue
        value = machine.value(params)
        study.tell(trial, value)
        found.append(value)
    return list(np.maximum.accumulate(found))


def _with_prior(
    way: Way, study: optuna.Study, seen: Sequence[Observation], found: Sequence[float], seed: int
) -> optuna.Study:
    """A study of the prior's trials and of the own ones, each by its rank on its machine."""
    ranks = (rankdata(found) - 0.5) / len(found)
    both = optuna.create_study(direction="maximize", sampler=way.sampler(seed))
    for each in seen:
        params = {name: each.draw.params[name] for name in each.draw.distributions}
        both.add_trial(
            optuna.trial.create_trial(value=each.value, params=params, distributions=each.draw.distributions)
        )
    for trial, rank in zip(study.trials[-len(found) :], ranks, strict=True):
        both.add_trial(optuna.trial.create_trial(value=rank, params=trial.params, distributions=trial.distributions))
    return both


def space_of(known: Family, records: Sequence[TrialRecord]) -> tuple[Space, dict[str, Any]]:
    """The space of a family and its first setting. A family that needs an encoder draws that of the trials."""
    space = known.search_space()
    if not known.needs_weights:
        return space, paper_draw(space, known)
    brought = {parameter: {r.params[parameter]: r.params[PARAMETER] for r in records} for parameter in known.weights}
    idle = [name for name in space.later if not any(name in record.params for record in records)]
    space = replace(space, weights=brought, needs_weights=True).without(idle)
    return space, first_draw(space).suggested


def prior_of(
    machines: Mapping[str, Machine], left_out: str, space: Space, seed: int
) -> dict[Origin, list[Observation]]:
    """A few trials of all machines but one, with the paper's of each."""
    pick = np.random.default_rng([seed, len(left_out)])
    records: list[tuple[str, TrialRecord]] = []
    for name, machine in machines.items():
        if name != left_out:
            rest = [record for record in machine.records if not record.paper]
            chosen = pick.choice(len(rest), min(PRIOR_TRIALS, len(rest)) - 1, replace=False)
            records += [("prior", record) for record in machine.records if record.paper]
            records += [("prior", rest[at]) for at in chosen]
    return prior.observations(records, space)


def machines_of(ledger: Ledger, name: str, least: int) -> dict[str, Machine]:
    records = [r for r in ledger.records(family=name) if r.status == "complete"]
    found = {}
    for machine in dict.fromkeys(record.machine for record in records):
        own = sorted((r for r in records if r.machine == machine), key=lambda r: r.number)
        if len(own) >= least:
            found[machine] = Machine(own)
    return found


def replay(
    ledger: Ledger, names: Sequence[str], chosen: Sequence[Way], seeds: int, least: int, pruning: bool
) -> pd.DataFrame:
    rows = []
    for name in names:
        known: Family = family(name)
        space, paper = space_of(known, ledger.records(family=name))
        machines = machines_of(ledger, name, least)
        for of, machine in machines.items():
            print(
                f"{name} {of}: {len(machine.records)} trials, {machine.values.min():.3f} … {machine.values.max():.3f}, "
                f"correlation {machine.correlation:.2f}",
                flush=True,
            )
        for of, machine in machines.items():
            for seed in range(seeds):
                others = prior_of(machines, of, space, seed)
                for way in chosen:
                    if seed < way.seeds:
                        began = time.perf_counter()
                        best = search(way, space, paper, machine, others, seed, pruning)
                        seconds = time.perf_counter() - began
                        regrets = {at: machine.best - best[at - 1] for at in way.trials}
                        rows += [(name, of, way.name, seed, at, value, seconds) for at, value in regrets.items()]
    return pd.DataFrame(rows, columns=["family", "machine", "way", "seed", "trials", "regret", "seconds"])


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("run", type=Path)
    made.add_argument("--families", default="", metavar="A,B", help="(default: all of the run)")
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--only", default="", help="ways whose names contain this")
    made.add_argument("--without", help="leave out the ways whose names contain this")
    made.add_argument("--sizes", default=str(prior.SIZE), metavar="N,N", help="of the portfolio")
    made.add_argument("--least", type=int, default=40, help="trials of a machine that counts")
    made.add_argument("--pruning", action="store_true", help="not for the ways that learn of the prior")
    made.add_argument("--make", action="store_true", help="complete the trials of RUN before the replay")
    made.add_argument("--machines", default=",".join(MACHINES), help="with --make")
    made.add_argument("--trials", type=int, default=60, help="with --make: of each machine and family")
    made.add_argument("--epochs", type=int, default=10, help="with --make: at most")
    made.add_argument("--size", default="small", help="of the demo set, with --make")
    args = made.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    if args.make:
        machines, families = args.machines.split(","), [family(name) for name in args.families.split(",")]
        data = Dataset(make_demo(args.run.parent / "demo", size=args.size, machines=machines, grow=True))
        make_ledger(Run(args.run), data, machines, families, settings=args.trials, epochs_cap=args.epochs)
    ledger = Ledger(args.run)
    names = args.families.split(",") if args.families else sorted({record.family for record in ledger.records()})
    sizes = [int(size) for size in args.sizes.split(",")]
    chosen = [
        way for way in ways(sizes[0]) if args.only in way.name and not (args.without and args.without in way.name)
    ]
    chosen += [
        replace(way, name=f"{way.name}, {size} first", size=size)
        for size in sizes[1:]
        for way in chosen
        if way.name == "warm, TPE"
    ]
    frame = replay(ledger, names, chosen, args.seeds, args.least, args.pruning)
    per_family = frame.pivot_table(index="way", columns=["family", "trials"], values="regret", sort=False)
    overall = frame.pivot_table(index="way", columns="trials", values="regret", sort=False)
    error = frame.groupby(["way", "trials"])["regret"].sem().unstack()
    print(f"\nmean regret of {len(frame[['family', 'machine']].drop_duplicates())} machines and families")
    print(overall.round(4).to_string(), "\n\nstandard error\n", error.round(4).to_string())
    print(per_family.round(4).to_string())
    print(frame.groupby("way", sort=False)["seconds"].mean().round(2).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
