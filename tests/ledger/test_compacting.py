from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, compact, verify


def files_of(ledger: Ledger) -> list[Path]:
    return sorted(Path(ledger.layout.ledger).rglob("*.parquet"))


def scores_of(ledger: Ledger) -> dict[str, pd.DataFrame]:
    return {record.trial: ledger.scores(record) for record in ledger.records()}


def assert_same(ledger: Ledger, before: dict[str, pd.DataFrame]) -> None:
    after = scores_of(Ledger(ledger.layout))
    assert list(after) == list(before)
    for trial, scores in before.items():
        pd.testing.assert_frame_equal(after[trial], scores)


def test_compacting_changes_files_but_nothing_that_is_read(filled: Ledger) -> None:
    records, before = filled.records(), scores_of(filled)
    report = compact(filled)
    assert (report.trials, report.written, report.removed) == (6, 1, 6)
    assert [path.name.startswith("compact-") for path in files_of(filled)] == [True]
    assert Ledger(filled.layout).records() == records
    assert_same(filled, before)
    assert verify(filled).is_clean
    assert filled.has("fan", "ae", records[5].trial)


def test_other_readers_can_still_tell_the_trials_apart(filled: Ledger) -> None:
    compact(filled)
    whole = pd.read_parquet(filled.layout.ledger)
    assert set(whole["trial"]) == {record.trial for record in filled.records() if record.status == "complete"}


def test_compacting_again_does_nothing_and_later_trials_join(filled: Ledger, trial) -> None:
    compact(filled)
    assert compact(filled).written == 0
    filled.commit(*trial(7))
    before = scores_of(filled)
    assert compact(filled).trials == 7
    assert len(files_of(filled)) == 1
    assert_same(filled, before)


def test_full_files_are_left_alone(ledger: Ledger, trial) -> None:
    for number in range(7):
        ledger.commit(*trial(number))
    before = scores_of(ledger)
    assert compact(ledger, trials=3).written == 2
    full = [path for path in files_of(ledger) if path.name.startswith("compact-")]
    assert (len(full), len(files_of(ledger))) == (2, 3)
    ledger.commit(*trial(7))
    before |= {trial(7)[0].trial: ledger.scores(trial(7)[0])}
    compact(ledger, trials=3)
    assert set(full) < set(files_of(ledger))
    assert_same(ledger, before)


def test_every_machine_and_family_has_files_of_its_own(ledger: Ledger, trial) -> None:
    for machine in ("fan", "pump"):
        for family in ("ae", "idnn"):
            for number in range(2):
                ledger.commit(*trial(number, machine=machine, family=family))
    before = scores_of(ledger)
    assert compact(ledger).families == 4
    assert len({path.parent for path in files_of(ledger)}) == len(files_of(ledger)) == 4
    assert_same(ledger, before)


def test_a_retried_trial_replaces_its_failure_in_a_compact_file(filled: Ledger, trial) -> None:
    compact(filled)
    filled.commit(*trial(5))
    assert [record.status for record in filled.records()] == ["complete"] * 6
    compact(filled)
    assert len(files_of(filled)) == 1
    assert [record.status for record in Ledger(filled.layout).records()] == ["complete"] * 6


def test_a_failure_never_hides_a_compacted_success(filled: Ledger, record) -> None:
    compact(filled)
    filled.commit(record(2, status="failed", objective=None, variant=""))
    assert filled.records()[2].status == "complete"
    assert compact(filled).removed == 1
    assert filled.records()[2].status == "complete"


@pytest.mark.parametrize("which", ["single", "compact"])
def test_what_a_killed_compaction_leaves_twice_is_read_once_and_cleaned(filled: Ledger, which: str) -> None:
    before = scores_of(filled)
    copies = {path: path.read_bytes() for path in files_of(filled)}
    compact(filled)
    if which == "compact":  # two compactions at once wrote the same trials
        copies = {path.with_name("compact-0000.parquet"): path.read_bytes() for path in files_of(filled)}
    for path, content in copies.items():
        path.write_bytes(content)
    ledger = Ledger(filled.layout)
    assert len(ledger.records()) == 6
    report = verify(ledger)
    assert report.is_clean
    assert report.duplicates == 6
    compact(ledger)
    assert len(files_of(ledger)) == 1
    assert_same(ledger, before)


def test_a_duplicate_is_kept_when_the_better_file_turns_out_broken(filled: Ledger) -> None:
    before = scores_of(filled)
    singles = {path: path.read_bytes() for path in files_of(filled)}
    compact(filled)
    for path, content in singles.items():  # back again, with rows that cannot be read under whole footers
        path.write_bytes(content[:4] + b"\xff" * 400 + content[404:] if len(content) > 4000 else content)
    ledger = Ledger(filled.layout)
    compact(ledger)
    assert_same(ledger, before)


def test_a_broken_file_does_not_stop_the_rest(filled: Ledger, trial) -> None:
    path = Path(filled.layout.trial_file("fan", "ae", trial(2)[0].trial))
    path.write_bytes(path.read_bytes()[:-50])
    ledger = Ledger(filled.layout)
    assert compact(ledger).trials == 5
    assert path.exists()
    assert len(ledger.records()) == 5


def test_a_file_written_anew_during_compaction_stays(filled: Ledger, trial, record) -> None:
    """The failed trial succeeds between being read and being removed."""
    ledger = Ledger(filled.layout)
    put = ledger.files.put

    def commit_then_put(path: str, data: object) -> None:
        put(path, data)
        ledger.files.put = put
        Ledger(filled.layout).commit(*trial(5))

    ledger.files.put = commit_then_put
    compact(ledger)
    assert Ledger(filled.layout).records()[5].status == "complete"


def test_too_small_a_file_is_refused(filled: Ledger) -> None:
    with pytest.raises(AsdRayError, match="at least 2"):
        compact(filled, trials=1)
