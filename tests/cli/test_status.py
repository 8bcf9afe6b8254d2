from __future__ import annotations

from pathlib import Path

from asd_ray.ledger import Ledger
from tests.hostile import Verbs
from tests.reporting.conftest import fill


def test_status_is_the_status_of_search(tmp_path: Path, verbs: Verbs) -> None:
    fill(Ledger(tmp_path / "run"), "fan", trials=2)
    answer = verbs("status", tmp_path / "run")
    assert answer.status == 0
    assert "fan" in answer.out
    assert answer.out == verbs("search", "--status", tmp_path / "run").out


def test_no_run_is_an_error(tmp_path: Path, verbs: Verbs) -> None:
    verbs.refused("status", tmp_path / "nothing", words=("nothing",))
