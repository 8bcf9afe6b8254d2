"""Choose the ensembles of several machines of a run, and let each machine's labels choose for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asd_ray.ensembling.across_machines import across_machines
from asd_ray.ensembling.choose import Named, check_final, choose, find_ways
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.final import Comparison
from asd_ray.ensembling.running_cost import with_running_cost
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from asd_ray.ensembling.costs import Timer
    from asd_ray.ensembling.result import Ensemble
    from asd_ray.ledger import Ledger


@dataclass(frozen=True)
class Comparisons:
    """The comparisons of machines that were chosen together."""

    of_machine: Mapping[str, Comparison]
    failed: Mapping[str, AsdRayError]  # machine -> why it has no comparison

    @property
    def finals(self) -> dict[str, Ensemble]:
        return {machine: comparison.final for machine, comparison in self.of_machine.items()}

    def check(self) -> None:
        """Raise if a machine failed; the message names every such machine."""
        errors = list(self.failed.values())
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise AsdRayError("\n".join(map(str, errors)))


def choose_all(
    ledger: Ledger,
    machines: Sequence[str] = (),
    recipes: Sequence[Named] | None = None,
    config: EnsembleConfig | None = None,
    *,
    others: Sequence[Ledger] = (),
    timer_of: Callable[[str], Timer] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    final: bool = False,
    **how: Any,
) -> Comparisons:
    """Choose as `choose` does for each machine, by default for all of the run, and then measure under cross_machine.

    That protocol needs the ensembles of the other machines, so it follows when all of them are stored. `others` are
    runs whose machines choose for it, too. `timer_of` makes the timer of a machine; it measures the candidates where
    `config` has an `infer_limit`, and else what the final ensemble costs to run, if the states of its members were
    kept. `progress` gets how many recipes of all machines are done, and how many there are. `how` are further
    arguments of `choose`. A machine that fails does not stop the others; see `Comparisons.check`.
    """
    check_final(recipes, final)
    machines = list(dict.fromkeys(machines)) or sorted({record.machine for record in ledger.records()})
    for machine in machines:
        ledger.check_known(machine, None)
    settings, ways = config or EnsembleConfig(), None if recipes is None else find_ways(recipes)
    of_machine = len(find_ways(ways))  # recipes
    total = of_machine * len(machines)
    compared, failed = list[Comparison](), dict[str, AsdRayError]()
    for at, machine in enumerate(machines):

        def followed(recipes: int, before: int = at * of_machine) -> None:
            progress(before + recipes, total)

        try:
            timer = timer_of(machine) if timer_of and settings.infer_limit is not None else None
            comparison = choose(ledger, machine, ways, settings, final=final, timer=timer, followed=followed, **how)
            if timer_of:
                comparison = with_running_cost(ledger, comparison, timer_of)
        except AsdRayError as error:
            failed[machine] = error
            continue
        compared.append(comparison)
    progress(total, total)
    measured = across_machines(ledger, compared, others)
    return Comparisons({comparison.machine: comparison for comparison in measured}, failed)
