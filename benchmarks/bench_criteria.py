"""Hide all labels, let each criterion choose, then look: a table in Markdown of how good the choices are.

    python -m benchmarks.bench_criteria RUN[:MACHINE,MACHINE] … [--top 5]

A run needs labelled test clips, and scores of injected faults for the criteria that use them. The true value of a
candidate or of an ensemble is the harmonic mean of the AUC and pAUC cells of its year. A criterion that looks at scores
of test clips has a second row, without them. `python -m benchmarks criteria`
measures the speed instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from asd_ray.ensembling import criteria
from asd_ray.ensembling.build import without_constants
from asd_ray.ensembling.candidates import AlteredClips, Candidates, load
from asd_ray.ensembling.criteria import CRITERIA, Criterion, Evidence
from asd_ray.ensembling.evaluation_set import EvaluationSet, ensemble_scores
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.label_free import criterion_lacking, criterion_of, without_labels
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.ledger import Ledger
from asd_ray.metrics.injected import fault_name
from benchmarks import _timing

Floats = npt.NDArray[np.float64]
PAPERS = Recipe("papers' settings", "label_free", variants="paper")
NOT_USED = "–"
WITHOUT_TEST = ", without test clips"  # by held-out clips and injected faults only


@dataclass(frozen=True)
class Outcome:
    """What one way to choose reaches on one machine. NaN: not used there, or it chooses no single candidate."""

    way: str
    machine: str
    correlation: float = np.nan  # Spearman's, with the true values of the candidates
    value: float = np.nan  # true value of what it chooses
    regret: float = np.nan  # how far that is below the best candidate


def outcomes(candidates: Candidates, top: int = 5, where: str = "") -> list[Outcome]:
    """Every way to choose on one machine."""
    evaluation = EvaluationSet.of(candidates, Standardiser())
    truth = evaluation.scorer(evaluation.scores)
    where, best = where or candidates.machine, float(truth.max())

    def outcome(way: str, value: float, correlation: float = np.nan) -> Outcome:
        return Outcome(way, where, correlation, value, best - value)

    found = [outcome("best candidate (all labels)", best), outcome("random candidate", float(truth.mean()))]
    papers = without_labels(PAPERS, candidates)
    if papers.members:
        single = np.average(truth[list(papers.members)], weights=papers.weights)
        found.append(outcome("papers' settings, single", float(single)))
    blind = replace(candidates, clips=candidates.clips.iloc[:0], scores=candidates.scores[:, :0])
    for seen, suffix in ((candidates, ""), (blind, WITHOUT_TEST)):
        evidence = Evidence.of(seen)
        for criterion in CRITERIA:
            way = f"best by {criterion.name}{suffix}"
            if suffix and not criterion.transductive:  # the same without test clips
                continue
            if criteria.reason_against(criterion, evidence):
                found.append(Outcome(way, where))
            else:
                values = criterion.values(evidence)
                choice = float(truth[np.nanargmax(values)])
                found.append(outcome(way, choice, rank_correlation(values, truth)))
        for name, recipe in ensembles(top):
            way, used = f"{name}{suffix}", criterion_of(recipe)
            if suffix and not (used and used.transductive):
                continue
            if criterion_lacking(recipe, seen) or not (chosen := members(recipe, seen)).members:
                found.append(Outcome(way, where))
            else:
                found.append(outcome(way, value_of(evaluation, recipe, chosen)))
    return found


def ensembles(top: int) -> Iterator[tuple[str, Recipe]]:
    """The ensembles that are compared. The mean of all has no recipe of its own: its `select` is never followed."""
    yield "ensemble of all, mean", replace(PAPERS, name="all")
    for how in ("mean", "min", "median"):
        yield f"ensemble of papers' settings, {how}", replace(PAPERS, combine=(how,))
    for criterion in CRITERIA:
        for how in ("mean", "min"):
            name = f"ensemble of the {top} best by {criterion.name}, {how}"
            yield name, Recipe("top", "label_free_top_k", (how,), k=top, criterion=criterion.name)
    for name in ("consensus", "fault_consensus", "injected_faults"):
        yield f"ensemble weighted by {name}", Recipe("weighted", "label_free_consensus", criterion=name)
    yield "ensemble, greedy on injected faults", Recipe("greedy", "label_free_greedy", pool=200)


def members(recipe: Recipe, candidates: Candidates) -> Selection:
    if recipe.name == "all":
        return Selection(tuple(range(len(candidates))), (1.0,) * len(candidates))
    return without_labels(recipe, candidates)


def value_of(evaluation: EvaluationSet, recipe: Recipe, chosen: Selection) -> float:
    scores = ensemble_scores(evaluation, recipe, chosen, evaluation.all_clips, rescaled=False)
    return float(evaluation.scorer(scores[None])[0])


def rank_correlation(values: Floats, truth: Floats) -> float:
    known = np.isfinite(values)
    return float(pd.Series(values[known]).corr(pd.Series(truth[known]), method="spearman"))


def table(found: Sequence[Outcome]) -> str:
    """One row per way to choose, the best first; one column per machine with the true value."""
    frame = pd.DataFrame([vars(outcome) for outcome in found])
    machines = list(dict.fromkeys(frame["machine"]))
    own = {(outcome.way, outcome.machine): outcome.value for outcome in found}
    by_way = frame.groupby("way")
    means = pd.DataFrame({name: by_way[name].mean() for name in ("correlation", "regret", "value")})
    means["least"], means["used"] = by_way["correlation"].min(), by_way["value"].count()
    order = means.assign(partly=means["used"] < len(machines)).sort_values(["partly", "value"], ascending=[True, False])
    lines = [
        f"| way to choose | Spearman (least) | regret | value | {' | '.join(machines)} |",
        "|---" * (4 + len(machines)) + "|",
    ]
    for way, row in order.iterrows():
        correlation = NOT_USED if np.isnan(row["correlation"]) else f"{row['correlation']:+.2f} ({row['least']:+.2f})"
        used = "" if row["used"] == len(machines) else f" on {row['used']:.0f} of {len(machines)}"
        numbers = [correlation, f"{row['regret']:.3f}", f"{row['value']:.3f}{used}"]
        if not row["used"]:
            numbers = [NOT_USED] * 3
        values = [own[str(way), machine] for machine in machines]
        numbers += [NOT_USED if np.isnan(value) else f"{value:.3f}" for value in values]
        lines.append(f"| {way} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def candidates_of(runs: Sequence[str]) -> Iterator[tuple[str, Candidates]]:
    """RUN or RUN:MACHINE,MACHINE -> the candidates of each machine and a name for its column."""
    for run in runs:
        path, _, named = run.partition(":")
        ledger = Ledger(path)
        for machine in named.split(",") if named else sorted({record.machine for record in ledger.records()}):
            yield f"{path.rstrip('/').rpartition('/')[2]} {machine}", without_constants(load(ledger, machine))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN[:MACHINE,…]")
    parser.add_argument("--top", type=int, default=5, help="members of the ensembles of the best (default: 5)")
    args = parser.parse_args(argv)
    found = []
    for where, candidates in candidates_of(args.runs):
        faults = 0 if candidates.faults is None else len(candidates.faults.clips)
        trials = candidates.table["trial"].nunique()
        clips = f"{len(candidates.clips)} test clips, {len(candidates.normal)} held-out clips, {faults} faults"
        print(f"{where}: {len(candidates)} candidates of {trials} trials, {clips}", file=sys.stderr)
        found += outcomes(candidates, args.top, where)
    print(table(found))
    return 0


# -- speed -----------------------------------------------------------------------------------------------------------

COUNT, CLIPS, NORMALS, FAULTS = 5000, 1200, 200, 240
LOOPED = 20  # candidates of the loop; its time is scaled


def run() -> Iterator[_timing.Row]:
    candidates = _large()
    chosen = Recipe("r", "label_free_top_k", criterion="borda")
    values: dict[str, Floats] = {}
    own = _timing.seconds(lambda: values.update(_all_values(CRITERIA, Evidence.of(candidates))))
    looped = _timing.seconds(lambda: _loop(candidates.take(range(LOOPED)))) / LOOPED * COUNT
    detail = f"{own:.1f} s for {', '.join(values)}; the loop is {LOOPED} candidates, scaled"
    yield f"all criteria of {COUNT:,} candidates × {CLIPS:,} clips", "scikit-learn, faults alone", looped / own, detail
    own = _timing.seconds(lambda: without_labels(chosen, candidates))
    greedy = _timing.seconds(lambda: without_labels(Recipe("r", "label_free_greedy", pool=200), candidates))
    detail = f"{greedy:.1f} s for greedy selection of 25 members by injected faults; {own:.1f} s for the 5 best"
    yield f"ensembles of {COUNT:,} candidates without labels", "scikit-learn, faults alone", looped / greedy, detail


def _all_values(used: Sequence[Criterion], evidence: Evidence) -> Mapping[str, Floats]:
    usable = [criterion for criterion in used if not criteria.reason_against(criterion, evidence)]
    return {criterion.name: criterion.values(evidence) for criterion in usable}


def _loop(candidates: Candidates) -> list[float]:
    assert candidates.faults is not None
    label = np.repeat([0, 1], [candidates.normal_scores.shape[1], candidates.faults.scores.shape[1]])
    scores = np.concatenate([candidates.normal_scores, candidates.faults.scores], axis=1)
    kinds = candidates.faults.clips["clip"].str.split("~").str[1].to_numpy()
    found = []
    for kind in sorted(set(kinds)):
        here = np.concatenate([np.ones(candidates.normal_scores.shape[1], bool), kinds == kind])
        found += [roc_auc_score(label[here], row[here]) for row in scores]
    return found + [roc_auc_score(label, row, max_fpr=0.1) for row in scores]


def _large() -> Candidates:
    draw = np.random.default_rng(0)
    quality = draw.uniform(0, 2, COUNT)

    def clips(count: int, names: Sequence[str]) -> pd.DataFrame:
        ids = [f"{number % 3:02d}" for number in range(count)]
        return pd.DataFrame({"clip": names, "id": ids, "domain": "source", "label": "normal"})

    def scores(raised: Floats) -> npt.NDArray[np.float32]:
        return (np.outer(quality, raised) + draw.normal(size=(COUNT, len(raised)))).astype(np.float32)

    kinds = ("tone", "clicks", "impacts", "speed", "gain", "dropout", "foreign", "am")
    names = [
        fault_name(f"{number:03d}.wav", kinds[number % len(kinds)], number // len(kinds) % 3)
        for number in range(FAULTS)
    ]
    levels = np.arange(FAULTS) // len(kinds) % 3
    families = [("idnn", "group_made", "stgram", "twfr_gmm")[number % 4] for number in range(COUNT)]
    frame = pd.DataFrame(
        {
            "trial": [f"t{number // 2}" for number in range(COUNT)],
            "variant": [("mse", "nll")[number % 2] for number in range(COUNT)],
            "name": [f"fan-{number}" for number in range(COUNT)],
            "family": families,
            "paper": False,
            "peeked": False,
            "guided": False,
            "params": [{"lr": float(number // 4)} for number in range(COUNT)],
        }
    )
    test, normal = (clips(count, [f"{number}.wav" for number in range(count)]) for count in (CLIPS, NORMALS))
    faults = AlteredClips(clips(FAULTS, names), scores((levels + 1) / 2))
    return Candidates(
        "fan",
        frame,
        test,
        scores(np.repeat([0.0, 1.0], CLIPS // 2)),
        normal,
        scores(np.zeros(NORMALS)),
        "held_out",
        "demo",
        "f0",
        2020,
        faults=faults,
    )


if __name__ == "__main__":
    sys.exit(main())
