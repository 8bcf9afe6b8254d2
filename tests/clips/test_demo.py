from __future__ import annotations

import csv
import errno
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from sklearn.metrics import roc_auc_score

import asd_ray
from asd_ray.clips.demo import cached_demo, make_demo
from asd_ray.clips.demo._job import MARKER, UNFINISHED
from asd_ray.clips.demo.machines import DOMAINS, IDS, MACHINES, record
from asd_ray.clips.demo.plan import SIZES, DemoClip, DemoSize, planned
from asd_ray.clips.demo.sound import HEALTHY, RATE, Fault, rms
from asd_ray.clips.scan import scan
from asd_ray.errors import AsdRayError

SECONDS = 1.5
NAME = re.compile(
    r"section_0(?P<unit>[0-3])_(?P<domain>source|target)_(?P<split>train|test)_(?P<label>normal|anomaly)"
    r"_(?P<index>\d{4})(?P<attributes>(_[A-Za-z0-9-]+_[A-Za-z0-9-]+)+)\.wav"
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("demo") / "whole", size="tiny", seconds=SECONDS)


@pytest.fixture(scope="module")
def valve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "valve"
    return make_demo(folder, size="tiny", machines=["valve"], seconds=1.0)


def test_names_and_attribute_tables_are_those_of_dcase_2022(whole: Path) -> None:
    data = whole / "dev_data"
    assert sorted(path.name for path in data.iterdir()) == sorted(MACHINES)
    seen = 0
    for machine in MACHINES:
        listed = []
        for unit in range(IDS):
            with open(data / machine / f"attributes_{unit:02d}.csv", newline="") as file:
                header, *rows = csv.reader(file)
            assert header == ["file_name", "d1p", "d1v", "d2p", "d2v"]
            for name, *pairs in rows:
                match = NAME.fullmatch(Path(name).name)
                assert match
                assert match["unit"] == str(unit)
                assert name.split("/")[:2] == [machine, match["split"]]
                assert match["attributes"] == "_" + "_".join(pairs)
            listed += [name for name, *_ in rows]
        on_disk = [str(path.relative_to(data)) for path in (data / machine).rglob("*.wav")]
        assert sorted(listed) == sorted(on_disk)
        seen += len(on_disk)
        kinds = MACHINES[machine].faults
        assert not [
            name for name in on_disk for kind in kinds if kind in name
        ]  # the name does not give the answer away
    assert seen == 620


def test_the_set_is_the_same_as_in_earlier_versions(whole: Path) -> None:
    """Ledgers hold fingerprints of the demo set: another sound would make all their trials trials of other data."""
    digest = hashlib.sha256()
    for name, content in sorted(contents(whole).items()):
        digest.update(name.encode() + content)
    assert digest.hexdigest() == "e319ba7b768acf742070ca00bd4f7fbd46e62241846e4d770732fc029f985058"


def test_domains_differ_in_their_attributes() -> None:
    for machine in MACHINES.values():
        source, target = ({condition.attributes for condition in machine.conditions(domain)} for domain in DOMAINS)
        assert source
        assert target
        assert not source & target


@pytest.mark.parametrize(("size", "clips"), [("tiny", 31), ("small", 98), ("medium", 300), ("full", 1200)])
def test_size_is_the_number_of_clips_of_an_id(size: str, clips: int) -> None:
    plan = list(planned(SIZES[size], "fan"))
    assert Counter(clip.unit for clip in plan) == dict.fromkeys(range(IDS), clips)
    cells = Counter((clip.domain, clip.label) for clip in plan if clip.unit == 0 and clip.split == "test")
    assert set(cells.values()) == {SIZES[size].test_per_cell}
    assert len(cells) == 4
    assert len({clip.name for clip in plan}) == len(plan)


def test_a_smaller_size_is_the_beginning_of_a_larger_one() -> None:
    assert set(planned(SIZES["tiny"], "pump")) < set(planned(SIZES["small"], "pump"))


