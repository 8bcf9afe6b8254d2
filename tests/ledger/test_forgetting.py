from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord, candidate_matrix, compact, verify
from asd_ray.ledger.forgetting import forget, forget_failed
from asd_ray.ledger.trial_file import encode

from ..hostile import Verbs, digests


def numbers(ledger: Ledger) -> list[int]:
    return [record.number for record in Ledger(ledger.layout).records()]


def aside(ledger: Ledger) -> list[str]:
    folder = Path(ledger.layout.set_aside)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def one_compact_file(ledger: Ledger, *more: tuple[TrialRecord, Any]) -> Path:
    """Every trial of `ledger`, and these, in one compact file, as another version may have written it."""
    rows = [(record, ledger.rows(record)) for record in ledger.records()] + list(more)
    for path in Path(ledger.layout.ledger).rglob("*.parquet"):
        path.unlink()
    path = Path(ledger.layout.compact_file("fan", "ae", "0"))
    path.write_bytes(bytes(encode(rows)))
    ledger.files.put(ledger.layout.compacted_mark("fan", "ae"), b"0")
    return path


@pytest.fixture
def failures(ledger: Ledger, trial, record) -> Ledger:
    """One complete and one failed trial of each of three studies, and a pruned one."""
    for machine, family in (("fan", "ae"), ("fan", "idnn"), ("pump", "ae")):
        ledger.commit(*trial(0, machine=machine, family=family))
        failed = {"status": "failed", "objective": None, "variant": "", "error": "out of memory"}
        ledger.commit(record(1, machine=machine, family=family, **failed))
    ledger.commit(*trial(2, status="pruned"))
    return ledger


@pytest.mark.parametrize(
    ("chosen", "forgotten"),
    [
        ({}, ["fan-ae-0001", "fan-idnn-0001", "pump-ae-0001"]),
        ({"machines": ["pump"]}, ["pump-ae-0001"]),
        ({"families": ["ae"]}, ["fan-ae-0001", "pump-ae-0001"]),
        ({"machines": ["fan"], "families": ["ae"]}, ["fan-ae-0001"]),
        ({"trials": ["fan-idnn-0001", "fan-ae-0000", "fan-ae-0002", "nothing"]}, ["fan-idnn-0001"]),
        ({"machines": []}, []),
        ({"machines": ["valve"]}, []),
    ],
)
def test_failed_trials_are_set_aside_and_no_others(
    failures: Ledger, chosen: dict[str, list[str]], forgotten: list[str]
) -> None:
    before = digests(Path(failures.layout.base))
    assert [record.name for record in forget_failed(failures, **chosen)] == forgotten
    left = [record.name for record in Ledger(failures.layout).records()]
    assert len(left) == 7 - len(forgotten)
    assert not set(left) & set(forgotten)
    files = [path for path in aside(failures) if path.endswith(".parquet")]
    assert len(files) == len(forgotten)
    for path in files:
        assert digests(Path(failures.layout.set_aside))[path] == before[f"ledger/{path}"]
    assert forget_failed(failures, **chosen) == []
    assert verify(Ledger(failures.layout)).is_clean


def test_a_forgotten_trial_may_be_stored_anew_and_the_old_file_brought_back(filled: Ledger, trial) -> None:
    [failed] = forget_failed(filled)
    assert not filled.has("fan", "ae", failed.trial)
    assert filled.commit(failed)
    assert [r.number for r in forget_failed(filled)] == [5]
    assert len([path for path in aside(filled) if ".reason" not in path]) == 1, "the same content is kept once"
    reason = Path(filled.layout.set_aside, next(path for path in aside(filled) if ".reason" in path)).read_text()
    back = reason.rpartition("To bring it back: ")[2]
    assert os.system(back) == 0
    assert numbers(filled) == [0, 1, 2, 3, 4, 5]
    assert Ledger(filled.layout).commit(*trial(5))


def test_two_failures_of_one_trial_keep_both_files(filled: Ledger, record) -> None:
    forget_failed(filled)
    filled.commit(record(5, status="failed", objective=None, variant="", error="another reason"))
    forget_failed(filled)
    assert len([path for path in aside(filled) if ".reason" not in path]) == 2


def test_a_failed_trial_leaves_its_compact_file_and_the_others_stay(filled: Ledger) -> None:
    path = one_compact_file(filled)
    ledger = Ledger(filled.layout)
    before = {record.trial: ledger.scores(record) for record in ledger.records()}
    [failed] = forget_failed(ledger)
    assert not path.exists()
    assert numbers(filled) == [0, 1, 2, 3, 4]
    for record in Ledger(filled.layout).records():
        assert Ledger(filled.layout).scores(record).equals(before[record.trial])
    assert f"machine=fan/family=ae/{failed.trial}.failed.parquet" in aside(filled)
    assert verify(Ledger(filled.layout)).is_clean


def test_a_writer_that_knew_the_compact_file_stores_the_trial_again(filled: Ledger, trial) -> None:
    one_compact_file(filled)
    writer = Ledger(filled.layout)
    assert not writer.commit(*trial(3)), "it is complete"
    forget(Ledger(filled.layout), [trial(3)[0]])
    assert numbers(filled) == [0, 1, 2, 4, 5]
    assert writer.commit(*trial(3))
    assert numbers(filled) == [0, 1, 2, 3, 4, 5]


