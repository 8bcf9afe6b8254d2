"""Which trial of a run a figure shows, and its detector, made again from the state that the search kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from asd_ray._terminal import typed
from asd_ray.clips.bank import Bank
from asd_ray.deploy.detectors import checked_device, make_detector
from asd_ray.detectors import Context
from asd_ray.detectors.state_file import from_bytes
from asd_ray.errors import AsdRayError
from asd_ray.families import family
from asd_ray.families.space import TRAIN_IDS
from asd_ray.features import DirectFeatures
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.finding import trial_named
from asd_ray.ledger.states import States
from asd_ray.papers import PaperRow

CAPPED = "epochs"
# The only parameters in which a trial at a paper's setting may differ from it: --epochs-cap, and the ids whose training
# clips it learned from, which depend on the dataset.
FREE = {CAPPED, TRAIN_IDS}


@dataclass(frozen=True)
class Chosen:
    """A trial with a state, and how it relates to the paper, for the caption."""

    record: TrialRecord
    relation: str

    @property
    def caption(self) -> str:
        trained_on = self.record.machines
        jointly = "" if len(trained_on) == 1 else f" on {', '.join(trained_on)}"
        return f"{self.record.name}{jointly}, {_epochs(self.record.epochs)}: {self.relation}"


class StatesOfRun:
    """The trials of a run that have a state. `families` are classes that cannot be imported by their name."""

    def __init__(self, ledger: Ledger, device: str = "cpu", families: Sequence[type] = ()) -> None:
        self.ledger = ledger.require()
        self.device: torch.device = checked_device(device)
        self._states = States(self.ledger)
        self._own = {known.target: known for known in map(family, families)}
        self._files: dict[str, set[str]] = {}  # family -> trials

    def choose(self, row: PaperRow, machine: str, told_by: str = "") -> Chosen | None:
        """The trial of a paper's row: at its setting the best one, otherwise the newest of its family with a state.

        The newest has the row's value of the parameter `told_by`. None if there is none.
        """
        (member,) = row.members
        setting = {**family(member.family).search_space().paper, **member.params_on(machine)}
        of_family = self._of_family(member.family, machine)
        at_setting = [record for record in of_family if _same(record.params, setting)]
        if at_setting:
            best = max(at_setting, key=lambda record: (_objective(record), record.created))
            alone = ", trained for this machine alone" if row.jointly and len(best.machines) == 1 else ""
            return Chosen(best, f"the paper's setting ({row.name})" + _cut(best, setting) + alone)
        if told_by:
            of_family = [record for record in of_family if record.params.get(told_by) == setting[told_by]]
        if not of_family:
            return None
        return Chosen(_newest(of_family), f"not the paper's setting ({row.name}), but the newest trial with a state")

    def newest(self, family_name: str, machine: str) -> Chosen | None:
        """The newest trial of a family with a state, whatever its setting."""
        found = self._of_family(family_name, machine)
        return Chosen(_newest(found), "not the paper's setting, but the newest trial with a state") if found else None

    def named(self, name: str, machine: str | None = None) -> Chosen:
        """The trial of this name, or of this hash. One of several machines needs `machine`."""
        self.ledger.check_known(machine, None)
        record = trial_named(self.ledger.records(machine), self.ledger.layout.root, name)
        if record.trial not in self._with_state(record.family):
            raise AsdRayError(f"{self.ledger.layout.root}: the search kept no state of {record.name}; {KEEP}")
        return Chosen(record, "named by --trial")

    def machines(self, families: Sequence[str]) -> list[str]:
        """The machines that have a trial of one of these families with a state."""
        records = [record for record in self.ledger.records() if record.family in families]
        return sorted({record.machine for record in records if record.trial in self._with_state(record.family)})

    def detector(self, chosen: Chosen, bank: Bank) -> Any:
        """The detector of a trial. AsdRayError if the clips of `bank` are not those that it was trained on."""
        record = chosen.record
        content = self._states.read(record.family, record.trial)
        if content is None:
            raise AsdRayError(f"{self.ledger.layout.root}: the state of {record.name} was removed meanwhile; try again")
        where = f"the state of {record.name}"
        state, about = from_bytes(content, where)
        known, here = about["fingerprints"].get(record.machine, ""), bank.fingerprints[record.machine]
        if known != here:
            raise AsdRayError(
                f"{bank.table.place}: its clips of {record.machine} ({here[:8]}) are not those that {record.name} was "
                f"trained on ({known[:8]}); {bank.rate_hint(record.machine)}name the dataset of the search, with its "
                "options (--layout, --labels, --rate, --channel, --skip-broken …)"
            )
        context = Context(self.device, about["seed"], DirectFeatures(), about["rate"])
        return make_detector(about, state, context, self._own, where)

    def no_state(self, rows: Sequence[PaperRow], machine: str, data: str) -> AsdRayError:
        """The error where no trial of these rows' family has a state."""
        member, root = rows[0].members[0], self.ledger.layout.root
        params = [f"{name}={value}" for name, value in member.params_on(machine).items()]
        where = ["--jointly"] if rows[0].jointly else [machine]
        words = ["asd-ray", "search", *where, "--families", member.family, "--trials", 1]
        words += [word for param in params for word in ("--set", param)]
        # a stored trial is not trained again, so its state takes another run
        trials = any(record.family == member.family for record in self.ledger.records(machine))
        run = "runs/figures" if trials else root
        command = typed(*words, "--keep-states", "all", "--data", data, "--run", run)
        what = "kept no state of its trials" if trials else "has no trial"
        then = f"; then draw with --run {run}" if trials else ""
        return AsdRayError(f"{root}: for {machine} the run {what} of {member.family}; train one: {command}{then}")

    def _of_family(self, name: str, machine: str) -> list[TrialRecord]:
        with_state = self._with_state(name)
        return [record for record in self.ledger.records(machine, name) if record.trial in with_state]

    def _with_state(self, name: str) -> set[str]:
        if name not in self._files:
            self._files[name] = set(self._states.of_family(name))
        return self._files[name]


KEEP = "a search with --keep-states all keeps every state"


def _same(params: Mapping[str, Any], setting: Mapping[str, Any]) -> bool:
    keys = {*params, *setting} - FREE
    return all(params.get(key) == setting.get(key) for key in keys)


def _cut(record: TrialRecord, setting: Mapping[str, Any]) -> str:
    epochs = setting.get(CAPPED)
    return f", which has {_epochs(epochs)}" if epochs is not None and record.epochs != epochs else ""


def _objective(record: TrialRecord) -> float:
    return float("-inf") if record.objective is None else record.objective


def _newest(records: Sequence[TrialRecord]) -> TrialRecord:
    return max(records, key=lambda record: (record.created, record.number))


def _epochs(number: int) -> str:
    return f"{number} epoch{'s' * (number != 1)}"
