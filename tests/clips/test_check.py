from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clips.check import CheckReport, check
from asd_ray.clips.scan import scan
from asd_ray.clips.summary import ClipCounts, machine_summaries

Make = Callable[..., Path]


def checked(root: Path, **options: object) -> CheckReport:
    return check(scan(root), **options)  # type: ignore[arg-type]


def messages(report: CheckReport, severity: str) -> list[str]:
    return [str(p) for p in report.problems if p.severity == severity]


def test_a_good_dataset_is_ok_and_counted(dataset: Make) -> None:
    report = checked(dataset(clips=5, machines=("fan", "pump")))
    assert report.ok
    assert messages(report, "error") == messages(report, "warning") == []
    rows = [cell.to_row() for cell in report.cells]
    counts = [
        [row[name] for name in ("machine", "id", "domain", "train", "test normal", "test anomaly")] for row in rows
    ]
    assert counts == [["fan", "00", "source", 5, 1, 1], ["pump", "00", "source", 5, 1, 1]]
    assert [[row[name] for name in ("seconds", "Hz", "ch")] for row in rows] == [["0.5", "16000", "1"]] * 2
    assert [(m.machine, m.ids, m.counts.train, m.seconds, m.unsearchable) for m in report.machines] == [
        ("fan", ("00",), 5, 3.5, ""),
        ("pump", ("00",), 5, 3.5, ""),
    ]


def test_machines_are_summarised_before_their_headers_are_read(tmp_path: Path, record: Make) -> None:
    table = scan(folder(tmp_path / "data", record, "fan/train/normal/a.wav", "pump/test/abnormal/b.wav"))
    fan, pump = machine_summaries(table)
    assert (fan.machine, fan.counts, fan.seconds) == ("fan", ClipCounts(1, 0, 0, 0, 0), None)
    assert fan.unsearchable == "", "it can be searched by normal sound alone"
    assert (pump.machine, pump.counts) == ("pump", ClipCounts(0, 0, 1, 0, 0))
    assert "it has no normal training clips" in pump.unsearchable


def test_all_problems_are_reported_together(dataset: Make, record: Make) -> None:
    root = dataset(clips=8)
    train = sorted((root / "dev_data/fan/train").iterdir())
    train[0].write_bytes(b"")
    train[1].write_bytes(train[1].read_bytes()[:500])
    soundfile.write(train[2], np.zeros(8000), 16_000)
    soundfile.write(train[3], np.sign(np.random.default_rng(0).normal(size=8000)), 16_000)
    record(train[4], seconds=0.2)
    record(train[5], rate=44_100, channels=2)
    (train[6].parent / "hello.wav").write_bytes(train[6].read_bytes())
    (train[6].parent / "hello.mp3").write_bytes(b"ID3")
    report = checked(root)
    errors, warnings, notes = (" ".join(messages(report, s)) for s in ("error", "warning", "note"))
    assert not report.ok
    assert f"{train[0].name}: the file is empty" in errors
    assert f"{train[1].name}: truncated" in errors
    assert f"{train[2].name}: silent" in warnings
    assert f"{train[3].name}: clipped: 100%" in warnings
    assert f"{train[4].name}: only 0.20 s where 0.5 s are usual" in warnings
    assert "hello.wav: left out: not named" in warnings
    assert "hello.mp3: left out: only wav and flac" in warnings
    assert "at 44100 Hz and are resampled" in notes
    assert "2 channels; channel 0 is used" in notes


def test_decoding_finds_what_a_header_hides(dataset: Make) -> None:
    root = dataset(clips=4, suffix="flac")
    path = sorted((root / "dev_data/fan/train").iterdir())[1]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert checked(root, decode=False).ok
    assert f"{path.name}: " in " ".join(messages(checked(root), "error"))


def folder(root: Path, record: Make, *names: str) -> Path:
    for i, name in enumerate(names):
        record(root / name, seed=i)
    return root


def test_a_dataset_that_no_search_can_use_says_why(tmp_path: Path, record: Make) -> None:
    report = checked(folder(tmp_path / "data", record, "abnormal/a.wav"))
    assert not report.ok
    assert "it has no normal training clips" in " ".join(messages(report, "warning"))
    assert "no machine can be searched" in " ".join(messages(report, "error"))


