"""Searches one after the other in one process and on one Ray of two CPUs, which start once for all tests of a file.

Each line of standard input holds the arguments of a search as JSON. A line that begins with "answer" follows: its exit
status, what it printed, and the states of its trials in Optuna.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from contextlib import nullcontext
from typing import Any

import asd_ray.search
from asd_ray.tuning import search, session
from asd_ray.tuning.config import Runtime
from asd_ray.tuning.shared_ray import SharedRay

begun: list[search.Search] = []


class Watched(search.Search):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        begun.append(self)


def main() -> None:
    answers = sys.stdout
    search.Search = Watched  # type: ignore[misc]
    with SharedRay(Runtime(cpus=2, dashboard=False)) as shared:
        session.SharedRay = lambda runtime: nullcontext(shared)  # type: ignore[assignment,misc]
        for line in sys.stdin:
            begun.clear()
            with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
                status = asd_ray.search.main(json.loads(line))
            studies = [study.optuna_study for each in begun for study in each.studies]
            in_optuna = [trial.state.name for study in studies for trial in study.trials]
            print("answer", json.dumps([status, said.getvalue(), in_optuna]), file=answers, flush=True)


main()
