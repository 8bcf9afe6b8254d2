from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, compact, verify
from asd_ray.ledger.trial_file import encode


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
    assert (report.trials, report.written, report.removed) == (5, 1, 5)
    failed = f"{records[5].trial}.failed.parquet"  # it may be tried again at any time, so it keeps its own file
    assert [path.name for path in files_of(filled) if not path.name.startswith("compact-")] == [failed]
    assert len(files_of(filled)) == 2
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
    assert compact(filled).trials == 6
    assert len(files_of(filled)) == 2
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
    failed = record(2, status="failed", objective=None, variant="")
    assert not filled.commit(failed)
    path = Path(filled.layout.trial_file("fan", "ae", failed.trial, "failed"))
    path.write_bytes(bytes(encode([(failed, {})])))  # as one that looked before the compaction
    assert filled.records()[2].status == "complete"
    assert compact(filled).removed == 1
    assert filled.records()[2].status == "complete"


@pytest.mark.parametrize("which", ["single", "compact"])
def test_what_a_killed_compaction_leaves_twice_is_read_once_and_cleaned(filled: Ledger, which: str) -> None:
    before = scores_of(filled)
    copies = {path: path.read_bytes() for path in files_of(filled) if not path.name.endswith(".failed.parquet")}
    compact(filled)
    if which == "compact":  # two compactions at once wrote the same trials
        [path] = (path for path in files_of(filled) if path.name.startswith("compact-"))
        copies = {path.with_name("compact-0000.parquet"): path.read_bytes()}
    for path, content in copies.items():
        path.write_bytes(content)
    ledger = Ledger(filled.layout)
    assert len(ledger.records()) == 6
    report = verify(ledger)
    assert report.is_clean
    assert report.duplicates == 5
    compact(ledger)
    assert len(files_of(ledger)) == 2
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
    assert compact(ledger).trials == 4
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


@pytest.mark.parametrize("status", ["failed", "pruned"])
def test_a_trial_committed_between_compactions_stat_and_unlink_stays(
    ledger: Ledger, trial, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a compaction removes, it is never the file that a retry has just made complete."""
    for number in range(3):
        ledger.commit(*trial(number))
    record, scores = trial(3, status=status)
    ledger.commit(record, None if status == "failed" else scores)
    retried, better = trial(3)
    compacting = Ledger(ledger.layout)
    remove = compacting.files.remove
    committed = []

    def commit_then_remove(path: str) -> None:
        if retried.trial in path:
            committed.append(ledger.commit(retried, better))
        remove(path)

    monkeypatch.setattr(compacting.files, "remove", commit_then_remove)
    compact(compacting)
    if not committed:  # nothing of the trial was removed
        assert ledger.commit(retried, better)
    compact(compacting)
    found = [each for each in Ledger(ledger.layout).records() if each.number == 3]
    assert [each.status for each in found] == ["complete"]
    assert len(ledger.scores(found[0])) == len(better)
    assert not any(status in path.name for path in files_of(ledger)), "a failure that was made good is cleaned away"


def test_a_second_commit_of_a_compacted_trial_changes_nothing(filled: Ledger, trial) -> None:
    compact(filled)
    before = scores_of(filled)
    record, scores = trial(2)
    for writer in (filled, Ledger(filled.layout)):
        assert not writer.commit(record, scores.assign(score=0.0))
        assert not writer.commit(*trial(2, status="pruned"))
    assert_same(filled, before)
    assert filled.commit(record, scores.assign(score=0.0), replace=True)
    assert filled.scores(record)["score"].eq(0).all()


def test_too_small_a_file_is_refused(filled: Ledger) -> None:
    with pytest.raises(AsdRayError, match="at least 2"):
        compact(filled, trials=1)
