"""kill -9, a full disk and several writers at once, for real: in processes of their own."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, compact, verify

COMMIT_FOR_EVER = """
    ledger = Ledger(sys.argv[1])
    number = int(sys.argv[2])
    while True:
        ledger.commit(*make_trial(number, count=400))
        print(number, flush=True)
        number += 1
"""


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_kill_9_while_committing_loses_only_the_trial_in_flight(run: Path, ledger: Ledger, start_python, trial) -> None:
    lucky = random.Random(0)
    printed: list[str] = []
    for attempt in range(4):
        process = start_python(COMMIT_FOR_EVER, run, attempt * 10_000)
        assert process.stdout
        printed.append(process.stdout.readline().strip())  # it has begun
        time.sleep(lucky.uniform(0.1, 0.4))
        process.kill()
        printed += process.stdout.read().split()
        assert process.wait() == -9
        report = verify(Ledger(run))
        assert report.is_clean, report
        stored = {str(record.number) for record in Ledger(run).records()}
        assert set(printed) <= stored, "a trial whose commit returned is there"
        assert len(stored) <= len(printed) + attempt + 1, "at most the one in flight was stored without a word"
    assert ledger.commit(*trial(99_999))
    assert len(printed) > 8


@pytest.mark.parametrize("moment", ["before the rename", "after the rename"])
def test_kill_9_at_the_rename_shows_all_of_a_trial_or_nothing(run: Path, start_python, trial, moment: str) -> None:
    process = start_python(
        """
        rename = os.replace
        def killed(source, target):
            if sys.argv[2].startswith("after"):
                rename(source, target)
            os.kill(os.getpid(), signal.SIGKILL)
        os.replace = killed
        Ledger(sys.argv[1]).commit(*make_trial())
        """,
        run,
        moment,
    )
    assert process.wait(timeout=60) == -9
    ledger = Ledger(run)
    report = verify(ledger)
    assert report.is_clean
    assert (len(ledger.records()), report.in_flight) == ((0, 1) if moment.startswith("before") else (1, 0))
    ledger.commit(*trial())
    assert len(ledger.records()) == 1


# The compaction of four trials renames twice (file, mark), then removes four files; killed at each step.
@pytest.mark.parametrize("step", range(7))
def test_kill_9_at_any_step_of_a_compaction_loses_nothing(run: Path, ledger: Ledger, start_python, trial, step) -> None:
    trials = [trial(number) for number in range(4)]
    for each in trials:
        ledger.commit(*each)
    process = start_python(
        """
        from asd_ray.ledger import compact
        kill_at_step(int(sys.argv[2]))
        compact(Ledger(sys.argv[1]))
        """,
        run,
        step,
    )
    assert process.wait(timeout=60) == (-9 if step < 6 else 0)
    assert verify(Ledger(run)).is_clean
    assert len(Ledger(run).records()) == 4
    compact(Ledger(run))
    after = Ledger(run)
    assert verify(after).duplicates == 0
    for record, scores in trials:
        assert len(after.scores(record)) == len(scores)
    assert len(list(Path(after.layout.ledger).rglob("*.parquet"))) == 1


def test_processes_that_commit_the_same_and_other_trials_at_once_do_no_harm(run: Path, start_python) -> None:
    code = """
        ledger = Ledger(sys.argv[1])
        for number in [*range(20), *range(int(sys.argv[2]), int(sys.argv[2]) + 10)]:
            ledger.commit(*make_trial(number))
            assert ledger.has("fan", "ae", make_record(number).trial)
    """
    writers = [start_python(code, run, first) for first in (100, 200)]
    reader = Ledger(run)
    while any(writer.poll() is None for writer in writers):
        reader.records()  # never raises
    for writer in writers:
        finish(writer)
    report = verify(Ledger(run))
    assert report.is_clean
    assert (report.files, report.trials["complete"], report.in_flight) == (40, 40, 0)


def test_two_compactions_and_a_writer_at_once_lose_nothing(run: Path, ledger: Ledger, start_python, trial) -> None:
    for number in range(20):
        ledger.commit(*trial(number))
    compacting = """
        from asd_ray.ledger import compact
        for _ in range(4):
            compact(Ledger(sys.argv[1]), trials=7)
    """
    writing = """
        for number in range(20, 40):
            Ledger(sys.argv[1]).commit(*make_trial(number))
    """
    for process in [start_python(compacting, run), start_python(compacting, run), start_python(writing, run)]:
        finish(process)
    compact(Ledger(run))
    assert sorted(record.number for record in Ledger(run).records()) == list(range(40))
    assert verify(Ledger(run)).is_clean


FILL = """
    from asd_ray.errors import AsdRayError
    ledger = Ledger(sys.argv[1])
    stored = 0
    try:
        for number in range(10_000):
            ledger.commit(*make_trial(number, count=400))
            stored += 1
    except AsdRayError as error:
        print(stored, error)
