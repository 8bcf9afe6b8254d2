from __future__ import annotations

import json
from pathlib import Path

import pytest

from asd_ray.clips.layouts import layouts
from asd_ray.clips.layouts._base import draw_split
from asd_ray.clips.layouts.mimii import snr_of
from asd_ray.clips.scan import scan
from asd_ray.errors import AsdRayError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


S, T = "source", "target"
# layout, path, (machine, id, domain, split, label, attributes)
NAMES = [
    ("dcase2020", "fan/train/normal_id_00_00000000.wav", ("fan", "00", "", "train", "normal", {})),
    ("dcase2020", "dev_data/ToyCar/test/anomaly_id_01_00000042.wav", ("ToyCar", "01", "", "test", "anomaly", {})),
    ("dcase2020", "eval_data/ToyCar/test/id_05_00000042.wav", ("ToyCar", "05", "", "test", "unknown", {})),
    ("dcase2020", "eval_train/fan/train/normal_id_05_00000042.wav", ("fan", "05", "", "train", "normal", {})),
    (
        "dcase2021",
        "dev_data/fan/train/section_00_source_train_normal_0000_strength_1_ambient.wav",
        ("fan", "00", S, "train", "normal", {"tail": "strength_1_ambient"}),  # no pairs: kept whole
    ),
    (
        "dcase2021",
        "fan/train/section_01_target_train_normal_0002_m-n_W.wav",
        ("fan", "01", T, "train", "normal", {"m-n": "W"}),
    ),
    (
        "dcase2021",
        "fan/source_test/section_00_source_test_normal_0000.wav",
        ("fan", "00", S, "test", "normal", {}),
    ),
    (
        "dcase2021",
        "fan/target_test/section_00_target_test_anomaly_0099.wav",
        ("fan", "00", T, "test", "anomaly", {}),
    ),
    (
        "dcase2021",
        "eval_data/fan/source_test/section_03_source_test_0000.wav",
        ("fan", "03", S, "test", "unknown", {}),
    ),
    (
        "dcase2022",
        "dev_data/bearing/train/section_00_source_train_normal_0000_vel_21.wav",
        ("bearing", "00", S, "train", "normal", {"vel": "21"}),
    ),
    (
        "dcase2022",
        "dev_data/valve/test/section_02_target_test_anomaly_0007_v1pat_05_v2pat_a-b.wav",
        ("valve", "02", T, "test", "anomaly", {"v1pat": "05", "v2pat": "a-b"}),
    ),
    ("dcase2022", "eval_data/fan/test/section_03_0000.wav", ("fan", "03", "", "test", "unknown", {})),
    ("dcase2022", "eval_data/fan/test/section_03_test_0000.wav", ("fan", "03", "", "test", "unknown", {})),
    (
        "dcase2023",
        "dcase2023t2/dev_data/raw/ToyCar/train/section_00_source_train_normal_0042_car_B1_spd_31V_mic_1.flac",
        ("ToyCar", "00", S, "train", "normal", {"car": "B1", "spd": "31V", "mic": "1"}),
    ),
    (
        "dcase2024",
        "dev_data/gearbox/train/section_00_source_train_normal_0001_noAttribute.wav",
        ("gearbox", "00", S, "train", "normal", {}),
    ),
    (
        "dcase2024",
        "eval_data/3DPrinter/train_r2/section_00_source_train_normal_0001_x_1.wav",
        ("3DPrinter", "00", S, "train", "normal", {"x": "1"}),
    ),
    (
        "dcase2025",
        "eval_data/AutoTrash/train/section_00_target_train_normal_0001_.wav",
        ("AutoTrash", "00", T, "train", "normal", {}),
    ),
    ("dcase2025", "eval_data/AutoTrash/test/section_00_0001_.wav", ("AutoTrash", "00", "", "test", "unknown", {})),
    (
        "dcase2025",
        "eval_data/AutoTrash/supplemental/section_00_machine_0001_.wav",
        ("AutoTrash", "00", "", "supplemental", "normal", {"supplemental": "machine"}),
    ),
    (
        "dcase2025",
        "dev_data/fan/supplemental/section_00_noise_0100_.wav",
        ("fan", "00", "", "supplemental", "unknown", {"supplemental": "noise"}),
    ),
    (
        "dcase2025",
        "dev_data/fan/supplemental/section_00_source_supplemental_noise_0100_m_1.wav",
        ("fan", "00", "", "supplemental", "unknown", {"supplemental": "noise", "m": "1"}),
    ),
    (
        "dcase2025",
        "dev_data/fan/supplemental/section_00_machine_clean_0001_.wav",
        ("fan", "00", "", "supplemental", "normal", {"supplemental": "machine"}),
    ),
    (
        "dcase2026",
        "dev_data/ToyCarEmu/train/section_00_source_train_normal_0000_.wav",
        ("ToyCarEmu", "00", S, "train", "normal", {}),
    ),
    ("mimii", "fan/id_00/normal/00000000.wav", ("fan", "00", "", "train", "normal", {})),
    ("mimii", "fan/id_06/abnormal/00000000.wav", ("fan", "06", "", "test", "anomaly", {})),
    (
        "mimii",
        "-6_dB_fan/fan/id_00/abnormal/00000000.wav",
        ("fan_-6dB", "00", "", "test", "anomaly", {"snr": "-6dB"}),
    ),
    ("mimii", "pump/6dB/id_00/abnormal/00000000.wav", ("pump_6dB", "00", "", "test", "anomaly", {"snr": "6dB"})),
    ("mimii", "6dB/pump/id_00/abnormal/00000000.wav", ("pump_6dB", "00", "", "test", "anomaly", {"snr": "6dB"})),
    ("folders", "normal/a.wav", ("data", "00", "", "train", "normal", {})),
    ("folders", "press/abnormal/b c.flac", ("press", "00", "", "test", "anomaly", {})),
    ("folders", "press/unit_7/normal/a.wav", ("press", "07", "", "train", "normal", {})),
    ("folders", "press/left/normal/a.wav", ("press", "left", "", "train", "normal", {})),
    ("folders", "press/id_1/test/anomaly/a.wav", ("press", "01", "", "test", "anomaly", {})),
    ("folders", "press/train/normal/a.WAV", ("press", "00", "", "train", "normal", {})),
]


