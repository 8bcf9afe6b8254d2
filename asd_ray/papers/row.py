"""One row of a published table: its numbers, and the detectors that give it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asd_ray.families.weights import weights_files

Numbers = Mapping[str, tuple[float, ...]]  # machine -> one number per measure of the table, in per cent
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Member:
    """One detector of a row: a family, its settings, and the score that the authors used.

    Most rows have one member. A row of an ensemble has several, see `PaperRow.combine`.
    """

    family: str
    variants: tuple[str, ...]  # several: the authors took the best of them for each machine, by test labels
    params: Params = field(default_factory=dict)  # only what differs from the family's PAPER
    params_of: Mapping[str, Params] = field(default_factory=dict)  # machine -> what differs there from `params`
    variant_of: Mapping[str, str] = field(default_factory=dict)  # machine -> the variant that the authors took there
    # Further settings, each in place of `params`. The authors combined those that were best on each machine's test
    # labels. They do not say which ones.
    alternatives: tuple[Params, ...] = ()

    def params_on(self, machine: str) -> dict[str, Any]:
        """What differs from the family's PAPER on this machine."""
        return {**self.params, **self.params_of.get(machine, {})}

    def alternatives_on(self, machine: str) -> tuple[dict[str, Any], ...]:
        """What differs from the family's PAPER on this machine, of each further setting."""
        return tuple({**params, **self.params_of.get(machine, {})} for params in self.alternatives)

    def variants_on(self, machine: str) -> tuple[str, ...]:
        """The variant of this machine, or all those among which labels would have to choose."""
        return (self.variant_of[machine],) if machine in self.variant_of else self.variants

    def __str__(self) -> str:
        """``stgram, head=softmax, score nll``."""
        settings = [f"{name}={value}" for name, value in self.params.items()]
        settings += [
            f"{machine}: {' '.join(f'{name}={value}' for name, value in own.items())}"
            for machine, own in self.params_of.items()
        ]
        if self.alternatives:
            settings.append(f"and {len(self.alternatives)} further settings")
        return ", ".join([self.family, *settings, f"score {self._score()}"])

    def _score(self) -> str:
        if len(self.variants) == 1:
            return self.variants[0]
        known = [f"{variant} ({machine})" for machine, variant in self.variant_of.items()]
        return ", ".join([f"the best of {len(self.variants)}", *known])


@dataclass(frozen=True)
class PaperRow:
    """A row as printed, and how to get it here."""

    name: str  # as printed in the paper, unique in its table
    values: Numbers
    protocol: str  # how the authors used labels
    average: tuple[float, ...] = ()  # over machines, as printed, one number per measure; () if none is printed
    system: str = ""  # what the row is, where the printed name does not say it
    members: tuple[Member, ...] = ()  # (): no family here is this system
    combine: str = ""  # of several members: "mean" or "max" of their scores
    standardise: str = ""  # of several members: "train" is by mean and deviation over the training clips of each id
    jointly: bool = False  # one model for all machines
    # Machines that were trained on the additional training clips, too. The others were trained on the development clips
    # alone; a run does so where the family has the parameter `train_ids`.
    additional: tuple[str, ...] = ()
    differs: str = ""  # what a run here does otherwise, or what the paper leaves open
    cannot: str = ""  # why the row cannot be run here; "" if it can
    needs: str = ""  # the net whose pretrained weights a user can bring; they make `cannot` void

    @property
    def can_run(self) -> bool:
        return not self.reason_against

    @property
    def reason_against(self) -> str:
        """Why the row cannot be run on this computer; "" if it can."""
        return "" if self.needs and self.needs in weights_files() else self.cannot

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(member.family for member in self.members))

    @property
    def is_paper_setting(self) -> bool:
        """Whether the row is one family at its PAPER, which is the first trial of every study of the family."""
        return len(self.members) == 1 and not (self.members[0].params or self.members[0].params_of)

    @property
    def title(self) -> str:
        """What the row is; the printed name where that says it."""
        return self.system or self.name

    @property
    def settings(self) -> str:
        """The members in words; "" if there are none."""
        words = "; ".join(map(str, self.members))
        return f"{self.combine} of: {words}" if self.combine else words

    @property
    def training_clips(self) -> str:
        """Which of the official training clips the authors used, in words; "" if additional clips played no part."""
        if not self.additional:
            return ""
        alone = [machine for machine in self.values if machine not in self.additional]
        both = "trained on the development and the additional training clips"
        if not alone:
            return both
        return f"{both}: {', '.join(self.additional)}; on the development clips alone: {', '.join(alone)}"

    @property
    def here(self) -> str:
        """The settings, the authors' training clips and how a run differs, or why the row cannot be run."""
        if not self.can_run:
            return f"cannot be run: {self.reason_against}"
        words = [self.settings, "trained jointly" if self.jointly else "", self.training_clips, self.differs]
        return "; ".join(word for word in words if word)


def numbers(machines: tuple[str, ...], text: str) -> Numbers:
    """``"94.04/88.97 91.94/81.75"``: the numbers of each machine in the order of `machines`, one per measure."""
    return {
        machine: tuple(map(float, values.split("/"))) for machine, values in zip(machines, text.split(), strict=True)
    }
