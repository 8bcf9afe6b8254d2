"""Explanations of demo clips against the known place of their faults, and the time that they take.

`python -m benchmarks explain` trains a small IDNN on each demo machine. `python -m benchmarks.bench_explain fan.bundle`
measures a bundle that was trained on the demo set's fan instead.

Intersection over union: the cells of the place are compared with as many of the map's highest cells. Pointing game:
whether the map's highest cell is in the place. A random map has random drops of the same patches. Taken away: the part
of the score above that of typical normal sound that goes when the regions are filled; at random, when they are moved.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from asd_ray.clips.bank import open_bank
from asd_ray.clips.demo import MACHINES, make_demo
from asd_ray.clips.demo.fault_place import FaultPlace, fault_place
from asd_ray.clips.demo.plan import SIZES, DemoClip, planned
from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.explain import Grid, HeatMap, explain
from asd_ray.deploy.explain.occlusion import Occlusion, mask_of
from asd_ray.deploy.explain.own_maps import HasMembers, own_map
from asd_ray.deploy.explain.regions import strongest
from asd_ray.deploy.explain.spectrum import Spectrum
from asd_ray.deploy.result import Scorer
from asd_ray.detectors import Context, family
from asd_ray.features import DirectFeatures
from benchmarks._detector_scorer import DetectorScorer
from benchmarks._timing import Row

SIZE, SEED = SIZES["small"], 0
SEVERITY = 0.5  # from 0, barely audible, to 1: weaker faults are left out
MOST_CLIPS = 5  # per kind of fault
RANDOM_MAPS = 20  # per clip
IDNN = {"batch_size": 256, "lr": 3e-3, "epochs": 15}
LONG = 10.0  # seconds, of the clip whose explanation is timed


class Explainable(Scorer, Protocol):
    def normal_profile(self, id: str) -> npt.NDArray[np.float64] | None: ...


@dataclass(frozen=True)
class Measured:
    """The numbers of one clip."""

    overlap: float
    overlap_at_random: float
    hit: float
    hit_at_random: float
    overlap_of_own_map: float
    has_region: float
    taken: float
    taken_at_random: float
    seconds: float


def run() -> Iterator[Row]:
    for machine in MACHINES:
        with tempfile.TemporaryDirectory() as folder:
            yield from rows(trained(machine, Path(folder)))


def trained(machine: str, folder: Path) -> DetectorScorer:
    """A small IDNN, trained on the demo set of one machine."""
    data = make_demo(folder / "demo", size="small", machines=[machine], seed=SEED)
    clips = open_bank(data, cache=folder / "cache").select(machine, split="train")
    detector = family("idnn").detector(Context(features=DirectFeatures()), **IDNN)
    for _ in detector.fit(clips):
        pass
    return DetectorScorer(machine, detector, "mean", clips.rate, clips)


def rows(scorer: Explainable) -> Iterator[Row]:
    """One row per kind of fault, one of all, and the time for a clip of 10 s."""
    every: list[Measured] = []
    for kind in MACHINES[scorer.machine].faults:
        clips = [
            clip
            for clip in planned(SIZE, scorer.machine)
            if clip.label == "anomaly" and clip.fault(SEED).kind == kind and clip.fault(SEED).severity >= SEVERITY
        ]
        measured = [numbers for clip in clips[:MOST_CLIPS] if (numbers := measure(scorer, clip)) is not None]
        every += measured
        if measured:
            yield _row(f"{scorer.machine}, {kind}", measured)
    yield _row(f"{scorer.machine}, all kinds", every)
    yield _long_clip(scorer)


def measure(scorer: Explainable, clip: DemoClip, grid: Grid | None = None) -> Measured | None:
    """The numbers of one clip; None if its fault is nowhere as strong as the rest of the sound."""
    place, wave, id = fault_place(clip, SEED, SIZE.seconds), clip.samples(SEED, SIZE.seconds), f"{clip.unit:02d}"
    if not place.mask.any():
        return None
    draw = np.random.default_rng([clip.unit, clip.index])
    started = time.perf_counter()
    explanation = explain(scorer, wave, id, grid=grid)
    seconds = time.perf_counter() - started
    overlap, hit = agreement(explanation.map, place, draw)
    random = [agreement(_random_map(explanation.map, draw), place, draw) for _ in range(RANDOM_MAPS)]
    own = agreement(own_map(scorer, wave, id)[0], place, draw)[0] if isinstance(scorer, HasMembers) else float("nan")
    excess = explanation.score - explanation.typical
    elsewhere = _score_elsewhere(scorer, explanation.map, wave, id, draw) if explanation.regions else explanation.score
    return Measured(
        overlap,
        float(np.mean([value for value, _ in random])),
        hit,
        float(np.mean([value for _, value in random])),
        own,
        float(bool(explanation.regions)),
        explanation.faithfulness or 0.0,
        (explanation.score - elsewhere) / excess if excess > 0 else 0.0,
        seconds,
    )


def agreement(heat_map: HeatMap, place: FaultPlace, draw: np.random.Generator) -> tuple[float, float]:
    """Intersection over union, and whether the highest cell is in the place; ties are broken at random."""
    hz, seconds = ((edges[1:] + edges[:-1]) / 2 for edges in (place.hz, place.seconds))
    values, mask = heat_map.at(hz, seconds).ravel(), place.mask.ravel()
    order = np.lexsort((draw.random(len(values)), values))
    chosen = np.zeros_like(mask)
    chosen[order[-int(mask.sum()) :]] = True
    return float((chosen & mask).sum() / (chosen | mask).sum()), float(mask[order[-1]])


def _random_map(like: HeatMap, draw: np.random.Generator) -> HeatMap:
    """Random drops of patches of 2 × 2 cells, averaged in each cell as those of an explanation."""
    bands, steps = like.values.shape
    patches = np.pad(draw.normal(size=(bands - 1, steps - 1)), 1, constant_values=np.nan)
    around = [patches[i : i + bands, j : j + steps] for i in (0, 1) for j in (0, 1)]
    return HeatMap(np.nanmean(around, axis=0), like.hz, like.seconds, "")


def _score_elsewhere(
    scorer: Explainable, heat_map: HeatMap, wave: npt.NDArray[np.int16], id: str, draw: np.random.Generator
) -> float:
    """The score after cells of the same shape as the regions, but moved at random, are filled."""
    spectrum, normal = Spectrum.of(wave, scorer.rate), scorer.normal_profile(id)
    assert normal is not None
    cells = np.logical_or.reduce(strongest(heat_map))
    moved = np.roll(cells, tuple(int(draw.integers(length)) for length in cells.shape), (0, 1))
    return Occlusion(scorer, id, spectrum, normal).scores_without([mask_of(spectrum, heat_map, moved)])[0]


def _row(what: str, measured: Sequence[Measured]) -> Row:
    mean = Measured(*np.nanmean([astuple(each) for each in measured], axis=0).tolist())
    own = "" if np.isnan(mean.overlap_of_own_map) else f", own map {mean.overlap_of_own_map:.2f}"
    return (
        f"explain {what}: overlap with the fault",
        "random maps",
        mean.overlap / mean.overlap_at_random,
        f"intersection over union {mean.overlap:.2f} against {mean.overlap_at_random:.2f}{own}; pointing game "
        f"{mean.hit:.2f} against {mean.hit_at_random:.2f}; {100 * mean.has_region:.0f}% have a region, taken away "
        f"{100 * mean.taken:.0f}% against {100 * mean.taken_at_random:.0f}%; {len(measured)} clips of {SIZE.seconds:g} "
        f"s, {mean.seconds:.1f} s each",
    )


def _long_clip(scorer: Explainable) -> Row:
    clip = next(clip for clip in planned(SIZE, scorer.machine) if clip.label == "anomaly")
    wave = clip.samples(SEED, LONG)
    scorer.score_waves([wave], "00")  # the first one is slower
    counts: list[int] = []
    started = time.perf_counter()
    explain(scorer, wave, "00", progress=lambda done, total: counts.append(total))
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(8):
        scorer.score_waves([wave] * 8, "00")
    alone = (time.perf_counter() - started) / 64 * counts[-1]
    return (
        f"explain {scorer.machine}: a clip of {LONG:g} s",
        "scoring as many clips",
        alone / seconds,
        f"{seconds:.1f} s for {counts[-1]} altered clips; scoring alone takes {alone:.1f} s",
    )


if __name__ == "__main__":
    for path in sys.argv[1:]:
        for what, _, ratio, detail in rows(Bundle.load(path)):
            print(f"{what}: {ratio:.2f}×, {detail}", flush=True)