@pytest.mark.parametrize(("layout", "path", "expected"), NAMES, ids=[f"{n[0]}:{n[1]}" for n in NAMES])
def test_a_name_tells_the_clip(tmp_path: Path, layout: str, path: str, expected: tuple[object, ...]) -> None:
    table = scan(touch(tmp_path / "data", path), layout=layout)
    row = table.frame.iloc[0]
    assert (*row[["machine", "id", "domain", "split", "label"]], json.loads(row["attributes"])) == expected
    assert row["path"] == path


def test_every_layout_that_we_ship_is_tried_above() -> None:
    assert {layout for layout, _, _ in NAMES} == set(layouts())
    assert len(layouts()) == 9


WRONG = [
    ("dcase2020", "fan/train/id_00_00000000.wav"),  # training clips are labelled
    ("dcase2020", "fan/other/normal_id_00_00000000.wav"),
    ("dcase2021", "fan/source_test/section_00_target_test_normal_0000.wav"),
    ("dcase2022", "fan/train/section_00_source_test_normal_0000_.wav"),
    ("dcase2022", "fan/train/section_00_source_train_anomaly_0000_.wav"),
    ("dcase2022", "fan/test/section_0_source_test_normal_0000.wav"),
    ("dcase2025", "fan/supplemental/section_00_source_train_normal_0000_.wav"),
    ("folders", "press/train/abnormal/a.wav"),
]


@pytest.mark.parametrize(("layout", "path"), WRONG)
def test_a_misnamed_file_is_left_out_and_named(tmp_path: Path, layout: str, path: str) -> None:
    good = layouts()[layout].expected if layout != "folders" else "press/normal/ok.wav"
    table = scan(touch(tmp_path / "data", path, good), layout=layout)
    assert len(table) == 1
    assert [p.path for p in table.problems if "left out" in p.rule] == [path]


