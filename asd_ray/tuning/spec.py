"""A trial before it has run: everything that determines its result, as plain values that travel to any worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asd_ray.ledger import trial_hash

LAST, ORACLE = "last", "oracle"  # which epoch's scores are kept: the last, or the best by test labels
REDUCTION = 3  # of the trials that reach a rung, a third goes on


@dataclass(frozen=True)
class Settings:
    """What all trials of a study share beside family and data; trials of other settings are another study."""

    fingerprint: str  # of the machine's clips, or of all the machines' that are trained together
    year: int | None
    held_out: float = 0.1
    epochs_cap: int | None = None
    checkpoint: str = LAST

    def told(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TrialSpec:
    """One trial to run: `params` as drawn, `seed`, and under which settings.

    Trained over several machines it has one file in the ledger for each of them, all of the same hash and name.
    """

    machines: tuple[str, ...]
    family: str
    target: str  # package.module:Class
    number: int
    params: dict[str, Any]
    seed: int
    settings: Settings
    paper: bool = False
    cpu: float = 1.0
    gpu: float = 0.0
    memory: float = 0.0  # GiB

    @property
    def name(self) -> str:
        return f"{called(self.machines)}-{self.family}-{self.number:04d}"

    @property
    def effective(self) -> dict[str, Any]:
        """The parameters as the detector gets them: its epochs cut to the cap."""
        cap = self.settings.epochs_cap
        if cap is None or "epochs" not in self.params:
            return dict(self.params)
        return {**self.params, "epochs": min(int(self.params["epochs"]), cap)}

    @property
    def epochs(self) -> int | None:
        """How many epochs it will train for; None for a family that does not train in epochs."""
        return int(self.effective["epochs"]) if "epochs" in self.params else None

    @property
    def hash(self) -> str:
        told = self.settings.told()
        del told["epochs_cap"]  # counts only where it cuts, and then it shows in the effective epochs
        where: dict[str, Any] = {"machine": self.machines[0]}
        if len(self.machines) > 1:
            where = {"machines": sorted(self.machines)}
        return trial_hash(**where, family=self.target, params=self.effective, seed=self.seed, settings=told)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> TrialSpec:
        return cls(**{**told, "machines": tuple(told["machines"]), "settings": Settings(**told["settings"])})


def called(machines: Sequence[str]) -> str:
    """What names of studies and trials say in the place of the machine: joint-3fa9 for several, by a hash of them."""
    return machines[0] if len(machines) == 1 else f"joint-{trial_hash(machines=sorted(machines))[1:5]}"


def rungs(epochs: int | None) -> list[int]:
    """The epochs at which a trial is compared with the others of its study: 3, 11, 33 of 100.

    From the end, each a third of the next, and none in the first few percent, where nothing can be told yet.
    """
    found: list[int] = []
    at = (epochs or 0) / REDUCTION
    while at >= 1 and at >= 0.03 * (epochs or 0):
        found.append(int(at))
        at /= REDUCTION
    return sorted(set(found))