def test_a_subset_of_machines_equals_the_whole_byte_for_byte(whole: Path, tmp_path: Path) -> None:
    part = contents(make_demo(tmp_path / "part", size="tiny", machines=["slider"], seconds=SECONDS) / "dev_data")
    all_of_it = contents(whole / "dev_data")
    assert len(part) == 128
    assert part == {name: content for name, content in all_of_it.items() if name.startswith("slider")}


def test_hidden_labels_leave_the_sound_as_it_is(valve: Path, tmp_path: Path) -> None:
    hidden = make_demo(tmp_path / "hidden", size="tiny", machines=["valve"], seconds=1.0, hide_labels=True)
    assert make_demo(hidden, size="tiny", machines=["valve"], seconds=1.0, hide_labels=True) == hidden  # complete
    by_name = {name.rpartition("/")[2]: content for name, content in contents(hidden).items() if ".wav" in name}
    shown = contents(valve)
    for clip in planned(SIZES["tiny"], "valve"):
        assert by_name[clip.hidden_name] == shown[f"dev_data/valve/{clip.split}/{clip.name}"]
    frame = scan(hidden).frame
    assert len(frame) == len(by_name) == 124
    assert set(frame["id"]) == {"00"}
    assert set(frame["attributes"]) == {"{}"}
    assert set(frame["domain"]) == {*DOMAINS}
    with pytest.raises(AsdRayError, match="holds a demo set with other settings"):
        make_demo(hidden, size="tiny", machines=["valve"], seconds=1.0)
    grown = make_demo(hidden, size="tiny", machines=["fan"], seconds=1.0, hide_labels=True, grow=True)
    assert set(scan(grown).frame["machine"]) == {"valve", "fan"}


def test_no_two_clips_are_the_same_and_another_seed_gives_others(valve: Path, tmp_path: Path) -> None:
    other = make_demo(tmp_path / "other", size="tiny", machines=["valve"], seconds=1.0, seed=1)
    waves = [
        content for folder in (valve, other) for name, content in contents(folder).items() if name.endswith(".wav")
    ]
    assert len(set(waves)) == len(waves) == 248


def test_sound_is_16_khz_mono_16_bit_without_clipping_dc_or_silence(whole: Path) -> None:
    levels = {machine: [] for machine in MACHINES}
    for path in whole.rglob("*.wav"):
        info = sf.info(path)
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (RATE, 1, "PCM_16", 24000)
        samples = sf.read(path)[0]
        assert np.max(np.abs(samples)) < 0.98, path
        assert abs(np.mean(samples)) < 1e-4, path
        levels[path.parts[-3]].append(20 * np.log10(rms(samples)))
    for machine, decibels in levels.items():
        assert -31 < np.mean(decibels) < -23, machine
        assert min(decibels) > -40, machine


def test_stated_level_of_a_machine_is_its_recipes_level() -> None:
    """So that the stated signal-to-noise ratio holds."""
    for machine in MACHINES.values():
        levels = [
            rms(machine.recipe(np.random.default_rng(unit), unit, condition, 4 * RATE, HEALTHY))
            for unit in range(IDS)
            for condition in machine.source
        ]
        assert 20 * np.log10(np.mean(levels) / machine.rms) == pytest.approx(0, abs=1), machine.name


FAULTS = [(machine.name, kind) for machine in MACHINES.values() for kind in machine.faults]


def test_every_machine_has_several_kinds_of_fault() -> None:
    assert all(len(machine.faults) >= 3 for machine in MACHINES.values())
    assert len(FAULTS) == 25


@pytest.mark.parametrize(("name", "kind"), FAULTS)
def test_each_fault_is_audible_and_grows_with_severity(name: str, kind: str) -> None:
    machine = MACHINES[name]

    def sound(fault: Fault) -> Any:
        return machine.recipe(np.random.default_rng(3), 1, machine.source[0], 3 * RATE, fault)

    healthy = sound(HEALTHY)
    faint, plain = (rms(sound(Fault(kind, severity)) - healthy) for severity in (0.05, 1.0))
    assert faint > 0
    assert plain > 0.03 * rms(healthy)
    assert plain >= 0.9 * faint  # a small fault in time or pitch already changes the wave completely


