from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from asd_ray.clips.layouts import layouts
from asd_ray.data import main
from asd_ray.search import main as search_main

Make = Callable[..., Path]

MORE = " --held-out 0.3"  # what a search of `dataset` needs, which has few labels and few normal clips


def test_check_prints_what_is_there(dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = dataset()
    assert main(["check", str(root)]) == 0
    out = capsys.readouterr().out
    assert "layout dcase2023" in out
    assert "fan" in out
    assert "14 readable clips (decoded to the end)" in out
    assert out.endswith(f"a search can run on this\nnext: asd-ray search fan --data {root}{MORE}\n")


def test_check_exits_1_where_a_search_could_not_run(dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = dataset()
    broken = next((root / "dev_data/fan/train").iterdir())
    broken.write_bytes(b"")
    assert main(["check", str(root)]) == 1
    out = capsys.readouterr().out
    assert f"error: dev_data/fan/train/{broken.name}: the file is empty (0 bytes); copy or download it again" in out
    assert "a search cannot run on this" in out
    assert "next:" not in out


def test_check_as_json_has_every_problem(dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = dataset(clips=40)
    for path in sorted((root / "dev_data/fan/train").iterdir())[:30]:
        path.write_bytes(b"")
    assert main(["check", str(root), "--json", "--headers"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["layout"], answer["year"], answer["clips"]) == (False, "dcase2023", 2023, 12)
    assert answer["severities"]["error"] == 30
    assert len([p for p in answer["problems"] if p["severity"] == "error" and p["cure"]]) == 30


def test_the_next_command_reads_the_dataset_in_the_same_way(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a press/train/normal/a.wav", *(f"pump/{place}/a.wav" for place in ("train/normal", "test/normal"))):
        record(tmp_path / "data" / name, channels=2)
    record(tmp_path / "data/pump/test/abnormal/b.wav", channels=2)
    options = ["--layout", "folders", "--split-seed", "2", "--rate", "8000", "--channel", "mean"]
    cache = ["--cache", str(tmp_path / "elsewhere")]
    assert main(["check", str(tmp_path / "data"), *options, *cache]) == 0
    command = " ".join(["asd-ray search pump --data", str(tmp_path / "data"), *options, *cache])
    assert capsys.readouterr().out.endswith(f"next: {command}\n"), "the other machine cannot be searched"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_check_writes_the_clip_table_with_the_drawn_split(tmp_path: Path, record: Make, suffix: str) -> None:
    for i in range(4):
        record(tmp_path / f"data/normal/{i}.wav", seed=i)
    record(tmp_path / "data/abnormal/0.wav", seed=9)
    table = tmp_path / f"clips.{suffix}"
    assert main(["check", str(tmp_path / "data"), "--table", str(table)]) == 0
    frame = pd.read_csv(table, dtype={"id": str}) if suffix == "csv" else pd.read_parquet(table)
    assert frame["split"].value_counts().to_dict() == {"train": 3, "test": 2}
    assert set(frame["id"]) == {"00"}


def test_bank_is_built_opened_and_verified(dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = dataset()
    assert main(["bank", str(root)]) == 0
    first = capsys.readouterr().out
    assert main(["bank", str(root), "--verify"]) == 0
    second = capsys.readouterr().out
    assert first.splitlines()[1] == second.splitlines()[1]  # machine, fingerprint, folder
    assert f"verified 14 clips, 0 broken\nnext: asd-ray search fan --data {root}{MORE}\n" in second
    assert os.environ["ASD_RAY_CACHE"] in second


def test_bank_names_all_broken_clips_and_exits_2(dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = dataset(machines=("fan", "pump"))
    for machine in ("fan", "pump"):
        next((root / "dev_data" / machine / "train").iterdir()).write_bytes(b"")
    assert main(["bank", str(root)]) == 2
    error = capsys.readouterr().err
    assert "2 clips of data cannot be used" in error
    assert "dev_data/fan/train" in error
    assert "dev_data/pump/train" in error


def test_bank_leaves_broken_clips_out_and_so_does_the_next_command(
    dataset: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    root = dataset()
    broken = next((root / "dev_data/fan/train").iterdir())
    broken.write_bytes(b"")
    assert main(["bank", str(root), "--skip-broken"]) == 0
    out = capsys.readouterr().out
    assert "13 clips of 1 machine" in out
    assert f"{broken.name}: left out: " in out
    assert out.endswith(f"next: asd-ray search fan --data {root} --skip-broken --held-out 0.4\n")


def test_check_names_what_a_search_would_leave_out(dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = dataset()
    broken = next((root / "dev_data/fan/train").iterdir())
    broken.write_bytes(b"")
    assert main(["check", str(root)]) == 1
    assert f"error: dev_data/fan/train/{broken.name}: " in capsys.readouterr().out
    assert main(["check", str(root), "--skip-broken"]) == 0
    out = capsys.readouterr().out
    assert f"warning: dev_data/fan/train/{broken.name}: left out: " in out
    assert "13 readable clips" in out
    assert out.endswith(
        f"a search can run on this\nnext: asd-ray search fan --data {root} --skip-broken --held-out 0.4\n"
    )
    for clip in (root / "dev_data/fan").rglob("*.wav"):
        clip.write_bytes(b"")
    assert main(["check", str(root), "--skip-broken"]) == 1, "nothing is left"
    assert capsys.readouterr().out.endswith("a search cannot run on this: fix the errors above\n")


@pytest.mark.parametrize(("faults", "option"), [(2, " --held-out 0.2"), (6, "")])
def test_the_next_command_holds_out_enough_of_a_machine_with_few_labels(
    faults: int, option: str, tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    for split, label, count in (("train", "normal", 20), ("test", "normal", 6), ("test", "anomaly", faults)):
        for number in range(count):
            name = f"section_00_source_{split}_{label}_{number:04d}_vel_1.wav"
            record(root / "dev_data/fan" / split / name, seed=100 * len(split) + 10 * len(label) + number)
    assert main(["check", str(root)]) == 0
    assert capsys.readouterr().out.endswith(f"next: asd-ray search fan --data {root}{option}\n")


@pytest.mark.parametrize(
    ("clips", "last"),
    [
        (60, "next: asd-ray search press --data {}"),
        (20, "next: asd-ray search press --data {} --held-out 0.2"),
        (6, "press: a search by normal sound alone needs more clips, since it holds some out of training"),
    ],
)
def test_the_next_command_holds_out_enough_of_few_normal_clips(
    clips: int, last: str, tmp_path: Path, record: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(clips):
        record(tmp_path / "data" / "press" / "normal" / f"{number:02d}.wav", seconds=2.0, seed=number)
    assert main(["check", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last.format(tmp_path / "data")
    if last.startswith("next: "):
        words = shlex.split(last.format(tmp_path / "data"))[3:]
        run = ["--run", str(tmp_path / "run"), "--families", "twfr_gmm", "--trials", "1", "--serial"]
        assert search_main([*words, *run]) == 0


def test_the_demo_set_goes_through_the_same_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", str(folder), "--size", "tiny", "--machine", "fan"]) == 0
    out = capsys.readouterr().out
    assert f"asd-ray data check {folder}" in out
    assert out.endswith(f"next: asd-ray search fan --data {folder}\n")
    assert main(["check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "layout dcase2022" in out
    assert "warning" not in out
    assert main(["bank", str(folder)]) == 0


def test_a_demo_set_with_supplemental_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    words = ["demo", str(folder), "--size", "tiny", "--machine", "valve", "--seconds", "1", "--supplemental"]
    assert main(words) == main(words) == 0
    capsys.readouterr()
    assert main(["check", str(folder), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["layout"], answer["clips"]) == (True, "dcase2022", 156)
    assert sum(cell["supplemental"] for cell in answer["cells"]) == 32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "{data}", "--layout", "dcase20222"], "unknown layout 'dcase20222'; did you mean 'dcase2022'?"),
        (["check", "{data}", "--machine", "fam"], "unknown machine 'fam'; did you mean 'fan'?"),
        (["check", "{data}", "--channel", "left"], "channel must be a number from 0, 'mean' or 'all', but got 'left'"),
        (["check", "{data}", "--table", "clips.xlsx"], "a clip table is written as .csv or .parquet"),
        (["check", "{data}", "--table", "no/such/clips.csv"], "its folder does not exist"),
        (["check", "{data}", "--machine", "fam", "--debug"], "Traceback"),
    ],
)
def test_a_wrong_option_is_answered_with_the_cure(
    dataset: Make, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    root = dataset(clips=2)
    assert main([word.format(data=root) for word in words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--rate", "0"], ["--rate", "-5"], ["--workers", "-1"], ["--workers", "two"]])
@pytest.mark.parametrize("action", ["check", "bank"])
def test_a_count_below_1_is_refused(capsys: pytest.CaptureFixture[str], action: str, words: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([action, "data", *words])
    assert raised.value.code == 2
    assert "must be a whole number from 1" in capsys.readouterr().err


def test_bank_prints_what_was_left_out_and_how_the_split_was_drawn(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("normal/a.wav", "normal/b.wav", "abnormal/c.wav", "other/x.wav"):
        record(tmp_path / "data" / name)
    assert main(["bank", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    assert "other/x.wav: left out" in out
    assert "one was drawn (seed 0)" in out


def test_a_piped_table_cuts_no_words(tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]) -> None:
    machine = "BlowerDustCollectorOfTheSecondFloor"
    record(tmp_path / f"data/{machine}/train/section_00_source_train_normal_0000_.wav")
    assert main(["check", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    assert machine in out
    assert "16000" in out


def test_the_help_names_every_layout(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert f"--layout NAME {', '.join(layouts())} (default: detected)" in out
