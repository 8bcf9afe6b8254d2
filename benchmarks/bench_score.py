"""Scoring with a bundle: clips per second, seconds to the first score, memory over many clips.

BENCH_BUNDLE=fan.bundle uses a bundle of your own; otherwise benchmarks/_bundles.py makes one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from asd_ray import Bundle
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.deploy.scoring import FILES, SoundFile, score_files
from benchmarks._bundles import bundle_in, recordings
from benchmarks._timing import Row, compare

CLIPS, SECONDS = 320, 10.0
MANY = (1_000, 10_000)  # clips of a second, for memory


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = bundle_in(folder)
        bundle = Bundle.load(path)
        files = [SoundFile(str(file), bundle.ids[0]) for file in recordings(folder / "long", CLIPS, SECONDS)]
        yield _throughput(bundle, files)
        yield _first_score(path, files[0].path)
        yield _memory(path, [str(file) for file in recordings(folder / "short", 100, 1.0)])


def _throughput(bundle: Bundle, files: list[SoundFile]) -> Row:
    """The reference reads the same files in batches of as many, and calls the detectors and nothing else."""

    def bare() -> None:
        for start in range(0, len(files), FILES):
            batch = files[start : start + FILES]
            waves = [soundfile.read(file.path, dtype="int16")[0] for file in batch]
            bank = WaveBank(waves, machine=bundle.machine, rate=bundle.rate, ids=[file.id for file in batch])
            clips = ClipSet(bank, np.arange(len(waves)))
            for detector in bundle.detectors.values():
                detector.score(clips)
            bundle.features.forget()

    ratio, ours, theirs = compare(lambda: list(score_files(bundle, files)), bare, rounds=3)
    per_second = f"{len(files) / ours:,.1f} against {len(files) / theirs:,.1f} clips of {SECONDS:g} s a second"
    return f"score: {len(bundle.detectors)} detectors", "a bare loop over the same nets", ratio, per_second


def _first_score(path: Path, file: str) -> Row:
    """From the command to its output, in a new process; the reference is an import of torch."""
    command = [sys.executable, "-m", "asd_ray.score", str(path), file, "--json"]
    ratio, ours, torch = compare(
        lambda: subprocess.run(command, check=True, capture_output=True),
        lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True),
    )
    detail = f"{ours:.2f} s, of which torch {torch:.2f} s"
    return "score: seconds to the first score", "import torch alone", ratio, detail


MEMORY = """
import json, resource, sys
from asd_ray import Bundle
from asd_ray.deploy.scoring import SoundFile, score_files
bundle, files, counts = Bundle.load(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
peaks = []
for count in counts:
    for result in score_files(bundle, (SoundFile(files[n % len(files)], bundle.ids[0]) for n in range(count))):
        pass
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps(peaks))
"""


def _memory(path: Path, files: list[str]) -> Row:
    command = [sys.executable, "-c", MEMORY, str(path), json.dumps(files), json.dumps(MANY)]
    started = time.perf_counter()
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    few, many = json.loads(out)
    detail = f"at most {many:.0f} MiB after {MANY[0] + MANY[1]:,} clips, {few:.0f} MiB after {MANY[0]:,}"
    detail += f"; {time.perf_counter() - started:.0f} s"
    return "score: memory over many clips", "after the first of them", few / many, detail
