"""Builds of a bank that are killed, stopped or damaged: the next call completes them, and no wrong sample is used."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clips._build import _part
from asd_ray.clips._store import Store
from asd_ray.clips.bank import UnreadableClips, open_bank
from tests.hostile import bounded

Make = Callable[..., Path]

STEP_DOWN = """
import os
if os.geteuid() == 0:  # root writes anywhere
    os.setegid(65534)
    os.seteuid(65534)
"""
# Builds the bank of argv[1] slowly; prints the clips done after every chunk, then how many this process decoded.
BUILD = """
import sys, time
from asd_ray.clips import _build
from asd_ray.clips.bank import open_bank
decoded, read = 0, _build.read_samples
def count(*args, **kwargs):
    global decoded
    decoded += 1
    return read(*args, **kwargs)
_build.read_samples = count
def progress(done, total):
    print("done", done, flush=True)
    time.sleep(float(sys.argv[2]))
bank = open_bank(sys.argv[1], progress=progress, workers=2)
print("decoded", decoded, *bank.fingerprints.values(), flush=True)
"""


def test_all_broken_clips_are_named_together_and_the_others_are_kept(
    dataset: Make, decoded: list[str], record: Make
) -> None:
    root = dataset(machines=("fan", "pump"))
    good = {}
    for machine in ("fan", "pump"):
        path = sorted((root / "dev_data" / machine / "train").iterdir())[2]
        good[path] = path.read_bytes()
        path.write_bytes(good[path][:300])
    with pytest.raises(UnreadableClips) as raised:
        open_bank(root)
    assert all(str(path) in str(raised.value) for path in good)
    assert "truncated" in str(raised.value)
    decoded.clear()
    for path, content in good.items():
        path.write_bytes(content)
    bank = open_bank(root)
    assert decoded == [path.name for path in good]
    assert (len(bank), bank.verify()) == (28, [])


def test_the_next_process_completes_a_killed_build(
    dataset: Make, python: Callable[..., object], decoded: list[str]
) -> None:
    root = dataset(clips=300, suffix="flac")
    child = python(BUILD, root, 0.05)
    for line in child.stdout:  # type: ignore[attr-defined]
        if int(line.split()[1]) >= 64:
            break
    os.kill(child.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    child.wait()  # type: ignore[attr-defined]
    bank = open_bank(root)
    assert 0 < len(decoded) <= 302 - 64
    for i, path in enumerate(bank.frame["path"]):
        assert np.array_equal(bank.samples(i), soundfile.read(bank.table.root / path, dtype="int16")[0])


def test_what_a_killed_build_left_is_checked_before_it_is_used(dataset: Make, python: Callable[..., object]) -> None:
    root = dataset(clips=100)
    child = python(BUILD, root, 0.05)
    for line in child.stdout:  # type: ignore[attr-defined]
        if int(line.split()[1]) >= 64:
            break
    os.kill(child.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    child.wait()  # type: ignore[attr-defined]
    (part,) = Path(os.environ["ASD_RAY_CACHE"]).rglob(".*.part")
    with open(part / "samples.i16", "r+b") as samples:  # a machine that lost power: journal there, samples not
        samples.write(bytes(50_000))
    with open(part / "journal", "ab") as journal:
        journal.write(b"torn")
    bank = open_bank(root)
    for i, path in enumerate(bank.frame["path"]):
        assert np.array_equal(bank.samples(i), soundfile.read(bank.table.root / path, dtype="int16")[0])


def test_two_builders_at_once_share_the_work(dataset: Make, python: Callable[..., object]) -> None:
    root = dataset(clips=150, suffix="flac")
    both = [python(BUILD, root, 0.01) for _ in range(2)]
    ends = [child.communicate()[0].splitlines()[-1].split() for child in both]  # type: ignore[attr-defined]
    assert sorted(int(end[1]) for end in ends) == [0, 152]
    assert ends[0][2] == ends[1][2]


@pytest.mark.parametrize("left", [100, 0])
@pytest.mark.parametrize("damage", ["samples", "index", "about", "boot"])
def test_a_broken_bank_is_built_again(dataset: Make, damage: str, left: int) -> None:
    root = dataset()
    bank = open_bank(root)
    folder, fingerprints = bank.folder("fan"), bank.fingerprints
    del bank
    file = folder / {"samples": "samples.i16", "index": "records.npy", "about": "store.json", "boot": "boot"}[damage]
    file.write_bytes(file.read_bytes()[:left])
    assert open_bank(root).fingerprints == fingerprints


@pytest.mark.parametrize("journal", [bytes(range(256)) * 9, b"\xff" * 460, b"short"])
def test_a_damaged_journal_does_no_harm(dataset: Make, journal: bytes) -> None:
    root = dataset(clips=4)
    broken = next((root / "dev_data/fan/train").iterdir())
    good = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(UnreadableClips):
        open_bank(root)
    (part,) = Path(os.environ["ASD_RAY_CACHE"]).rglob(".*.part")
    (part / "journal").write_bytes(journal)
    broken.write_bytes(good)
    assert open_bank(root).verify() == []


def test_after_a_restart_the_samples_are_checked_once(dataset: Make, decoded: list[str]) -> None:
    root = dataset()
    bank = open_bank(root)
    folder, fingerprints = bank.folder("fan"), bank.fingerprints
    del bank
    node = (folder / "boot").read_text().split()[0]
    (folder / "boot").write_text(f"{node} an-earlier-boot")
    decoded.clear()
    assert open_bank(root).fingerprints == fingerprints
    assert decoded == []
    (folder / "boot").write_text(f"{node} an-earlier-boot")
    with open(folder / "samples.i16", "r+b") as file:
        file.write(bytes(1000))  # written, so the file has its length, but never reached the disk
    assert open_bank(root).verify() == []
    assert len(decoded) == 14


def test_verify_names_the_clip_whose_samples_changed(dataset: Make) -> None:
    bank = open_bank(dataset())
    path = bank.folder("fan") / "samples.i16"
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size - 10)
        file.write(b"rot")
    assert len(bank.verify()) == 1


def test_a_read_only_shared_bank_is_usable(open_folder: Path, dataset: Make, python: Callable[..., object]) -> None:
    shutil.copytree(dataset(), open_folder / "data")
    open_bank(open_folder / "data", cache=open_folder / "cache")
    for path in [*open_folder.rglob("*"), open_folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = (
        "import sys, asd_ray.clips.bank, pyarrow.parquet\n"
        + STEP_DOWN
        + "bank = asd_ray.clips.bank.open_bank(sys.argv[1], cache=sys.argv[2])\nprint(len(bank), bank.verify())\n"
    )
    out, error = python(code, open_folder / "data", open_folder / "cache").communicate()  # type: ignore[attr-defined]
    open_folder.chmod(0o755)
    assert (out.strip(), error) == ("14 []", "")


def test_a_cache_that_cannot_be_written_is_an_error_with_a_cure(
    open_folder: Path, dataset: Make, python: Callable[..., object]
) -> None:
    shutil.copytree(dataset(), open_folder / "data")
    (open_folder / "cache").mkdir(mode=0o555)
    code = (
        "import sys, asd_ray.clips.bank, pyarrow.parquet\n"
        + STEP_DOWN
        + "asd_ray.clips.bank.open_bank(sys.argv[1], cache=sys.argv[2])\n"
    )
    _, error = python(code, open_folder / "data", open_folder / "cache").communicate()  # type: ignore[attr-defined]
    assert "cannot write the bank" in error
    assert "--cache DIR or $ASD_RAY_CACHE" in error


def test_a_full_disk_is_reported_and_the_build_continues_later(dataset: Make, python: Callable[..., object]) -> None:
    root = dataset(clips=200)
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n" + BUILD
    _, error = python(limited, root, 0).communicate()  # type: ignore[attr-defined]
    assert "disk full while writing the bank" in error
    assert open_bank(root).verify() == []


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("changed", [False, True])
def test_a_store_of_another_resampler_counts_only_where_nothing_was_resampled(
    dataset: Make, rate: int, changed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Before soxr, torchaudio resampled; store.json did not say so."""
    root = dataset(clips=3)
    for path in root.rglob("*.wav"):
        soundfile.write(path, soundfile.read(path)[0], rate)
    bank = open_bank(root)
    folder = bank.folder("fan")
    about = json.loads((folder / "store.json").read_text())
    del about["decoder"]
    (folder / "store.json").write_text(json.dumps(about))
    if changed:  # the clips that stayed the same must not be taken over either
        next((root / "dev_data/fan/train").iterdir()).touch()
        caplog.clear()
    fingerprints = bank.fingerprints
    del bank  # else its store is in use and stays
    again = open_bank(root)
    assert again.fingerprints == fingerprints
    if not changed:
        assert ("decoder" in json.loads((folder / "store.json").read_text())) == (rate != 16_000)
    assert ("an earlier version resampled its clips in another way" in caplog.text) == (rate != 16_000)
    assert (again.rate_hint("fan") == "") == (rate == 16_000)
    assert "yet use soxr" in again.rate_hint("fan") or rate == 16_000
    assert [path.name for path in folder.parent.glob("fan-*")] == [again.folder("fan").name], "the old one is removed"


