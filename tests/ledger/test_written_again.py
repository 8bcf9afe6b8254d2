"""What is written can be read again, by this version and of earlier ones."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord, compact
from asd_ray.ledger.record import SHAPES
from asd_ray.ledger.trial_file import MOST_RECORDS

from ..hostile import Verbs, digests


def test_every_field_of_a_record_has_a_shape() -> None:
    assert set(SHAPES) == {each.name for each in dataclasses.fields(TrialRecord)}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"name": "../a"}, "name"),
        ({"number": -1}, "number"),
        ({"seconds": -1.0}, "seconds"),
        ({"objective": 1e300}, "objective"),
        ({"created": "now"}, "created"),
        ({"params": {"lr": 1e301}}, "lr"),
        ({"variant": "other"}, "'other'"),
        ({"extra": {"machines": []}}, "machines"),
        ({"extra": {"deep": json.loads("[" * 49 + "]" * 49)}}, "deep"),
    ],
    ids=str,
)
def test_a_record_that_could_not_be_read_again_is_not_stored(
    ledger: Ledger, trial: Callable[..., Any], changes: dict[str, Any], word: str
) -> None:
    record, scores = trial(0)
    with pytest.raises(AsdRayError, match=word):
        ledger.commit(dataclasses.replace(record, **changes), scores)
    assert digests(Path(ledger.layout.base)) == {}


def test_an_error_that_names_a_file_of_no_utf8_is_stored_and_printed(
    ledger: Ledger, record: Callable[..., TrialRecord], verbs: Verbs
) -> None:
    ledger.commit(record(status="failed", objective=None, variant="", error="no such file: \udcff.wav\n\x1b[31m"))
    answer = verbs("ledger", "show", ledger.layout.base, "fan-ae-0000")
    assert answer.status == 0
    assert "no such file: ?.wav" in answer.out


def test_one_trial_takes_no_more_than_a_footer_may_have(ledger: Ledger, record: Callable[..., TrialRecord]) -> None:
    with pytest.raises(AsdRayError, match="bytes"):
        ledger.commit(record(status="failed", objective=None, variant="", error="x" * (MOST_RECORDS + 1)))


def test_compaction_starts_another_file_before_a_footer_grows_too_large(
    ledger: Ledger, trial: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_ray.ledger.compacting.MOST_RECORDS", 60_000)
    for number in range(6):
        ledger.commit(*trial(number, extra={"text": "x" * 10_000}))
    assert compact(ledger).written == 3
    assert len(Ledger(ledger.layout).records()) == 6


def test_every_file_of_an_earlier_version_is_read(verbs: Verbs, tmp_path: Path) -> None:
    before = Path(__file__).parents[3] / "shared/golden/run_before/run"
    if not before.is_dir():
        pytest.skip("the run of an earlier version is not beside this checkout")
    shutil.copytree(before, tmp_path / "run")
    answer = verbs("ledger", "verify", tmp_path / "run")
    assert (answer.status, answer.err) == (0, "")
    assert "15 complete, 9 pruned" in answer.out
    assert len(json.loads(verbs("ledger", "ls", tmp_path / "run", "--json").out)) == 24
