"""What the console prints when a search has ended."""

from __future__ import annotations

import pytest

from asd_ray.tuning.result import SearchResult, StudyResult
from asd_ray.tuning.watch.console import SearchConsole


@pytest.mark.parametrize(
    ("machines", "call"),
    [(["fan"], "run.ensemble('fan')"), (["fan", "pump"], "run.ensemble_all(['fan', 'pump'])")],
)
def test_the_next_step_is_for_the_machines_of_the_search(
    machines: list[str], call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    studies = tuple(StudyResult(f"{each} idnn", (each,), "idnn", 1, 1, 0, 0, False, None, None) for each in machines)
    result = SearchResult("runs/one", studies, ended=1)
    SearchConsole(of_library=True).end(result)
    assert f"next: {call}\n" in capsys.readouterr().out
    SearchConsole().end(result)
    assert f"next: asd-ray ensemble {' '.join(machines)} --run runs/one\n" in capsys.readouterr().out
