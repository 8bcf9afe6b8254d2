"""What a search prints, on a terminal and in a notebook: its plan, the live table, the leaderboard, its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from asd_ray._console import Console, console, flagged
from asd_ray._numbers import count
from asd_ray._progress import progress_bar
from asd_ray._terminal import say, typed
from asd_ray._wording import as_arguments
from asd_ray.clips.table import ClipTable
from asd_ray.families.user_code import shown
from asd_ray.ledger import TrialRecord
from asd_ray.ledger.record import LABELS
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.plan import Plan
from asd_ray.tuning.result import SearchResult
from asd_ray.tuning.search import Search
from asd_ray.tuning.watch.board import Board, leaderboard


class SearchConsole:
    """Each method is called once, in this order; with `quiet` none prints anything but what went wrong."""

    def __init__(self, *, quiet: bool = False, of_library: bool = False, is_part: bool = False) -> None:
        """`of_library`: the search was started from Python, so what comes next is named as Python.

        `is_part`: another search or a table follows, so nothing that comes next is named.
        """
        self.screen: Console = console(140)
        self.screen.quiet = quiet
        self.quiet, self._of_library, self._is_part = quiet, of_library, is_part

    def note(self, text: object) -> None:
        self.line(f"note: {text}")

    def warn(self, text: object) -> None:
        self.screen.print(flagged("warning", text, "yellow"))

    def dataset(self, table: ClipTable, machines: Sequence[str]) -> None:
        """The warnings of a dataset, without those of other machines than the named ones."""
        others = set(table.machines) - set(machines)
        for problem in table.problems:
            if problem.severity == "warning" and problem.path not in others:
                self.warn(problem)

    @contextmanager
    def decoding(self) -> Iterator[Callable[[int, int], None]]:
        with progress_bar("decoding", self.quiet) as progress:
            yield progress

    def left_out(self, plan: Plan) -> None:
        for line in plan.elsewhere:
            self.note(f"{line}; left to it")
        for line in plan.left_out:
            self.line(f"left out: {line}")

    def plan(self, plan: Plan, config: SearchConfig, without_gpu: list[str]) -> None:
        """`without_gpu` are the families that are left out because they want a GPU."""
        for note in plan.notes:
            self.note(note)
        if without_gpu:
            names = ", ".join(without_gpu)
            self.line(f"left out, since they want a GPU: {names}; include them with --families all")
        cap = f", at most {config.epochs_cap} epochs each (--epochs-cap)" if config.epochs_cap else ""
        studies = ", ".join(study.name for study in plan.studies)
        many = count(len(plan.studies), "study", "studies")
        self.line(f"{many} of {count(config.trials, 'trial')}{cap}: {studies}")
        if config.fixed_params:
            values = ", ".join(f"{name}={shown(value)}" for name, value in config.fixed_params.items())
            self.line(f"the same in every trial (--set): {values}")
        for objective, machines_by_phrase in plan.objectives.items():
            self._objective(objective, machines_by_phrase, of_several=len(plan.objectives) > 1)
        for line in plan.unseen:
            self.line(line)
        stored = sum(study.count() for study in plan.studies)
        if stored:
            self.screen.print(f"{stored} trials are stored already and are not run again")
        for study in plan.studies:
            if study.unversioned:
                self.note(
                    f"{study.name}: {study.unversioned} stored trials are of asd_ray 0.1, which did not record "
                    "the version of the class; they count here. If the class was edited since, choose another run"
                )
            if study.incompatible:
                self.note(
                    f"{study.name}: {study.incompatible} stored trials of other settings, with other weights or fixed "
                    "values (--set), of other injected faults, of another search space or of another version of the "
                    "class do not count here"
                )

    def _objective(self, objective: str, machines_by_phrase: Mapping[str, Sequence[str]], of_several: bool) -> None:
        phrases = " or ".join(sorted(machines_by_phrase))
        names = sorted(machine for machines in machines_by_phrase.values() for machine in machines)
        of = f" of {', '.join(names)}" if of_several else ""
        if objective == LABELS:
            meaning = "Protocol oracle: these labels choose parameters and variants, so the numbers are optimistic"
        else:
            meaning = "No label is read; how well real anomalies are found is not measured"
        self.screen.print(f"objective{of}: {phrases}. {meaning}")

    def line(self, text: str) -> None:
        self.screen.print(as_arguments(text) if self._of_library else text)

    @contextmanager
    def running(self, board: Board, search: Search) -> Iterator[None]:
        with board.shown(search):
            yield

    def leaderboard(self, search: Search, by_papers_score: Mapping[str, TrialRecord]) -> None:
        leaderboard(search.studies, self.screen, by_papers_score)

    def end(self, result: SearchResult) -> None:
        for study in result.studies:
            if study.exhausted:
                self.note(f"{study.name} has no untried parameters left; its space is small")
        self.screen.print(f"{count(result.ended, 'trial')} run now, {result.stored} in all. The run is in {result.run}")
        if not self._of_library and not self._is_part:
            every = typed("asd-ray", "ledger", "ls", result.run, "--sort", "objective", "--wide")
            self.screen.print(f"every trial: {every}", soft_wrap=True)
        if result.failure:
            failure = as_arguments(result.failure) if self._of_library else f"asd-ray search: {result.failure}"
            say(failure, lines=True, error=True)
        if result.error:
            return
        if result.stopped:
            again = "call run.search again" if self._of_library else "run the same command"
            self.screen.print(f"ended early ({result.stopped}): {result.missing} trials are missing; {again} to go on")
        elif not result.failure and not self._is_part:
            command = typed("asd-ray", "ensemble", *result.machines, "--run", result.run)
            [first, *others] = result.machines
            call = f"run.ensemble_all({result.machines!r})" if others else f"run.ensemble({first!r})"
            self.screen.print(f"next: {call if self._of_library else command}", soft_wrap=True)
