"""Verify every ensemble file of a run against its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asd_ray._terminal import typed
from asd_ray.ensembling.ensemble_file import stored
from asd_ray.ensembling.verifying import Verification, verify
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from asd_ray.ledger.store import Ledger


@dataclass(frozen=True)
class VerifiedFile:
    """One ensemble file after it was built again from the ledger."""

    path: str
    values: int  # values that were compared
    problem: str  # with its cure; "" if the ledger gives the same values

    @property
    def is_right(self) -> bool:
        return not self.problem


def verify_ensembles(ledger: Ledger) -> list[VerifiedFile]:
    """Verify all ensemble files of a run. A file that cannot be read, or built again, is a problem as well."""
    files = stored(ledger)
    verified = []
    for machine, ensembles in files.ensembles.items():
        cure = f"choose the ensemble again: {typed('asd-ray', 'ensemble', machine, '--run', ledger.layout.root)}"
        for name, ensemble in ensembles.items():
            path = ledger.layout.url(ledger.layout.ensemble_file(machine, name))
            try:
                verification = Verification(verify(ledger, ensemble))
            except AsdRayError as error:
                verified.append(VerifiedFile(path, 0, f"cannot be built again: {error}"))
                continue
            problem = f"{verification.reason}; {cure}" if verification.reason else ""
            verified.append(VerifiedFile(path, len(verification.differences), problem))
    verified += [
        VerifiedFile(ledger.layout.url(ledger.layout.ensemble_file(machine, name)), 0, reason)
        for machine, reasons in files.unreadable.items()
        for name, reason in reasons.items()
    ]
    return sorted(verified, key=lambda file: file.path)