DETECTED = [
    ("dcase2020", ["dev_data/fan/train/normal_id_00_00000000.wav"]),
    ("dcase2021", ["fan/source_test/section_00_source_test_normal_0000.wav"]),
    ("dcase2021", ["pump/train/section_00_source_train_normal_0000_x.wav"]),
    ("dcase2022", ["fan/train/section_01_source_train_normal_0000_m-n_W.wav"]),
    ("dcase2023", ["fan/train/section_00_source_train_normal_0000_m-n_W.wav"]),
    ("dcase2023", ["Vacuum/train/section_00_source_train_normal_0000_.wav"]),
    ("dcase2024", ["dcase2024t2/dev_data/raw/fan/train/section_00_source_train_normal_0000_m-n_W.wav"]),
    ("dcase2024", ["ToothBrush/test/section_00_0001.wav", "Scanner/test/section_00_0001.wav"]),
    ("dcase2024", ["gearbox/train/section_00_source_train_normal_0001_noAttribute.wav"]),
    ("dcase2021", ["dcase2022/fan/source_test/section_00_source_test_normal_0000.wav"]),
    ("dcase2022", ["dcase2021/fan/test/section_01_source_test_normal_0000.wav"]),
    ("dcase2023", ["dcase2019/dcase2020_work/fan/test/section_00_source_test_normal_0000.wav"]),
    ("dcase2024", ["fan/test/section_00_0001.wav", "eval_data_list_2024.csv"]),
    ("dcase2023", ["ToyDrone/test/section_00_0001.wav"]),
    ("dcase2026", ["ToyDrone/test/section_00_0001.wav", "SewingMachine/test/section_00_0001.wav"]),
    ("dcase2025", ["bearing/train/section_00_source_train_normal_0001_noAttribute.wav"]),
    ("dcase2025", ["fan/supplemental/section_00_machine_0001_.wav"]),
    ("dcase2026", ["sliderEmu/train/section_00_source_train_normal_0001_.wav"]),
    ("mimii", ["0_dB_fan/fan/id_00/normal/00000000.wav"]),
    ("folders", ["normal/a.wav", "abnormal/b.wav"]),
]


@pytest.mark.parametrize(("layout", "paths"), DETECTED, ids=[f"{d[0]}:{d[1][0]}" for d in DETECTED])
def test_the_layout_is_detected(tmp_path: Path, layout: str, paths: list[str]) -> None:
    assert scan(touch(tmp_path / "data", *paths)).layout == layout


def test_a_year_that_the_files_do_not_show_is_noted(tmp_path: Path) -> None:
    table = scan(touch(tmp_path / "data", "fan/train/section_00_source_train_normal_0000_m-n_W.wav"))
    assert "--layout dcase2024" in next(p.cure for p in table.problems if "do not tell" in p.rule)


BAD_ROOTS = [
    ([], "no wav or flac file"),
    (["fan/train/a.mp3"], "ffmpeg -i a.mp3 a.flac"),
    (["fan/train/hello.wav"], "none named as a layout that we know"),
    (["fan/train/section_zero.wav"], "read as dcase2023, but none of 1 audio files is named"),
    (
        ["a/fan/train/normal_id_00_00000000.wav", "b/fan/train/section_00_source_train_normal_0000_.wav"],
        "give the folder of one dataset",
    ),
    (
        [
            "dcase2023t2/fan/train/section_00_source_train_normal_0000_.wav",
            "dcase2024t2/fan/train/section_00_source_train_normal_0000_.wav",
        ],
        "give one year's folder",
    ),
    (
        ["a/fan/train/normal_id_00_00000000.wav", "b/fan/train/normal_id_00_00000000.flac"],
        "twice under the same machine",
    ),
]


@pytest.mark.parametrize(("paths", "message"), BAD_ROOTS)
def test_a_folder_that_cannot_be_read_says_why(tmp_path: Path, paths: list[str], message: str) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(AsdRayError, match=message):
        scan(touch(tmp_path / "data", *paths))


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_path_that_is_no_folder_says_so(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / "data").write_bytes(b"zip")
    with pytest.raises(AsdRayError, match="give the folder that holds the dataset"):
        scan(tmp_path / "data")