def test_anomalies_have_all_kinds_and_all_severities() -> None:
    faults = [clip.fault(0) for clip in planned(SIZES["medium"], "fan") if clip.label == "anomaly"]
    assert {fault.kind for fault in faults} == set(MACHINES["fan"].faults)
    assert np.ptp([fault.severity for fault in faults]) > 0.9


def spectrum(path: Path) -> Any:
    """Mean power in 40 bands, dB."""
    power = np.abs(np.fft.rfft(sf.read(path)[0])) ** 2
    edges = np.unique(np.geomspace(40, len(power), 41).astype(int))
    return 10 * np.log10(np.add.reduceat(power, edges[:-1]) / np.diff(edges))


def test_a_simple_detector_is_neither_useless_nor_perfect(whole: Path) -> None:
    aucs = []
    for machine in MACHINES:
        for unit in range(IDS):
            clips = [clip for clip in planned(SIZES["tiny"], machine) if clip.unit == unit]
            spectra = np.stack([spectrum(whole / "dev_data" / machine / clip.split / clip.name) for clip in clips])
            train = spectra[[clip.split == "train" for clip in clips]]
            test = spectra[[clip.split == "test" for clip in clips]]
            nearest = np.min(np.linalg.norm(test[:, None] - train[None], axis=2), axis=1)
            truth = [clip.label == "anomaly" for clip in clips if clip.split == "test"]
            aucs.append(roc_auc_score(truth, nearest))
    assert 0.53 < np.mean(aucs) < 0.9


def test_a_detector_that_knows_the_fault_finds_it() -> None:
    """Hiss of a leaking pump, by its share of the power between 3.5 and 6.5 kHz."""

    def share(fault: Fault, seed: int) -> float:
        machine = MACHINES["pump"]
        samples = record(machine, seed % IDS, machine.source[seed % 3], RATE, fault, np.random.default_rng(seed))
        power = np.abs(np.fft.rfft(samples)) ** 2
        return float(power[3500:6500].sum() / power.sum())

    leaking = [share(Fault("leak", 1.0), seed) for seed in range(20)]
    healthy = [share(HEALTHY, seed) for seed in range(20, 40)]
    assert roc_auc_score([1] * 20 + [0] * 20, leaking + healthy) > 0.9


def test_a_complete_set_is_not_changed(valve: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in valve.rglob("*")}
    calls: list[int] = []
    again = make_demo(
        valve, size="tiny", machines=["valve"], seconds=1.0, progress=lambda done, total: calls.append(done)
    )
    assert again == valve
    assert not calls
    assert {path: path.stat().st_mtime_ns for path in valve.rglob("*")} == before


def test_the_cached_demo_set_grows_by_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "small", DemoSize(1, 1, 1, 1.0))
    folder = cached_demo(["valve"], cache=tmp_path)
    valve = contents(folder / "dev_data")
    assert (folder, len(valve)) == (tmp_path / "demo", IDS * (2 + 4 + 1))
    assert cached_demo(["fan"], cache=tmp_path) == folder
    both = contents(folder / "dev_data")
    assert both.items() > valve.items()
    assert len(both) == 2 * len(valve)


