"""Which clips a demo set has, how each file is named, and which random stream makes its sound."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.clips.demo.machines import DOMAINS, IDS, MACHINES, record
from asd_ray.clips.demo.sound import HEALTHY, RATE, Condition, Fault
from asd_ray.clips.demo.twin import with_and_without

SPLITS = ("train", "test")
LABELS = ("normal", "anomaly")


@dataclass(frozen=True)
class DemoSize:
    """How many clips each machine id has, and how long they are."""

    source_train: int
    target_train: int
    test_per_cell: int  # a cell is one domain and one label
    seconds: float


SIZES = {
    "tiny": DemoSize(12, 3, 4, 2.0),  # for tests
    "small": DemoSize(45, 5, 12, 4.0),  # for a first search on two CPU cores
    "medium": DemoSize(190, 10, 25, 6.0),
    "full": DemoSize(990, 10, 50, 10.0),  # as large as DCASE 2022
}


@dataclass(frozen=True)
class DemoClip:
    """One file of a demo set. Its sound depends on these fields, the seed and the length, and on nothing else."""

    machine: str
    unit: int
    split: str
    domain: str
    label: str
    index: int

    @property
    def condition(self) -> Condition:
        choices = MACHINES[self.machine].conditions(self.domain)
        return choices[self.index % len(choices)]

    @property
    def name(self) -> str:
        """The file's name as in DCASE 2022; it does not name the kind of fault."""
        attributes = "_".join(f"{key}_{value}" for key, value in self.condition.attributes)
        return f"section_{self.unit:02d}_{self.domain}_{self.split}_{self.label}_{self.index:04d}_{attributes}.wav"

    @property
    def hidden_name(self) -> str:
        """The name in a set with hidden labels: section 00, no attributes. The thousands of its number are the id."""
        number = 1000 * self.unit + self.index
        return f"section_00_{self.domain}_{self.split}_{self.label}_{number:04d}_noAttribute.wav"

    def _draw(self, seed: int) -> np.random.Generator:
        """One random stream per clip, so that neither the size nor the other machines change its sound."""
        return np.random.default_rng(
            [
                seed,
                zlib.crc32(self.machine.encode()),
                self.unit,
                SPLITS.index(self.split),
                DOMAINS.index(self.domain),
                LABELS.index(self.label),
                self.index,
            ]
        )

    def fault(self, seed: int) -> Fault:
        """The fault in this clip, for benchmarks and tests; no file of the set contains it."""
        return self._start(seed)[0]

    def samples(self, seed: int, seconds: float) -> npt.NDArray[np.int16]:
        return self._record(seconds, *self._start(seed))

    def with_twin(self, seed: int, seconds: float) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
        """`samples`, and the samples of the same clip without its fault."""
        fault, draw = self._start(seed)
        return with_and_without(
            lambda stream, faulty: self._record(seconds, fault if faulty else HEALTHY, stream), draw, seed
        )

    def _record(self, seconds: float, fault: Fault, draw: np.random.Generator) -> npt.NDArray[np.int16]:
        return record(MACHINES[self.machine], self.unit, self.condition, round(seconds * RATE), fault, draw)

    def _start(self, seed: int) -> tuple[Fault, np.random.Generator]:
        draw = self._draw(seed)
        if self.label == "normal":
            return HEALTHY, draw
        kinds = list(MACHINES[self.machine].faults)
        return Fault(kinds[int(draw.integers(len(kinds)))], float(draw.random())), draw


def planned(size: DemoSize, machine: str) -> Iterator[DemoClip]:
    """All clips of one machine, grouped by id, training clips first."""
    cells = [
        ("train", "source", "normal", size.source_train),
        ("train", "target", "normal", size.target_train),
        *(("test", domain, label, size.test_per_cell) for domain in DOMAINS for label in LABELS),
    ]
    for unit in range(IDS):
        for split, domain, label, count in cells:
            for index in range(count):
                yield DemoClip(machine, unit, split, domain, label, index)


def attribute_table(clips: Sequence[DemoClip]) -> str:
    """The text of a file such as ``attributes_00.csv``, for the clips of one machine id."""
    pairs = len(clips[0].condition.attributes)
    header = ["file_name", *(f"d{i}{column}" for i in range(1, pairs + 1) for column in "pv")]
    rows = [
        [f"{clip.machine}/{clip.split}/{clip.name}", *(part for pair in clip.condition.attributes for part in pair)]
        for clip in clips
    ]
    return "".join(",".join(row) + "\n" for row in [header, *rows])