def test_what_an_earlier_version_left_unfinished_is_removed(dataset: Make) -> None:
    bank = open_bank(dataset(clips=3))
    folder = bank.folder("fan")
    left = _part(folder, Store(folder).known_as, 1)
    (left / "journal").parent.mkdir()
    left.with_suffix(".lock").touch()
    shutil.rmtree(folder)
    foreign = folder.with_name(".fan-16000-0-00000000.part")
    foreign.mkdir()
    open_bank(bank.table)
    assert not left.exists()
    assert foreign.is_dir()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["store.json", "records.npy", "boot"])
@pytest.mark.parametrize("strange", ["a FIFO", "huge"])
def test_a_bank_of_strange_files_is_built_again(dataset: Make, name: str, strange: str) -> None:
    root = dataset(clips=3)
    folder = open_bank(root).folder("fan")
    (folder / name).unlink()
    if strange == "a FIFO":
        os.mkfifo(folder / name)
    else:
        with open(folder / name, "wb") as file:
            file.truncate(2 << 30)
    with bounded(seconds=10, gib=1):
        assert open_bank(root).verify() == []


@pytest.mark.parametrize("rate", ["x", None, 0, 1.5])
def test_a_bank_with_an_invalid_rate_is_built_again(
    dataset: Make, rate: object, caplog: pytest.LogCaptureFixture
) -> None:
    root = dataset(clips=3)
    path = open_bank(root).folder("fan") / "store.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"rate": rate}))
    assert open_bank(root).verify() == []
    assert "store.json/rate must be a whole number" in caplog.text
    assert json.loads(path.read_text())["rate"] == 16_000
