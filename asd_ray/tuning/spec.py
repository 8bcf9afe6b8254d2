"""A trial before it has run: all that determines its result, as plain values that can be sent to any worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from asd_ray.families import Family, Resources
from asd_ray.ledger import Settings, trial_hash
from asd_ray.ledger.record import NORMAL_ONLY

REDUCTION = 3  # one in three of the trials that reach a rung goes on


@dataclass(frozen=True)
class TrialSpec:
    """One trial to run: its parameters as drawn, its seed and its settings.

    A trial of several machines has one file in the ledger for each of them, all with the same hash and name.
    """

    machines: tuple[str, ...]
    family: str
    target: str  # package.module:Class
    number: int
    params: dict[str, Any]
    seed: int
    settings: Settings
    version: str = ""  # of the family's class
    front_end: str = ""  # its hash; "" where the class refuses these parameters
    stored_as: str = ""  # the hash under which an earlier version of asd_ray stored this trial
    paper: bool = False
    resources: Resources = Resources()
    prior: str = ""  # the trial of another study that had these parameters, where they came from --prior
    fixed: dict[str, Any] = field(default_factory=dict)  # the values that its study fixes; no part of its identity
    bfloat16: bool = False  # train in it on a CPU that has it; no part of its identity, as the device is not

    @property
    def name(self) -> str:
        return f"{group_name(self.machines)}-{self.family}-{self.number:04d}"

    @property
    def effective_params(self) -> dict[str, Any]:
        """The parameters that the detector gets: epochs are limited by the cap."""
        return effective(self.params, self.settings)

    @property
    def epochs(self) -> int | None:
        """How many epochs it trains; None for a family that does not train in epochs."""
        return int(self.effective_params["epochs"]) if "epochs" in self.params else None

    @property
    def hash(self) -> str:
        """Names the trial in the ledger: a hash of all that determines its result, or that of an earlier version."""
        return self.stored_as or self.own_hash

    @property
    def own_hash(self) -> str:
        family = Family(self.family, self.target).identity
        return trial_hash(**self._determinants, family=family, version=self.version, front_end=self.front_end)

    def hash_of_0_1(self, path: str) -> str:
        """The hash that version 0.1 gave this trial, with the class at the import path `path`."""
        return trial_hash(**self._determinants, family=path)

    @property
    def _determinants(self) -> dict[str, Any]:
        settings = self.settings.to_dict()
        del settings["epochs_cap"]  # it matters only where it limits the epochs, and then effective_params differ
        for name in ("objective", "unseen"):  # earlier versions did not have them
            if settings[name] == getattr(Settings(), name):
                del settings[name]
        if self.settings.objective == NORMAL_ONLY:
            from asd_ray.clips.faults.plan import VERSION  # imported here, so that --help answers at once

            settings["faults"] = VERSION
        machines = {"machine": self.machines[0]} if len(self.machines) == 1 else {"machines": sorted(self.machines)}
        return {**machines, "params": self.effective_params, "seed": self.seed, "settings": settings}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which can be written as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrialSpec:
        """Read what `to_dict` wrote."""
        machines, settings = tuple(values["machines"]), Settings(**values["settings"])
        resources = Resources(**values["resources"])
        return cls(**{**values, "machines": machines, "settings": settings, "resources": resources})


def effective(params: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Parameters with epochs that are limited by the cap of the settings."""
    cap = settings.epochs_cap
    if cap is None or "epochs" not in params:
        return dict(params)
    return {**params, "epochs": min(int(params["epochs"]), cap)}


def group_name(machines: Sequence[str]) -> str:
    """The first part of names of studies and trials: the machine, or joint-3fa9 for several, with a hash of them."""
    return machines[0] if len(machines) == 1 else f"joint-{trial_hash(machines=sorted(machines))[1:5]}"


def rungs(epochs: int | None) -> list[int]:
    """The epochs at which a trial is compared with the others of its study: 3, 11 and 33 of 100.

    Counted from the end, each is a third of the next. There are none in the first 3 %, which say too little.
    """
    epochs_of_rungs: list[int] = []
    at = (epochs or 0) / REDUCTION
    while at >= 1 and at >= 0.03 * (epochs or 0):
        epochs_of_rungs.append(int(at))
        at /= REDUCTION
    return sorted(set(epochs_of_rungs))
