"""What ``--keep-unseen`` sets aside, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from asd_ray.clips.searchable import reason_without_labels
from asd_ray.metrics.evaluable import can_evaluate
from asd_ray.tuning.data import MachineData


def lines_of_unseen(share: float, machines: Mapping[str, MachineData]) -> Iterator[str]:
    """One line on the machines whose unseen clips can measure an ensemble, and one per reason why others cannot."""
    if not share:
        return
    reasons = {machine: _reason_against(machine, data) for machine, data in machines.items()}
    able = [machine for machine, reason in reasons.items() if not reason]
    if able:
        of = "" if len(able) == len(machines) else f" of {', '.join(able)}"
        yield (
            f"{share:.0%} of the labelled test clips{of} are set aside (--keep-unseen): no trial and no ensemble is "
            "chosen by them"
        )
    for reason in dict.fromkeys(filter(None, reasons.values())):
        names = ", ".join(machine for machine, own in reasons.items() if own == reason)
        yield f"note: --keep-unseen sets aside no clips of {names} that could measure an ensemble: {reason}"


def _reason_against(machine: str, data: MachineData) -> str:
    """Why the clips that are set aside can measure nothing, with the cure; "" if they can."""
    unseen = data.clips["unseen"].frame
    if can_evaluate(unseen):
        return ""
    every = pd.concat([data.test.frame, unseen], ignore_index=True)
    if reason := reason_without_labels(every, machine):
        return reason
    return "it has too few labelled test clips of each id, domain and label; add some, or give a larger share"