"""


def assert_survived(run: Path, out: str) -> None:
    """What was stored before the disk was full is whole, and nothing half-written lies about."""
    stored, _, message = out.partition(" ")
    assert "disk full" in message
    assert str(run) in message
    assert "run the same command again" in message
    report = verify(Ledger(run))
    assert report.is_clean
    assert report.trials["complete"] == int(stored)
    assert (report.in_flight, report.leftovers) == (0, 0)


def test_a_file_size_limit_refuses_one_trial_and_harms_none(run: Path, ledger: Ledger, start_python, trial) -> None:
    ledger.commit(*trial(77))
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
    out = finish(start_python(limit + "\n".join(line[4:] for line in FILL.splitlines()), run))
    assert out.startswith("0 "), "a trial of 400 clips needs more than 4 KiB"
    assert_survived(run, "1 " + out.partition(" ")[2])


def test_a_full_disk_refuses_one_trial_and_harms_none(tmp_path: Path, start_python, trial) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        run = disk / "run"
        out = finish(start_python(FILL, run))
        assert int(out.split()[0]) > 2
        assert_survived(run, out)
        next(Path(Ledger(run).layout.ledger).rglob("*.parquet")).unlink()
        assert Ledger(run).commit(*trial(5_000)), "with space again, it goes on"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_during_compaction_leaves_every_trial_readable(tmp_path: Path, start_python) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        run = disk / "run"
        stored = int(finish(start_python(FILL, run)).split()[0])
        out = finish(
            start_python(
                """
                from asd_ray.errors import AsdRayError
                from asd_ray.ledger import compact
                try:
                    compact(Ledger(sys.argv[1]))
                except AsdRayError as error:
                    print(sys.argv[2], error)
                """,
                run,
                stored,
            )
        )
        assert_survived(run, out)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_folders_without_permission_are_named(run: Path, ledger: Ledger, start_python, trial) -> None:
    ledger.commit(*trial())
    run.chmod(0o500)
    (run / "ledger").chmod(0o500)
    process = start_python(
        """
        from asd_ray.errors import AsdRayError
        import pyarrow.parquet, pandas
        trials = [make_trial(number, machine="pump") for number in range(2)]
        if os.geteuid() == 0:
            os.setuid(65534)
        for act in (lambda: Ledger(sys.argv[1]).commit(*trials[0]), lambda: Ledger(sys.argv[1]).records()):
            try:
                print(len(act()))
            except AsdRayError as error:
                print(error)
        """,
        run,
    )
    lines = finish(process).splitlines()
    assert "Permission denied" in lines[0]
    assert str(run) in lines[0]
    assert lines[1] == "1" or "Permission denied" in lines[1]


def test_a_file_where_the_run_should_be_is_named(run: Path, ledger: Ledger, trial) -> None:
    run.write_text("not a folder")
    with pytest.raises(AsdRayError, match="cannot write the file"):
        ledger.commit(*trial())
    with pytest.raises(AsdRayError, match="no run here"):
        ledger.require()
