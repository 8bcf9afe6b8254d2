"""The output of ``asd-ray ensemble``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say

if TYPE_CHECKING:  # numpy, pandas and rich are imported where they are used, so that --help answers at once
    from asd_ray._console import Console
    from asd_ray.ensembling import Comparison, Ensemble


def print_machine(comparison: Comparison) -> None:
    from rich.table import Table

    from asd_ray._console import console
    from asd_ray.ensembling.costs import in_ms

    out, best = console(), comparison.ensembles[0]
    tried = best.candidates
    title = f"{comparison.machine}: {tried.tried} candidates of {len(tried.families)} families; {_measure_of(best)}"
    measured, on_faults = bool(best.metrics), comparison.on_faults
    if not measured:  # the table is narrower than its title
        out.print(title)
    table = Table(title=title if measured else None, title_justify="left")
    names = ["crossval", "95 %", "oracle", "gap", "gain over best single", "95 %"] if measured else ["test clips"]
    names = ["recipe", "members", *names, *["faults"] * bool(on_faults), *["ms"] * bool(best.inference)]
    for name in names:
        table.add_column(name, justify="left" if name == "recipe" else "right", no_wrap=True)
    for ensemble in comparison.ensembles:
        row = _row(ensemble) if measured else [ensemble.name, str(len(ensemble.members)), "not measured"]
        if on_faults:
            row.append(f"{on_faults[ensemble.name]:.4f}" if ensemble.name in on_faults else "–")
        table.add_row(*row, *([f"{1000 * time.seconds:.1f}"] if (time := ensemble.inference) else []))
    out.print(table)
    for member in best.members:
        cost = f", {in_ms(best.inference.costs.of([member.trial]))} alone" if best.inference else ""
        out.print(f"  {member.weight:g} × {member.name} {member.variant}{cost}")
    print_warnings(out, best)
    if comparison.final.name != best.name:
        print_warnings(out, comparison.final, f"warning about the final ensemble, {comparison.final.name}")
    if best.inference:
        out.print(f"  ms: the whole ensemble for 10 s of sound, in one thread of {best.inference.costs.computer}")
    if on_faults:
        out.print("  faults: value on normal clips with injected faults, which is no forecast for real faults")
    notes = [note for ensemble in comparison.ensembles for note in ensemble.notes]
    for note in dict.fromkeys([*notes, *comparison.notes]):
        out.print(f"  note: {note}", style="dim")


def print_warnings(out: Console, ensemble: Ensemble, word: str = "warning") -> None:
    """What limits the trust in an ensemble, one paragraph each, as wide as the terminal."""
    from rich.padding import Padding

    from asd_ray._console import flagged

    for warning in ensemble.warnings or ():
        out.print(Padding(flagged(word, warning.sentence, "yellow"), (0, 0, 0, 2)))


def _measure_of(ensemble: Ensemble) -> str:
    if not ensemble.metrics:
        from asd_ray.ensembling.unmeasured import NOT_MEASURED

        return NOT_MEASURED
    name = {"hmean": "harmonic mean of AUC and pAUC", "auc": "AUC", "pauc": "pAUC"}[ensemble.config.maximise]
    return f"{name} of the test clips"


def _row(ensemble: Ensemble) -> list[str]:
    headline, gain, gap = ensemble.headline, ensemble.gain, ensemble.metrics.gap
    if headline is None or gain is None:
        return [ensemble.name, str(len(ensemble.members)), *["–"] * 6]
    forecast = [f"{headline.value:.4f}", _span(headline.interval)] if ensemble.forecasts else ["–", "–"]
    oracle = ensemble.metrics.get("oracle")
    return [
        ensemble.name + (" (label_free)" if ensemble.headline_protocol == "label_free" else ""),
        str(len(ensemble.members)),
        *forecast,
        f"{oracle.value:.4f}" if oracle else "–",
        "–" if gap is None else f"{gap:+.4f}",
        f"{gain.value:+.4f}",
        _span(gain.interval, signed=True),
    ]


def _span(interval: Sequence[float], *, signed: bool = False) -> str:
    return " … ".join(f"{value:+.3f}" if signed else f"{value:.3f}" for value in interval)


def print_comparisons(compared: Sequence[Comparison]) -> None:
    from asd_ray._console import console
    from asd_ray.ensembling import protocols
    from asd_ray.ensembling.choose import over_machines, skipped_notes

    for note in skipped_notes(compared):
        say(f"note: {note}")
    if by_test := [comparison.machine for comparison in compared if comparison.standardised_by_test]:
        say(f"note: only test scores are stored, so --by test was used (transductive): {', '.join(by_test)}")
    for comparison in compared:
        console().print(f"{comparison.machine}: {comparison.summary} → {comparison.path}", soft_wrap=True)
    finals = {comparison.machine: comparison.final for comparison in compared}
    means = over_machines(finals) if len(finals) > 1 else {}
    shown = [
        protocol for protocol in protocols.PROTOCOLS if any(protocol.name in final.metrics for final in finals.values())
    ]
    for protocol in shown:
        if protocol.name in means:
            biased = protocol.forecasts and protocol.name in protocols.HEADLINE
            how = " (optimistic: each ensemble was picked by this number)" if biased else ""
            say(f"{protocol.name}: harmonic mean over {len(finals)} machines {means[protocol.name]:.4f}{how}")
    for protocol in shown:
        say(f"{protocol.name}: {protocol.sentence}.")