WITHOUT_LABELS = [
    (["normal/a.wav", "normal/b.wav"], "it has no test clips"),
    (["train/normal/a.wav", "test/normal/b.wav"], "its test clips include no anomalous one"),
    (["train/normal/a.wav", "test/abnormal/b.wav"], "its test clips include no normal one"),
    (["train/normal/a.wav", "id_01/test/abnormal/b.wav", "test/normal/c.wav"], "no id has normal and anomalous"),
]


@pytest.mark.parametrize(("names", "why"), WITHOUT_LABELS)
def test_a_machine_without_labels_is_searched_by_normal_sound_alone(
    tmp_path: Path, record: Make, names: list[str], why: str
) -> None:
    report = checked(folder(tmp_path / "data", record, *names))
    assert report.ok
    notes = " ".join(messages(report, "note"))
    assert "trials are compared by injected faults" in notes
    assert why in notes


def test_normal_sound_alone_is_no_mistake_to_correct(tmp_path: Path, record: Make) -> None:
    root = folder(tmp_path / "data", record, "press/normal/a.wav", "press/normal/b.wav")
    [note] = [text for text in messages(checked(root), "note") if "injected faults" in text]
    assert note == (
        "press: trials are compared by injected faults: it has no test clips; if you have recordings of faults, "
        "add them to measure detectors (abnormal/, or DCASE's test/ folder)"
    )


def test_an_evaluation_set_without_labels_does_not_stop_the_others(dataset: Make, record: Make) -> None:
    root = dataset(clips=3)
    record(root / "eval_data/Vacuum/train/section_00_source_train_normal_0001_.wav")
    record(root / "eval_data/Vacuum/test/section_00_0001.wav")
    report = checked(root)
    assert report.ok
    assert "Vacuum: trials are compared by injected faults: no test clip has a label; add the label list" in " ".join(
        messages(report, "note")
    )


def test_a_machine_that_loses_its_only_anomaly_to_a_broken_file_is_named(dataset: Make) -> None:
    root = dataset(clips=3)
    next((root / "dev_data/fan/test").glob("*anomaly*")).write_bytes(b"")
    assert "its test clips include no anomalous one" in " ".join(messages(checked(root), "note"))


def test_test_ids_without_training_clips_are_a_warning(tmp_path: Path, record: Make) -> None:
    names = ["fan/train/normal_id_00_00000000.wav", "fan/test/normal_id_00_00000001.wav"]
    names += ["fan/test/anomaly_id_00_00000000.wav", "fan/test/id_01_00000000.wav"]
    report = checked(folder(tmp_path / "data", record, *names))
    assert "test clips of id 01 have no training clips of that id" in " ".join(messages(report, "warning"))


def test_an_id_or_a_domain_that_cannot_be_scored_is_a_warning(tmp_path: Path, record: Make) -> None:
    names = ["fan/train/normal_id_00_00000000.wav", "fan/train/normal_id_02_00000000.wav"]
    names += ["fan/test/normal_id_00_00000001.wav", "fan/test/anomaly_id_00_00000000.wav"]
    names += ["fan/test/anomaly_id_02_00000000.wav"]
    report = checked(folder(tmp_path / "data", record, *names))
    assert "fan: id 02 has no normal test clip, so no score of its own" in " ".join(messages(report, "warning"))
    root = folder(
        tmp_path / "later",
        record,
        "fan/train/section_00_source_train_normal_0000_.wav",
        "fan/test/section_00_source_test_normal_0000_.wav",
        "fan/test/section_00_target_test_anomaly_0000_.wav",
    )
    assert "id 00 has no normal target test clip" in " ".join(messages(checked(root), "warning"))


def test_when_no_clip_can_be_read_the_machine_is_named(dataset: Make) -> None:
    root = dataset(clips=2)
    for path in root.rglob("*.wav"):
        path.write_bytes(b"")
    assert "fan: cannot be searched: none of its clips can be read" in " ".join(messages(checked(root), "warning"))
