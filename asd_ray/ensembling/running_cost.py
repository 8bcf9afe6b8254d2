"""What a final ensemble costs to run: measured once, when it is chosen and stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from asd_ray.ensembling.costs import RunningCost, Timer
from asd_ray.ensembling.ensemble_file import intact, read, stamped, write
from asd_ray.ensembling.final import Comparison
from asd_ray.errors import AsdRayError
from asd_ray.ledger.states import States

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger


def with_running_cost(ledger: Ledger, comparison: Comparison, timer_of: Callable[[str], Timer]) -> Comparison:
    """The comparison with the cost of its final ensemble, or why it has none; the ensemble is written again.

    Nothing is measured where the cost is known, or where a member has no state; the timer is then not made, because
    that imports torch. The file of a final ensemble that stays is left alone if somebody changed it.
    """
    final = read(comparison.path)
    if final.running_cost or not intact(final):
        return comparison
    if not States(ledger).has_all((member.family, member.trial) for member in final.members):
        return comparison
    timer = timer_of(comparison.machine)
    try:
        seconds = timer.whole(list(dict.fromkeys(member.trial for member in final.members)))
    except AsdRayError as error:  # such as a missing encoder of the user; the ensemble is chosen all the same
        comparison = replace(comparison, notes=(*comparison.notes, f"its cost was not measured: {error}"))
        measured = replace(final, cost_unmeasured=str(error))
    else:
        measured = replace(final, cost=RunningCost(seconds, timer.computer), cost_unmeasured=None)
    if measured != final:
        write(ledger, measured, final=True)
    return replace(comparison, final=stamped(measured))
