"""The clips of a fault plan in the place of a bank. A clip is made when it is read, and not stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xxhash

from asd_ray.clips.audio import Samples
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.faults.plan import VERSION, FaultPlan
from asd_ray.clips.table import ANOMALY
from asd_ray.metrics.injected import fault_name


class FaultBank:
    """`ClipSet` takes it as it takes a `Bank`.

    `frame` has the columns of the sources, with the label anomaly. The digest is of the source and of the fault: it
    lets features be cached.
    """

    def __init__(self, plan: FaultPlan, held_out: ClipSet) -> None:
        self._sources, self._faults = held_out, plan.faults
        self.decoding = held_out.bank.decoding
        names = held_out.frame["clip"].tolist()
        place = {name: row for row, name in enumerate(names)}
        self._rows = np.array([place[fault.source] for fault in plan.faults], np.intp)
        self.lengths: npt.NDArray[np.int64] = held_out.lengths[self._rows]
        self.frame = held_out.frame.iloc[self._rows].reset_index(drop=True)
        digests = zip(self.frame["digest"], plan.faults, strict=True)
        self.frame = self.frame.assign(
            clip=[fault_name(fault.source, fault.kind, fault.level) for fault in plan.faults],
            label=ANOMALY,
            digest=[xxhash.xxh3_128_hexdigest(f"{source} {VERSION} {fault}".encode()) for source, fault in digests],
        )

    def __len__(self) -> int:
        return len(self._faults)

    def samples(self, row: int) -> Samples:
        source = self._sources.samples(int(self._rows[row]))
        return self._faults[row].samples(source, self.decoding.rate)

    @property
    def clips(self) -> ClipSet:
        return ClipSet(self, np.arange(len(self)))
