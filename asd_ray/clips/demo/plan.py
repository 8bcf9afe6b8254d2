"""Which clips a demo set has, how each file is named, and which random stream makes its sound."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.clips.demo.machines import DOMAINS, IDS, MACHINES, record
from asd_ray.clips.demo.microphones import record_both
from asd_ray.clips.demo.sound import HEALTHY, RATE, Condition, Fault
from asd_ray.clips.demo.twin import with_and_without
from asd_ray.clips.table import CLEAN, NOISE, SUPPLEMENTAL

SPLITS = ("train", "test")
LABELS = ("normal", "anomaly")
KINDS = (CLEAN, NOISE)  # of supplemental clips


@dataclass(frozen=True)
class DemoSize:
    """How many clips each machine id has, and how long they are."""

    source_train: int
    target_train: int
    test_per_cell: int  # a cell is one domain and one label
    seconds: float

    @property
    def supplemental(self) -> int:
        """Clips of each kind per id, if there are any: the share of DCASE 2025."""
        return max(4, self.source_train // 10)


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

    def on_two_channels(self, seed: int, seconds: float) -> npt.NDArray[np.int16]:
        """[samples, 2]: the near and the far microphone. It is another recording than `samples`."""
        fault, draw = self._start(seed)
        return record_both(MACHINES[self.machine], self.unit, self.condition, round(seconds * RATE), fault, draw)

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


@dataclass(frozen=True)
class SupplementalClip:
    """A clip of the machine without noise, or of noise without the machine, named as in DCASE 2025."""

    machine: str
    unit: int
    kind: str
    index: int
    split: str = SUPPLEMENTAL

    @property
    def name(self) -> str:
        return f"section_{self.unit:02d}_{self.kind}_{self.index:04d}_.wav"

    @property
    def hidden_name(self) -> str:
        """The name in a set with hidden labels, as that of a `DemoClip`."""
        return f"section_00_{self.kind}_{1000 * self.unit + self.index:04d}_.wav"

    def samples(self, seed: int, seconds: float) -> npt.NDArray[np.int16]:
        return self._recorded(record, seed, seconds)

    def on_two_channels(self, seed: int, seconds: float) -> npt.NDArray[np.int16]:
        """[samples, 2]: the near and the far microphone."""
        return self._recorded(record_both, seed, seconds)

    def _recorded(self, how: Callable[..., npt.NDArray[np.int16]], seed: int, seconds: float) -> npt.NDArray[np.int16]:
        machine = MACHINES[self.machine]
        conditions = [*machine.source, *machine.target]
        condition = conditions[self.index % len(conditions)]
        # A list of another length than that of a DemoClip, so that no two clips share a random stream.
        draw = np.random.default_rng(
            [seed, zlib.crc32(self.machine.encode()), self.unit, KINDS.index(self.kind), self.index]
        )
        return how(machine, self.unit, condition, round(seconds * RATE), HEALTHY, draw, only=self.kind)


def planned_supplemental(size: DemoSize, machine: str) -> Iterator[SupplementalClip]:
    """The supplemental clips of one machine: as many of each kind for every id."""
    for unit in range(IDS):
        for kind in KINDS:
            yield from (SupplementalClip(machine, unit, kind, index) for index in range(size.supplemental))


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
