"""What a search shows on a terminal: the live table while it runs, and the leaderboard at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from asd_ray._console import Console, Group, PlainTable, RenderableType, is_live, numbers, words
from asd_ray._numbers import count
from asd_ray.ledger import TrialRecord
from asd_ray.ledger.record import LABELS
from asd_ray.ledger.units import with_unit
from asd_ray.tuning.judge import PROTOCOLS
from asd_ray.tuning.running import RunningTrial
from asd_ray.tuning.spec import group_name
from asd_ray.tuning.study import Study
from asd_ray.tuning.watch._base import SearchView, Watcher
from asd_ray.tuning.watch.status import COLUMNS, duration, epochs_text, table_of_studies
from asd_ray.tuning.watch.status_file import seconds_left, seconds_left_of_all

EVERY = 10.0  # seconds between two lines where the output is no terminal
REASONS = 3  # shown at most, of a study whose trials all failed
SHOWN = 10  # rows of the leaderboard
RUNNING = 8  # trials in the live display


class Board(Watcher):
    """A live display on a terminal. Where the output is a file or a pipe, one line per study every few seconds."""

    def __init__(self, slots: Callable[[], float], console: Console) -> None:
        self._slots, self._console = slots, console
        self._live: Live | None = None
        self._printed = time.monotonic()

    @contextmanager
    def shown(self, search: SearchView) -> Iterator[Board]:
        if not is_live(self._console):
            yield self
            return
        with Live(
            console=self._console, get_renderable=lambda: self.picture(search), refresh_per_second=2
        ) as self._live:
            self._live.refresh()  # it is seen at once, also by a search that ends within half a second
            yield self
        self._live = None

    def turn(self, search: SearchView) -> None:
        now = time.monotonic()
        if self._live is None and now - self._printed >= EVERY:
            self._printed = now
            self.print_lines(search)

    def print_lines(self, search: SearchView) -> None:
        for study in search.studies:
            cells = ", ".join(
                f"{name} {value}"
                for name, value in zip(COLUMNS, self._row(search, study), strict=True)
                if value and name != "study"
            )
            self._console.print(f"{study.name}: {cells}", soft_wrap=True)

    def picture(self, search: SearchView) -> RenderableType:
        """What the live display shows: the whole search as a bar, its studies, and the trials that run."""
        runs = sorted(list(search.running.values()), key=lambda run: run.started)
        rows = max(3, self._console.height - min(len(runs), RUNNING) - 6)  # the rest of the screen
        studies = sorted(search.studies, key=lambda study: not (study.missing or study.running))  # finished ones last
        table = table_of_studies()
        for study in studies[:rows]:
            table.add_row(*self._row(search, study))
        parts: list[RenderableType] = [self._bar(search, runs), table]
        if len(studies) > rows:
            parts.append(f"and {count(len(studies) - rows, 'more study', 'more studies')}")
        if runs:
            parts.append(_running(runs[:RUNNING]))
        if len(runs) > RUNNING:
            parts.append(f"and {len(runs) - RUNNING} more trials")
        return Group(*parts)

    def _bar(self, search: SearchView, runs: Sequence[RunningTrial]) -> RenderableType:
        """All studies together: a bar, the trials that have ended, the time so far and the time left."""
        wanted = sum(study.wanted for study in search.studies)
        done = sum(min(study.count(), study.wanted) for study in search.studies)
        begun = sum(run.epoch / run.spec.epochs for run in runs if run.spec.epochs)
        left = seconds_left_of_all(search, max(1.0, self._slots()))
        texts = [f"{done}/{wanted} trials", duration(time.monotonic() - search.started)]
        texts += [f"~{duration(left)} left"] if left is not None else []
        texts += [f"{search.stopping}: no new trials"] if search.stopping else []
        line = Table.grid(padding=(0, 2))
        line.add_row(ProgressBar(total=max(1, wanted), completed=done + begun, width=24), ", ".join(texts))
        return line

    def _row(self, search: SearchView, study: Study) -> list[str]:
        best = study.best
        return [
            study.name,
            f"{study.count()}/{study.wanted}",
            "" if best is None else with_unit(best.objective or 0.0, best.variant, study.settings.objective),
            self._left(search, study),
            str(sum(run.study is study for run in list(search.running.values()))),
            str(study.count("pruned")),
            str(study.count("failed")),
        ]

    def _left(self, search: SearchView, study: Study) -> str:
        seconds = seconds_left(search, study, max(1.0, self._slots()))
        return "" if seconds is None else f"~{duration(seconds)}"


def _running(runs: Sequence[RunningTrial]) -> RenderableType:
    table = PlainTable(words("running"), numbers("epoch"), numbers("for"))
    for run in runs:
        epoch = epochs_text(run.node, run.epoch, run.spec.epochs)
        table.add_row(run.spec.name, epoch, duration(time.monotonic() - run.started))
    return table


OWN, BEST = "score", "setting"
CAPTION = f"paper: {BEST}: its parameters, judged by their best score; {OWN}: judged by the score that it reports"


def leaderboard(studies: list[Study], console: Console, by_papers_score: Mapping[str, TrialRecord]) -> None:
    """The best trials of each machine, with the paper's own settings among them, and every failure's reason.

    `by_papers_score` has trials with the paper's setting, by their hash, as judged by the score that the paper reports.
    Such a trial has a second row if another score is its best.
    """
    for machine in dict.fromkeys(group_name(study.machines) for study in studies):
        objective = next(s.settings.objective for s in studies if group_name(s.machines) == machine)
        records = [r for s in studies if group_name(s.machines) == machine for r in s.records.values()]
        ranked = sorted((r for r in records if r.objective is not None), key=lambda r: -(r.objective or 0))
        shown = [(str(place), r) for place, r in enumerate(ranked, 1) if place <= SHOWN or r.paper]
        of_papers = [(r, by_papers_score[r.trial]) for r in ranked if r.trial in by_papers_score]
        is_own = {r.trial for r, own in of_papers if r.variant == own.variant}  # their best score is the paper's
        shown += [("", own) for r, own in of_papers if r.trial not in is_own]
        shown.sort(key=lambda row: -(row[1].objective or 0))
        of_labels = objective == LABELS
        heads = ("objective", "AUC", "pAUC") if of_labels else ("faults",)
        table = PlainTable(numbers("#"), words("trial"), words("variant"), *map(numbers, heads), words("paper"))
        for place, record in shown:
            values = [f"{record.objective:.4f}", *(_means(record) if of_labels else ())]
            paper = (OWN if not place or record.trial in is_own else BEST) if record.paper else ""
            table.add_row(place, record.name, record.variant, *values, paper)
        console.print(f"{machine}: {count(len(ranked), 'complete trial')}, protocol {PROTOCOLS[objective]}")
        if ranked:
            console.print(table)
        if any(r.paper and r.trial not in is_own for r in ranked):
            console.print(CAPTION, style="dim")
        shown_at_end = {(s.name, reason) for s in studies for reason in s.only_failures}  # by `failure_message`
        names: dict[str, list[str]] = {}
        for study in (s for s in studies if group_name(s.machines) == machine):
            for record in study.records.values():
                if record.status == "failed" and (study.name, record.error) not in shown_at_end:
                    names.setdefault(record.error, []).append(record.name)
        for error, failed in names.items():
            which = failed[0] if len(failed) == 1 else f"{len(failed)} trials, {failed[0]} the first"
            console.print(f"failed: {which}: {error}", soft_wrap=True)


def failure_message(studies: list[Study]) -> str:
    """Which studies have failed trials only, stored or run by this command, and why. "" where there is no such study.

    Studies that failed for the same reasons share a line.
    """
    alike: dict[str, list[Study]] = {}
    for study in studies:
        if reasons := study.only_failures:
            alike.setdefault(_most_frequent(reasons), []).append(study)
    if not alike:
        return ""
    lines = []
    for why, group in alike.items():
        ran, names = sum(study.ended for study in group), ", ".join(study.name for study in group)
        before = sum(study.only_failures.total() for study in group) - ran
        counts = [f"{count} {what}" for count, what in ((ran, "ran"), (before, "stored before")) if count]
        lines.append(f"every trial of {names} failed ({', '.join(counts)}): {why}")
    cure = "fix that and run the same command with --retry-failed; without it no stored failure runs again"
    return "\n".join([*lines, cure])


def _most_frequent(reasons: Counter[str]) -> str:
    """The most frequent reasons. How often each came is left out, so that studies with equal reasons share a line."""
    common = [reason for reason, _ in reasons.most_common(REASONS)]
    rest = len(reasons) - len(common)
    return "; ".join(common) + (f"; and {rest} other reasons" if rest else "")


def _means(record: TrialRecord) -> tuple[str, str]:
    parts = record.objective_parts
    aucs = [value for name, value in parts.items() if "/auc" in name]
    paucs = [value for name, value in parts.items() if "/pauc" in name]
    return tuple(f"{sum(v) / len(v):.4f}" if v else "" for v in (aucs, paucs))  # type: ignore[return-value]