def test_progress_counts_every_clip(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    make_demo(tmp_path / "set", size="tiny", machines=["valve"], seconds=1.0, progress=lambda *call: calls.append(call))
    assert calls == [(done, 124) for done in range(1, 125)]


def test_the_next_call_completes_what_a_killed_call_left(valve: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    code = (
        "import os, signal, sys; from asd_ray.clips.demo import make_demo; "
        "die = lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done == 20 else None; "
        "make_demo(sys.argv[1], size='tiny', machines=['valve'], seconds=1.0, progress=die)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(asd_ray.__file__).parents[1])}
    child = subprocess.run([sys.executable, "-c", code, str(folder)], env=environment)
    assert child.returncode == -signal.SIGKILL
    assert 20 <= len(list(folder.rglob("*.wav"))) < 124
    assert not (folder / MARKER).exists()
    half = folder / "dev_data" / "valve" / "train" / f".{next(planned(SIZES['tiny'], 'valve')).name}.1-1.part"
    half.write_bytes(b"RIFF")  # what a kill in mid-write leaves
    (folder / f".{MARKER}.1-1.part").write_bytes(b"{")

    make_demo(folder, size="tiny", machines=["valve"], seconds=1.0)
    assert contents(folder) == contents(valve)


def test_other_settings_are_refused_in_a_finished_and_in_an_unfinished_folder(valve: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "set"
    shutil.copytree(valve, unfinished)
    (unfinished / MARKER).rename(unfinished / UNFINISHED)
    for folder in (valve, unfinished):
        before = contents(folder)
        with pytest.raises(AsdRayError, match=r"holds a demo set with other settings .*choose another folder"):
            make_demo(folder, size="tiny", machines=["valve"], seconds=1.0, seed=7)
        assert contents(folder) == before


@pytest.mark.parametrize("started", [False, True])
def test_a_folder_with_foreign_files_is_refused_and_kept(valve: Path, tmp_path: Path, started: bool) -> None:
    folder = tmp_path / "set"
    if started:
        shutil.copytree(valve, folder)
        (folder / MARKER).rename(folder / UNFINISHED)
    foreign = folder / "dev_data" / "valve" / "train" / "mine.wav"
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_bytes(b"precious")
    before = contents(folder)
    with pytest.raises(AsdRayError, match=r"no file is ever overwritten; choose an empty or new folder:\n.*mine\.wav"):
        make_demo(folder, size="tiny", machines=["valve"], seconds=1.0)
    assert contents(folder) == before


def test_a_file_of_our_name_in_a_folder_not_ours_is_foreign(tmp_path: Path) -> None:
    clip = DemoClip("valve", 0, "train", "source", "normal", 0)
    real = tmp_path / "dev_data" / "valve" / "train" / clip.name
    real.parent.mkdir(parents=True)
    real.write_bytes(b"a recording")
    with pytest.raises(AsdRayError, match="do not belong to this demo set"):
        make_demo(tmp_path, size="tiny", machines=["valve"], seconds=1.0)
    assert real.read_bytes() == b"a recording"


def test_too_little_disk_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(AsdRayError, match=r"set is too full .*3,973,456 bytes"):
        make_demo(tmp_path / "set", size="tiny", machines=["valve"], seconds=1.0)
    assert contents(tmp_path) == {}


def test_a_disk_that_fills_up_is_reported_and_the_next_call_completes_the_set(
    valve: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "_0003_" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(path, content)

    folder = tmp_path / "set"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(AsdRayError, match=r"set is too full .*bytes are still needed"):
            make_demo(folder, size="tiny", machines=["valve"], seconds=1.0)
    assert not (folder / MARKER).exists()
    make_demo(folder, size="tiny", machines=["valve"], seconds=1.0)
    assert contents(folder) == contents(valve)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": "smal"}, "unknown demo size 'smal'; did you mean 'small'"),
        ({"machines": ["fna"]}, "unknown demo machine 'fna'; did you mean 'fan'"),
        ({"machines": []}, "machines is empty"),
        ({"seed": -1}, "seed must be 0 or more but got -1"),
        ({"seconds": 0.2}, "seconds must be between 1 and 60 but got 0.2"),
        ({"seconds": float("nan")}, "seconds must be between 1 and 60 but got nan"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        make_demo(tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file")
    with pytest.raises(AsdRayError, match=r"cannot write the demo set to .*set"):
        make_demo(tmp_path / "set", size="tiny")