def test_unknown_names_come_with_a_guess(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", "fan/train/normal_id_00_00000000.wav")
    with pytest.raises(AsdRayError, match="unknown layout 'dcase202'; did you mean 'dcase202"):
        scan(root, layout="dcase202")
    with pytest.raises(AsdRayError, match="unknown machine 'fam'; did you mean 'fan'"):
        scan(root, machines=["fam"])
    with pytest.raises(AsdRayError, match="no file is named as --layout mimii expects"):
        scan(root, layout="mimii")


def test_hidden_files_and_links_in_circles_are_passed_over(tmp_path: Path) -> None:
    good = "fan/train/normal_id_00_00000000.wav"
    root = touch(tmp_path / "data", good, "fan/train/._normal_id_00_00000001.wav", "__MACOSX/fan/train/x.wav")
    (root / "fan" / "again").symlink_to(root)
    table = scan(root)
    assert table.frame["path"].tolist() == [good]
    assert not [p for p in table.problems if "left out" in p.rule]


def test_a_revised_training_folder_replaces_the_old_one(tmp_path: Path) -> None:
    name = "section_00_source_train_normal_0001_x_1.wav"
    root = touch(tmp_path / "data", f"RoboticArm/train/{name}", f"RoboticArm/train_r2/{name}")
    table = scan(root)
    assert table.frame["path"].tolist() == [f"RoboticArm/train_r2/{name}"]
    assert "train_r2/ is its revision" in str(table.problems[0])


def test_the_drawn_split_is_seeded_stable_and_balanced(tmp_path: Path) -> None:
    paths = [f"fan/id_00/normal/{i:08d}.wav" for i in range(50)] + [
        f"fan/id_00/abnormal/{i:08d}.wav" for i in range(20)
    ]
    root = touch(tmp_path / "data", *paths)
    first, again, other = scan(root), scan(root), scan(root, split_seed=1)
    test = first.frame[first.frame["split"] == "test"]
    assert test["label"].value_counts().to_dict() == {"anomaly": 20, "normal": 20}
    assert first.frame.equals(again.frame)
    assert set(test["path"]) != set(other.frame.loc[other.frame["split"] == "test", "path"])
    assert (first.split_seed, other.split_seed) == (0, 1)


@pytest.mark.parametrize(("normals", "anomalies", "tested"), [(10, 3, 3), (10, 9, 5), (1, 4, 0), (4, 0, 0)])
def test_at_most_half_of_the_normals_are_held_back(normals: int, anomalies: int, tested: int) -> None:
    split = draw_split([str(i) for i in range(normals)], anomalies, seed=0)
    assert list(split.values()).count("test") == tested


@pytest.mark.parametrize(
    ("folder", "snr"),
    [("-6_dB_fan", "-6dB"), ("6_dB_pump", "6dB"), ("0dB", "0dB"), ("mimii_minus6dB", "-6dB"), ("min6dB", "-6dB")]
    + [("fan", ""), ("id_00", ""), ("mydBase", "")],
)
def test_a_folder_tells_its_snr(folder: str, snr: str) -> None:
    assert snr_of(folder) == snr


def test_real_mimii_and_real_dcase_are_recognised(realdata: Path) -> None:
    mimii, dcase = scan(realdata / "mimii_minus6dB"), scan(realdata / "dcase2023_part")
    assert (mimii.layout, len(mimii), mimii.machines) == ("mimii", 120, ["fan", "pump", "slider", "valve"])
    assert (dcase.layout, len(dcase), dcase.machines) == ("dcase2023", 110, ["ToyCar"])
    assert not [p for p in dcase.problems if p.severity != "note"]


def test_hidden_clips_have_the_name_of_lists_and_submissions(tmp_path: Path) -> None:
    names = {
        "section_03_test_0001.wav": "section_03_0001.wav",
        "section_03_0002_.wav": "section_03_0002.wav",
        "section_03_0003.wav": "section_03_0003.wav",
    }
    table = scan(touch(tmp_path / "data", *(f"fan/test/{name}" for name in names)), layout="dcase2022")
    assert dict(zip(table.frame["path"].str[9:], table.frame["clip"], strict=True)) == names


def test_a_name_that_is_no_text_is_left_out_and_reported(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", "fan/train/normal_id_00_00000000.wav")
    (root / "fan/train" / b"normal_id_00_0000000\xff.wav".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    (root / "fan/train/normal_id_00_00000002.wav").symlink_to("normal_id_00_00000002.wav")
    table = scan(root)
    assert len(table) == 2
    assert "its name is not UTF-8" in " ".join(map(str, table.problems))
