"""All that a search knows of a trial between handing it out and storing it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.study import Study


@dataclass(eq=False)
class RunningTrial:
    """One attempt to run a trial. A trial whose worker or node was lost gets another attempt."""

    spec: TrialSpec
    study: Study
    started: float = field(default_factory=time.monotonic)  # when it was handed out
    # from its events
    node: str = ""  # host name; "" before the first event
    data_ready: float | None = None  # time.monotonic() at which it began to train
    epoch: int = 0  # the last that it has reported
    seconds: float = 0.0  # as it has reported them
    intermediate: dict[int, float] = field(default_factory=dict)  # rung -> value
    # from Ray
    node_id: str = ""  # "" before the first event
    is_stopped: bool = False  # at a rung; its worker does not know yet
    # from earlier attempts
    faults: tuple[str, ...] = ()  # why nodes could not run it
    lost_on: tuple[str, ...] = ()  # ids of the nodes on which it was lost, or which could not run it

    @property
    def training_seconds(self) -> float:
        """How long ago its clips were ready; 0 before that."""
        return 0.0 if self.data_ready is None else time.monotonic() - self.data_ready

    def next_attempt(self) -> RunningTrial:
        return RunningTrial(self.spec, self.study, faults=self.faults, lost_on=self.lost_on)
