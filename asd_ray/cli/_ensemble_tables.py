"""The output of ``asd-ray ensemble``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asd_ray._terminal import say

if TYPE_CHECKING:  # numpy, pandas and rich are imported where they are used, so that --help answers at once
    from asd_ray.ensembling import Comparison


def print_machine(comparison: Comparison) -> None:
    from rich.table import Table

    from asd_ray._console import console
    from asd_ray.ensembling.costs import in_ms

    out, best = console(), comparison.ensembles[0]
    tried = best.candidates
    title = f"{comparison.machine}: {tried.tried} candidates of {len(tried.families)} families; {_measure_of(best)}"
    table = Table(title=title, title_justify="left")
    unseen = any("unseen" in ensemble.metrics for ensemble in comparison.ensembles)
    names = ["recipe", "members", *(["unseen", "95 %"] if unseen else []), "crossval", "95 %", "oracle", "gap"]
    names += ["gain over best single", "95 %"]
    for name in [*names, *(["ms"] if best.inference else [])]:
        table.add_column(name, justify="left" if name == "recipe" else "right", no_wrap=True)
    for ensemble in comparison.ensembles:
        table.add_row(
            *_row(ensemble, unseen), *([f"{1000 * time.seconds:.1f}"] if (time := ensemble.inference) else [])
        )
    out.print(table)
    for member in best.members:
        cost = f", {in_ms(best.inference.costs.of([member.trial]))} alone" if best.inference else ""
        out.print(f"  {member.weight:g} × {member.name} {member.variant}{cost}")
    if best.inference:
        out.print(f"  ms: the whole ensemble for 10 s of sound, in one thread of {best.inference.costs.computer}")
    notes = [note for ensemble in comparison.ensembles for note in ensemble.notes]
    for comparison in compared:
        for note in comparison.notes:
            if note not in printed:
                say(f"note: {comparison.machine}: {note}")
    for comparison in compared:
        console().print(f"{comparison.machine}: {comparison.summary} → {comparison.path}", soft_wrap=True)
        if forecasts := _forecasts(comparison.final):
            console().print(f"  {forecasts}", soft_wrap=True)
    finals = {comparison.machine: comparison.final for comparison in compared}
    means = over_machines(finals) if len(finals) > 1 else {}
    shown = [
        protocol for protocol in protocols.every() if any(protocol.name in final.metrics for final in finals.values())
    ]
    for protocol in shown:
        if protocol.name in means:
            biased = protocol.forecasts and protocol.name in protocols.CHOICE
            how = " (optimistic: each ensemble was picked by this number)" if biased else ""
            say(f"{protocol.name}: harmonic mean over {len(finals)} machines {means[protocol.name]:.4f}{how}")
    for protocol in shown:
        say(f"{protocol.name}: {protocol.sentence}.")
