"""The output of ``asd-ray ensemble``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from asd_ray._numbers import count

if TYPE_CHECKING:  # numpy, pandas and rich are imported where they are used, so that --help answers at once
    from asd_ray._console import Console, PlainTable
    from asd_ray.ensembling import Comparison, Ensemble

MARK = "*"  # of recipes that choose without labels
FORECAST = ["crossval", "interval of crossval"]  # columns


def print_machine(comparison: Comparison, wide: bool = False) -> None:
    """What the final ensemble of a machine is worth, then the table of recipes, and what to know of the best one.

    The table has 80 columns unless it is `wide`.
    """
    from asd_ray._console import console
    from asd_ray.ensembling.costs import in_ms

    out, best = console(), comparison.ensembles[0]
    _print_final(out, comparison, wide)
    tried = best.candidates
    families = count(len(tried.families), "family", "families")
    out.print(f"{comparison.machine}: {count(tried.tried, 'candidate')} of {families}; {_measure_of(best)}")
    out.print(_table(comparison, wide))
    for line in _meanings(comparison, wide):
        out.print(f"  {line}", style="dim")
    out.print(f"  members of {best.name}:")
    for member in best.members:
        cost = f", {in_ms(best.inference.costs.of([member.trial]))} alone" if best.inference else ""
        out.print(f"    {member.weight:g} × {member.name} {member.variant}{cost}")
    # the file of the best has fewer numbers than that of the final ensemble, such as the counts of decisions
    print_warnings(out, comparison.final if comparison.final.name == best.name else best)
    if comparison.final.name != best.name:
        print_warnings(out, comparison.final, f"warning about the final ensemble, {comparison.final.name}")
    for note in dict.fromkeys([*_notes_of_recipes(comparison), *comparison.notes]):
        out.print(f"  note: {note}", style="dim")


def _print_final(out: Console, comparison: Comparison, wide: bool) -> None:
    from asd_ray.ensembling.trust import zero_cell

    out.print(f"{comparison.machine}: {comparison.summary} → {comparison.path}")
    if counts := comparison.final.counts:
        out.print(f"  {counts.sentence}: {counts.ground}")
    if forecasts := _forecasts(comparison.final):
        out.print(f"  {forecasts}")
    if why_zero := zero_cell.reason(comparison.final):
        out.print(f"    {why_zero}")
    others = comparison.trust.others
    out.print(f"  trust: {comparison.trust.sentence}{'' if wide or not others else '; all: --wide'}")
    for why in others if wide else ():
        out.print(f"    {why}")


def _table(comparison: Comparison, wide: bool) -> PlainTable:
    from asd_ray._console import PlainTable, numbers, words

    columns = _columns(comparison, wide)
    table = PlainTable(words("recipe"), *map(numbers, columns.values()), wide=wide)
    for ensemble in comparison.ensembles:
        mark = f" {MARK}" if "label_free" in ensemble.metrics else ""
        cells = _cells(ensemble.without_unseen, comparison.on_faults)
        table.add_row(ensemble.name + mark, *(cells[name] for name in columns))
    return table


def _columns(comparison: Comparison, wide: bool) -> dict[str, str]:
    """The columns that a table has -> the head of each. The forecast that chooses comes first, with its interval.

    The number on unseen clips is not among them: who compares recipes by it has seen these clips.
    """
    ensembles = comparison.ensembles
    names = ["members"]
    if ensembles[0].metrics:
        names += [*FORECAST, "oracle", *["gap"] * wide, "gain", *["interval of gain"] * wide]
    names += [*["faults"] * bool(comparison.on_faults), *["ms"] * bool(ensembles[0].inference)]
    return {name: "95 %" if name.startswith("interval") else name for name in names}


def _cells(ensemble: Ensemble, on_faults: Mapping[str, float]) -> dict[str, str]:
    """Column -> the text of its cell."""
    gain, gap, metrics, time = ensemble.gain, ensemble.metrics.gap, ensemble.metrics, ensemble.inference
    forecast, oracle = metrics.get("label_free") or metrics.get("crossval"), metrics.get("oracle")
    cells = {
        "members": str(len(ensemble.members)),
        "crossval": f"{forecast.value:.4f}" if forecast else "",
        "interval of crossval": _span(forecast.interval) if forecast else "",
        "oracle": f"{oracle.value:.4f}" if oracle else "",
        "gap": "" if gap is None else f"{round(gap, 4) + 0.0:+.4f}",
        "gain": f"{gain.value:+.4f}" if gain else "",
        "interval of gain": _span(gain.interval, signed=True) if gain else "",
        "faults": f"{on_faults[ensemble.name]:.4f}" if ensemble.name in on_faults else "",
        "ms": f"{1000 * time.seconds:.1f}" if time else "",
    }
    return {name: text or "–" for name, text in cells.items()}


def _meanings(comparison: Comparison, wide: bool) -> Iterator[str]:
    """What columns and marks mean that their heads cannot say."""
    best, columns = comparison.ensembles[0], _columns(comparison, wide)
    if "gap" in columns:
        yield "gap: oracle minus crossval"
    if "gain" in columns:
        more = "" if wide else "; interval: --wide"
        yield f"gain: over the best single detector, by the same protocol{more}"
    if "crossval" in columns and any("label_free" in ensemble.metrics for ensemble in comparison.ensembles):
        yield f"{MARK} chosen without labels: measured by label_free in place of crossval"
    if best.inference:
        yield f"ms: the whole ensemble for 10 s of sound, in one thread of {best.inference.costs.computer}"
    if comparison.on_faults:
        yield "faults: value on normal clips with injected faults, which is no forecast for real faults"


def _notes_of_recipes(comparison: Comparison) -> list[str]:
    """The notes of all ensembles. One that not all of them have begins with the names of those that do."""
    names: dict[str, list[str]] = {}
    for ensemble in comparison.ensembles:
        for note in dict.fromkeys(ensemble.notes):
            names.setdefault(note, []).append(ensemble.name)
    every = len(comparison.ensembles)
    return [note if len(own) == every else f"{', '.join(own)}: {note}" for note, own in names.items()]


def print_warnings(out: Console, ensemble: Ensemble, word: str = "warning") -> None:
    """What limits the trust in an ensemble, one paragraph each."""
    from asd_ray._console import flagged

    for warning in ensemble.warnings or ():
        out.print(flagged(f"  {word}", warning.sentence, "yellow"))


def _measure_of(ensemble: Ensemble) -> str:
    if not ensemble.metrics:
        return ensemble.not_measured
    name = {"hmean": "harmonic mean of AUC and pAUC", "auc": "AUC", "pauc": "pAUC"}[ensemble.config.maximise]
    return f"{name} of the test clips"


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


def print_together(compared: Sequence[Comparison], wide: bool = False) -> None:
    """What concerns all machines: notes, the means over machines, and what each protocol means."""
    from asd_ray._console import console
    from asd_ray.ensembling import protocols
    from asd_ray.ensembling.choose import over_machines

    out = console()
    for note in _notes_on_skipped(compared, wide):
        out.print(f"note: {note}")
    if by_test := [comparison.machine for comparison in compared if comparison.standardised_by_test]:
        out.print(f"note: only test scores are stored, so --by test was used (transductive): {', '.join(by_test)}")
    finals = {comparison.machine: comparison.final for comparison in compared}
    means = over_machines(finals) if len(finals) > 1 else {}
    shown = [
        protocol for protocol in protocols.every() if any(protocol.name in final.metrics for final in finals.values())
    ]
    for protocol in shown:
        if protocol.name in means:
            biased = protocol.forecasts and protocol.name in protocols.CHOICE
            how = _optimism(finals) if biased else ""
            out.print(f"{protocol.name}: harmonic mean over {len(finals)} machines {means[protocol.name]:.4f}{how}")
    for protocol in shown:
        if means or protocol.name != "cross_id":  # which has no column in the table
            out.print(f"{protocol.name}: {protocol.sentence}.")


def _notes_on_skipped(compared: Sequence[Comparison], wide: bool) -> list[str]:
    """The recipes that could not be followed, on one line; if `wide`, why, and the search that each one needs."""
    from asd_ray.ensembling.choose import skipped_notes

    if wide:
        return skipped_notes(compared)
    names = list(dict.fromkeys(skipped.recipe for comparison in compared for skipped in comparison.skipped))
    return [f"{len(names)} recipes could not be followed: {', '.join(names)}; why: --wide"] if names else []
