"""The output of ``asd-ray ensemble``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say

if TYPE_CHECKING:  # numpy, pandas and rich are imported where they are used, so that --help answers at once
    from asd_ray._console import Console
    from asd_ray.ensembling import Comparison, Ensemble, Metric


def print_machine(comparison: Comparison) -> None:
    from rich.table import Table

    from asd_ray._console import console
    from asd_ray.ensembling.costs import in_ms

    out, best = console(), comparison.ensembles[0]
    tried = best.candidates
    title = f"{comparison.machine}: {tried.tried} candidates of {len(tried.families)} families; {_measure_of(best)}"
    measured, on_faults = bool(best.metrics), comparison.on_faults
    unseen = any("unseen" in ensemble.metrics for ensemble in comparison.ensembles)
    if not measured:  # the table is narrower than its title
        out.print(title)
    table = Table(title=title if measured else None, title_justify="left")
    names = [*(["unseen", "95 %"] if unseen else []), "crossval", "95 %", "oracle", "gap"]
    names = [*names, "gain over best single", "95 %"] if measured else ["test clips"]
    names = ["recipe", "members", *names, *["faults"] * bool(on_faults), *["ms"] * bool(best.inference)]
    for name in names:
        table.add_column(name, justify="left" if name == "recipe" else "right", no_wrap=True)
    for ensemble in comparison.ensembles:
        row = _row(ensemble, unseen) if measured else [ensemble.name, str(len(ensemble.members)), "not measured"]
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
    for note in dict.fromkeys([*_notes_of_recipes(comparison), *comparison.notes]):
        out.print(f"  note: {note}", style="dim")


def _notes_of_recipes(comparison: Comparison) -> list[str]:
    """The notes of all ensembles. One that not all of them have begins with the names of those that do."""
    names: dict[str, list[str]] = {}
    for ensemble in comparison.ensembles:
        for note in dict.fromkeys(ensemble.notes):
            names.setdefault(note, []).append(ensemble.name)
    every = len(comparison.ensembles)
    return [note if len(own) == every else f"{', '.join(own)}: {note}" for note, own in names.items()]


def print_warnings(out: Console, ensemble: Ensemble, word: str = "warning") -> None:
    """What limits the trust in an ensemble, one paragraph each, as wide as the terminal."""
    from rich.padding import Padding

    from asd_ray._console import flagged

    for warning in ensemble.warnings or ():
        out.print(Padding(flagged(word, warning.sentence, "yellow"), (0, 0, 0, 2)))


def _measure_of(ensemble: Ensemble) -> str:
    if not ensemble.metrics:
        return ensemble.not_measured
    name = {"hmean": "harmonic mean of AUC and pAUC", "auc": "AUC", "pauc": "pAUC"}[ensemble.config.maximise]
    return f"{name} of the test clips"


def _row(ensemble: Ensemble, unseen: bool) -> list[str]:
    """A row of the table; `unseen`: it has columns of the unseen clips."""
    gain, gap, metrics = ensemble.gain, ensemble.metrics.gap, ensemble.metrics
    if gain is None:
        return [ensemble.name, str(len(ensemble.members)), *["–"] * (8 if unseen else 6)]
    oracle = metrics.get("oracle")
    return [
        ensemble.name + (" (label_free)" if "label_free" in metrics else ""),
        str(len(ensemble.members)),
        *(_number(metrics.get("unseen")) if unseen else []),
        *_number(metrics.get("label_free") or metrics.get("crossval")),
        f"{oracle.value:.4f}" if oracle else "–",
        "–" if gap is None else f"{gap:+.4f}",
        f"{gain.value:+.4f}",
        _span(gain.interval, signed=True),
    ]


def _number(metric: Metric | None) -> list[str]:
    return [f"{metric.value:.4f}", _span(metric.interval)] if metric else ["–", "–"]


def _span(interval: Sequence[float], *, signed: bool = False) -> str:
    return " … ".join(f"{value:+.3f}" if signed else f"{value:.3f}" for value in interval)


def _forecasts(final: Ensemble) -> str:
    """The number to quote, and those of the protocols that measure the choice itself, beside it."""
    from asd_ray.ensembling import protocols

    first = final.headline_protocol if final.forecasts else None
    names = [first, *(protocol.name for protocol in protocols.OF_FINAL if protocol.name != first)]
    metrics = {name: metric for name in names if name and (metric := final.metrics.get(name))}
    return ", ".join(f"{name} {metric.value:.4f} ({_span(metric.interval)})" for name, metric in metrics.items())


def _optimism(finals: Mapping[str, Ensemble]) -> str:
    """Which of these ensembles a mean of the numbers that may choose flatters, in brackets; "" for none."""
    by_number = ("crossval", "label_free")  # the latter in files of early versions
    picked = [machine for machine, final in finals.items() if final.tried and final.tried.chosen_by in by_number]
    if not picked:
        return ""
    if len(picked) == len(finals):
        which = "each ensemble was"
    elif len(picked) == 1:
        which = f"the ensemble of {picked[0]} was"
    else:
        which = f"the ensembles of {', '.join(picked)} were"
    return f" (optimistic: {which} picked by this number)"


def print_comparisons(compared: Sequence[Comparison], printed: Collection[str] = ()) -> None:
    """The final ensembles of all machines. `printed` are the notes that `print_machine` has printed."""
    from asd_ray._console import console
    from asd_ray.ensembling import protocols
    from asd_ray.ensembling.choose import over_machines, skipped_notes

    for note in skipped_notes(compared):
        say(f"note: {note}")
    if by_test := [comparison.machine for comparison in compared if comparison.standardised_by_test]:
        say(f"note: only test scores are stored, so --by test was used (transductive): {', '.join(by_test)}")
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
            how = _optimism(finals) if biased else ""
            say(f"{protocol.name}: harmonic mean over {len(finals)} machines {means[protocol.name]:.4f}{how}")
    for protocol in shown:
        say(f"{protocol.name}: {protocol.sentence}.")
