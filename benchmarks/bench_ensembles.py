"""Choosing an ensemble of thousands of candidates and measuring it under crossval, against a loop over scikit-learn.

Each case runs in its own process, so that its peak memory can be measured. The process is limited to two cores on
systems that support this.

A quick look with fewer candidates than the default of 5,000:

    ASD_RAY_BENCH_CANDIDATES=500 python -m benchmarks ensembles
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from asd_ray.clips.faults.kinds import KINDS
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.choose import choose
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols import measure
from asd_ray.ensembling.recipe_file import find_recipe
from asd_ray.ledger import Ledger, Settings, TrialRecord, long_scores, trial_hash
from asd_ray.metrics import MAX_FPR, hmean
from asd_ray.metrics.injected import crop_name, fault_name
from benchmarks._timing import Row, compare, seconds

CANDIDATES = int(os.environ.get("ASD_RAY_BENCH_CANDIDATES", "5000"))
MACHINES, CLIPS, NORMALS, UNSEEN, VARIANTS = 7, 1200, 400, 1200, 10
FAMILIES = ("autoencoder", "idnn", "twfr_gmm", "embedding_knn")
CORES, SECONDS, GIB = 2, 60, 4  # limits for the largest size
LOOPED = 40  # ensembles of the scikit-learn loop; its time is scaled to all that were judged


def run() -> Iterator[Row]:
    yield _judging()
    each = CANDIDATES // 10
    size = f"{CANDIDATES:,} candidates × {CLIPS:,} clips"
    yield _row(f"greedy of 25 members and crossval 5 × 3 of {size}", _greedy, CANDIDATES, CLIPS, 1)
    clips = 4200 // MACHINES
    size = f"{each:,} candidates × {MACHINES} machines × {clips:,} clips"
    yield _row(f"greedy of 25 members and crossval 5 × 3 of {size}", _greedy, each, clips, MACHINES)
    trials = CANDIDATES // VARIANTS
    what = (
        f"all of `asd-ray ensemble`, every recipe and protocol, of {trials:,} trials × {VARIANTS} variants in a ledger"
    )
    yield _row(what, _from_ledger, CANDIDATES, CLIPS, 1)


def _row(what: str, act: Callable[[int, int, int], dict[str, Any]], *size: int) -> Row:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        found = alone.submit(_apart, act, *size).result()
    if found["seconds"] > SECONDS or found["gib"] > GIB:
        print(
            f"{what}: {found['seconds']:.1f} s and {found['gib']:.2f} GiB miss {SECONDS} s and {GIB} GiB",
            file=sys.stderr,
        )
    detail = (
        f"{found['seconds']:.1f} s on {found['cores']} cores ({found['cpu']:.1f} s of computing), at most "
        f"{found['gib']:.2f} GiB of memory; {found['judged']:,} ensembles judged, {found['told']}"
    )
    return what, "scikit-learn loop, scaled", found["looped"] * found["judged"] / found["seconds"], detail


def _apart(act: Callable[[int, int, int], dict[str, Any]], *size: int) -> dict[str, Any]:
    """The result of `act`, with the peak memory of this process. Called in a new process."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        cores = len(os.sched_getaffinity(0))
    counted = _count_judged()
    found = act(*size)
    unit = 1 if sys.platform == "darwin" else 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    frame = _clips(size[1], "test")
    looped = seconds(lambda: _loop(frame, _scores(np.random.default_rng(1), LOOPED, frame))) / LOOPED
    return {**found, "cores": cores, "gib": most, "judged": counted[0] // size[1], "looped": looped}


def _count_judged() -> list[int]:
    """A list whose one element counts the scores that are judged from now on."""
    counted, judged = [0], CellScorer.__call__

    def counting(self: CellScorer, scores: Any) -> Any:
        counted[0] += scores.size
        return judged(self, scores)

    CellScorer.__call__ = counting  # type: ignore[method-assign]
    return counted


def _greedy(candidates: int, clips: int, machines: int) -> dict[str, Any]:
    recipe, spent, cpu, told = find_recipe("greedy").ways()[0], 0.0, 0.0, []
    for machine in range(machines):
        given = made_up_candidates(candidates, clips, machine)
        started, before = time.perf_counter(), time.process_time()
        evaluation = EvaluationSet.of(given, recipe.standardise)
        oracle, crossval = (measure(evaluation, recipe, protocol) for protocol in ("oracle", "crossval"))
        spent, cpu = spent + time.perf_counter() - started, cpu + time.process_time() - before
        told.append(f"oracle {oracle.value:.3f}, crossval {crossval.value:.3f}")
    return {"seconds": spent, "cpu": cpu, "told": told[0]}


def _from_ledger(candidates: int, clips: int, _: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-ensembles-") as folder:
        written = seconds(lambda: _commit(Ledger(folder), candidates, clips))
        started, before = time.perf_counter(), time.process_time()
        comparison = choose(Ledger(folder), "fan")
        spent, cpu = time.perf_counter() - started, time.process_time() - before
    tried = comparison.final.candidates.tried
    if tried != candidates:
        raise AssertionError(f"{tried} candidates came back, not {candidates}")
    measured = ", ".join(f"{name} {metric.value:.3f}" for name, metric in comparison.final.metrics.by_protocol.items())
    told = f"{len(comparison.ensembles)} recipes (writing the ledger took {written:.1f} s); the final one: {measured}"
    return {"seconds": spent, "cpu": cpu, "told": told}


def _judging() -> Row:
    """Time the step that selection repeats: the values of many ensembles over the same clips."""
    count = 1000
    frame = _clips(CLIPS, "test")
    scorer, scores = CellScorer(frame, 2022), _scores(np.random.default_rng(0), count, frame)
    np.testing.assert_allclose(scorer(scores[:LOOPED]), _loop(frame, scores[:LOOPED]), rtol=0, atol=1e-12)
    ratio, mine, theirs = compare(lambda: scorer(scores), lambda: _loop(frame, scores[:LOOPED]), rounds=3)
    scale = count / LOOPED
    detail = f"{mine * 1e3:.0f} ms against {theirs * scale * 1e3:,.0f} ms ({LOOPED} of {count:,} looped, scaled)"
    return f"{count:,} ensembles × {CLIPS:,} clips judged (year 2022)", "scikit-learn loop", ratio * scale, detail


def _loop(frame: pd.DataFrame, scores: Any) -> list[float]:
    """The harmonic mean of the cells of 2022, written as a plain loop over scikit-learn."""
    label = (frame["label"] == "anomaly").to_numpy()
    values = []
    for row in scores:
        cells = []
        for each in sorted(set(frame["id"])):
            here = (frame["id"] == each).to_numpy()
            for domain in ("source", "target"):
                its = here & (label | (frame["domain"] == domain).to_numpy())
                cells.append(roc_auc_score(label[its], row[its]))
            cells.append(roc_auc_score(label[here], row[here], max_fpr=MAX_FPR))
        values.append(hmean(cells))
    return values


def _clips(count: int, split: str) -> pd.DataFrame:
    """Clips of three ids and two domains. Half of the test clips are anomalous."""
    rows = range(count)
    return pd.DataFrame(
        {
            "clip": [f"{split}_{i:05d}.wav" for i in rows],
            "id": [f"{i % 3:02d}" for i in rows],
            "domain": ["source" if i // 3 % 2 else "target" for i in rows],
            "split": split,
            "label": ["anomaly" if split in ("test", "unseen") and i // 6 % 2 else "normal" for i in rows],
        }
    )


def _faults() -> pd.DataFrame:
    """Held-out clips with 12 faults of each kind."""
    sources = _clips(12, "held_out")
    parts = [sources.assign(clip=[fault_name(clip, kind, 0) for clip in sources["clip"]]) for kind in KINDS]
    return pd.concat(parts, ignore_index=True).assign(split="fault", label="anomaly")


def _crops() -> pd.DataFrame:
    """Both halves of 20 held-out clips."""
    sources = _clips(20, "crop")
    parts = [sources.assign(clip=[crop_name(clip, half) for clip in sources["clip"]]) for half in (0, 1)]
    return pd.concat(parts, ignore_index=True)


def _scores(rng: np.random.Generator, count: int, clips: pd.DataFrame) -> Any:
    """Scores of candidates of unequal strength. Half of their noise is shared, so their errors are correlated."""
    anomalous = (clips["label"] == "anomaly").to_numpy()
    strength = rng.uniform(0.2, 1.4, (count, 1)).astype(np.float32)
    noise = rng.standard_normal((count, len(clips)), np.float32) + rng.standard_normal(len(clips), np.float32)
    return noise + strength * anomalous


def made_up_candidates(count: int, clips: int, seed: int) -> Candidates:
    """Candidates of one family, `VARIANTS` of each trial."""
    rng, test, normal = np.random.default_rng(seed), _clips(clips, "test"), _clips(NORMALS, "held_out")
    table = pd.DataFrame(
        {
            "trial": [f"t{i // VARIANTS:06d}" for i in range(count)],
            "variant": [f"v{i % VARIANTS}" for i in range(count)],
            "name": [f"fan-autoencoder-{i // VARIANTS:04d}" for i in range(count)],
            "family": "autoencoder",
            "paper": False,
            "params": [{}] * count,
        }
    )
    scores, normals = _scores(rng, count, test), _scores(rng, count, normal)
    return Candidates("fan", table, test, scores, normal, normals, "held_out", "bench", "", 2022)


def _commit(ledger: Ledger, candidates: int, clips: int) -> None:
    rng = np.random.default_rng(0)
    parts = [_clips(clips, "test"), _clips(NORMALS, "held_out"), _clips(UNSEEN, "unseen"), _faults(), _crops()]
    frame = pd.concat(parts, ignore_index=True)
    for number in range(candidates // VARIANTS):
        record = TrialRecord(
            trial=trial_hash(number=number),
            name=f"fan-autoencoder-{number:04d}",
            number=number,
            machine="fan",
            family=FAMILIES[number % len(FAMILIES)],
            paper=number < len(FAMILIES),
            dataset="bench",
            data_fingerprint="bench",
            settings=Settings(year=2022),
        )
        ledger.commit(record, long_scores(frame, dict(zip(_NAMES, _scores(rng, VARIANTS, frame), strict=True))))


_NAMES = [f"v{each}" for each in range(VARIANTS)]