def test_a_failure_that_was_retried_with_success_is_not_touched(filled: Ledger, trial) -> None:
    filled.commit(*trial(5))
    assert forget_failed(filled) == []
    assert aside(filled) == []


@pytest.mark.parametrize("compacted", [False, True])
def test_a_trial_that_completed_after_it_was_listed_stays(filled: Ledger, trial, compacted: bool) -> None:
    [failed] = [record for record in filled.records() if record.status == "failed"]
    if compacted:
        one_compact_file(filled)
    Ledger(filled.layout).commit(*trial(5))
    if compacted:
        compact(Ledger(filled.layout))
    forget(Ledger(filled.layout), [failed])
    assert [record.status for record in Ledger(filled.layout).records() if record.number == 5] == ["complete"]
    assert not any(path.endswith(f"{failed.trial}.parquet") for path in aside(filled))
    assert verify(Ledger(filled.layout)).is_clean


def test_a_broken_compact_file_is_named_with_the_cure_and_nothing_is_lost(filled: Ledger) -> None:
    path = one_compact_file(filled)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])
    with pytest.raises(AsdRayError, match="Run first: asd-ray ledger verify"):
        forget_failed(Ledger(filled.layout))
    assert path.exists()
    assert not verify(Ledger(filled.layout)).is_clean
    assert [record.number for record in forget_failed(Ledger(filled.layout))] == [5]
    assert numbers(filled) == [1, 2, 3, 4]


# A failed file: rename, the reason's rename. A compact one: trial, reason, compact, mark, (unlink), mark.
@pytest.mark.parametrize(
    ("compacted", "step"), [*((False, step) for step in range(3)), *((True, step) for step in range(7))]
)
def test_kill_9_at_any_step_loses_nothing_and_the_same_call_goes_on(
    filled: Ledger, start_python, step: int, compacted: bool
) -> None:
    if compacted:
        one_compact_file(filled)
    process = start_python(
        """
        from asd_ray.ledger.forgetting import forget_failed

        kill_at_step(int(sys.argv[2]))
        forget_failed(Ledger(sys.argv[1]))
        """,
        filled.layout.base,
        step,
    )
    assert process.wait(timeout=60) == (-9 if step < (6 if compacted else 2) else 0)
    assert numbers(filled)[:5] == [0, 1, 2, 3, 4]
    kept = [path for path in aside(filled) if path.endswith(".failed.parquet")]
    assert numbers(filled)[5:] == [5] or kept, "the failed trial is in one place at least"
    forget_failed(Ledger(filled.layout))
    assert numbers(filled) == [0, 1, 2, 3, 4]
    assert len([path for path in aside(filled) if path.endswith(".parquet")]) == 1
    compact(Ledger(filled.layout))
    assert verify(Ledger(filled.layout)).is_clean
    assert candidate_matrix(Ledger(filled.layout), "fan").scores.shape[0] == 10


# -- the verb -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "forgotten"),
    [
        ([], [1, 1, 1]),
        (["--machine", "fan"], [1, 1]),
        (["--machine", "fan", "--family", "idnn"], [1]),
        (["fan-ae-0001"], [1]),
        (["pump-ae-0000"], [0]),
        (["fan-ae-0002", "fan-idnn-0001"], [1, 2]),
        (["fan-ae-0000", "fan-ae-0001", "--failed"], [1]),
    ],
)
def test_the_verb_forgets_what_failed_and_what_is_named(
    failures: Ledger, verbs: Verbs, arguments: list[str], forgotten: list[int]
) -> None:
    before = digests(Path(failures.layout.base))
    dry = verbs("ledger", "forget", failures.layout.base, *arguments, "--dry-run")
    assert f"would set aside {len(forgotten)} trials" in dry.out
    assert digests(Path(failures.layout.base)) == before
    answer = verbs("ledger", "forget", failures.layout.base, *arguments)
    assert answer.status == 0
    assert f"set aside {len(forgotten)} trials" in answer.out
    assert failures.layout.set_aside in answer.out
    assert len(numbers(failures)) == 7 - len(forgotten)
    assert sorted([*numbers(failures), *forgotten]) == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fan-ae-00"], ("no trial is named 'fan-ae-00'", "ledger ls")),
        (["fan-ae-0001", "nothing"], ("'nothing'",)),
        (["fan-ae-0001", "--machine", "pump"], ("'fan-ae-0001'",)),
        (["--machine", "fam"], ("unknown machine 'fam'; did you mean 'fan'?",)),
        (["same"], ("can be any of these", "machine fan", "machine pump")),
    ],
)
def test_the_verb_refuses_what_is_not_named_exactly(
    failures: Ledger, trial, verbs: Verbs, arguments: list[str], words: tuple[str, ...]
) -> None:
    for machine in ("fan", "pump"):
        failures.commit(*trial(9, machine=machine, name="same"))
    before = digests(Path(failures.layout.base))
    verbs.refused("ledger", "forget", failures.layout.base, *arguments, words=words)
    assert digests(Path(failures.layout.base)) == before


def test_a_run_of_which_everything_is_forgotten_is_still_a_run(ledger: Ledger, record, verbs: Verbs) -> None:
    ledger.commit(record(status="failed", objective=None, variant=""))
    assert verbs("ledger", "forget", ledger.layout.base).status == 0
    assert "nothing to forget" in verbs("ledger", "forget", ledger.layout.base).out
    assert json.loads(verbs("ledger", "ls", ledger.layout.base, "--json").out) == []
