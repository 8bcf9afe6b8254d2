from __future__ import annotations

import json
from pathlib import Path

import pytest

from asd_ray.clips.scan import scan
from asd_ray.clips.table import ClipTable
from asd_ray.errors import AsdRayError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def row(table: ClipTable, clip: str) -> dict[str, object]:
    first = table.frame[table.frame["clip"] == clip].iloc[0].to_dict()
    return {**first, "attributes": json.loads(first["attributes"])}


TRAIN = "fan/train/section_00_source_train_normal_0000_.wav"


def test_the_attributes_csv_wins_over_the_file_name(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", TRAIN)
    write(root / "fan/attributes_00.csv", f"file_name,d1p,d1v,d2p,d2v\n{TRAIN},vel,21,loc,A\n")
    table = scan(root)
    assert row(table, Path(TRAIN).name)["attributes"] == {"vel": "21", "loc": "A"}


def test_an_attributes_csv_that_lists_absent_clips_is_a_warning(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", TRAIN)
    write(root / "fan/attributes_00.csv", f"file_name,d1p,d1v\n{TRAIN},vel,21\nfan/train/gone.wav,vel,3\n")
    assert "lists 2 clips, of which 1 are not in the folder" in " ".join(map(str, scan(root).problems))


def test_attributes_published_after_the_challenge_are_used(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", "gearbox/train/section_00_source_train_normal_0001_noAttribute.wav")
    write(
        root / "lists/gearbox_attributes.csv",
        "source_file_name,target_file_name\n"
        "section_00_source_train_normal_0001_noAttribute.wav,section_00_source_train_normal_0001_volt_1.5_wt_50.wav\n",
    )
    attributes = row(scan(root), "section_00_source_train_normal_0001_noAttribute.wav")["attributes"]
    assert attributes == {"volt": "1.5", "wt": "50"}


EVAL = [f"eval_data/fan/test/section_03_{i:04d}.wav" for i in range(3)]
SHORT = [Path(path).name for path in EVAL]


def evaluators_lists(folder: Path) -> None:
    data = folder / "ground_truth_data" / "ground_truth_fan_section_03_test.csv"
    write(data, "".join(f"{name},{label}\n" for name, label in zip(SHORT, [0, 1, 0], strict=True)))
    domain = folder / "ground_truth_domain" / "ground_truth_fan_section_03_test.csv"
    write(domain, "".join(f"{name},{d}\n" for name, d in zip(SHORT, [0, 1, 1], strict=True)))


def baselines_list(folder: Path) -> None:
    long = [
        "section_03_source_test_normal_0001_m-n_W.wav",
        "section_03_target_test_anomaly_0001_m-n_X.wav",
        "section_03_target_test_normal_0001_m-n_Z.wav",
    ]
    lines = ["fan", *(f"{s},{name}" for s, name in zip(SHORT, long, strict=True))]
    write(folder / "eval_data_list_2022.csv", "\n".join(lines) + "\n")


@pytest.mark.parametrize("lists", [evaluators_lists, baselines_list])
@pytest.mark.parametrize("where", ["inside", "elsewhere"])
def test_label_lists_give_evaluation_clips_their_label_and_domain(tmp_path: Path, lists: object, where: str) -> None:
    root = touch(tmp_path / "data", *EVAL, "fan/train/section_03_source_train_normal_0000_m-n_W.wav")
    folder = root / "lists" if where == "inside" else tmp_path / "lists"
    lists(folder)  # type: ignore[operator]
    table = scan(root, layout="dcase2022", labels=None if where == "inside" else folder)
    labelled = [(row(table, name)["label"], row(table, name)["domain"]) for name in SHORT]
    assert labelled == [("normal", "source"), ("anomaly", "target"), ("normal", "target")]
    if lists is baselines_list:
        assert row(table, SHORT[1])["attributes"] == {"m-n": "X"}


@pytest.mark.parametrize("form", ["section_03_test_{}.wav", "section_03_{}_.wav"])
def test_other_forms_of_a_hidden_name_find_their_label(tmp_path: Path, form: str) -> None:
    root = touch(tmp_path / "data", *(f"eval_data/fan/test/{form.format(f'{i:04d}')}" for i in range(3)))
    baselines_list(root)
    table = scan(root, layout="dcase2022")
    assert table.frame["label"].tolist() == ["normal", "anomaly", "normal"]
    assert table.frame["clip"].tolist() == SHORT


def test_both_shapes_of_a_list_side_by_side_are_no_problem(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", *EVAL)
    evaluators_lists(root / "a")
    baselines_list(root / "b")
    assert "not here" not in " ".join(map(str, scan(root, layout="dcase2022").problems))


@pytest.mark.parametrize("name", ["notes.csv", "fan/attributes_00.csv", "eval_data_list_2026.csv"])
def test_a_csv_that_cannot_be_used_is_a_warning(tmp_path: Path, name: str) -> None:
    root = touch(tmp_path / "data", *EVAL)
    (root / "eval_data/fan").mkdir(exist_ok=True)
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes("Gehäuse,Ölpumpe\n".encode("latin-1"))
    problems = scan(root, layout="dcase2022").problems
    assert len(problems) > 0
    assert all(p.cure for p in problems)


def test_labels_without_a_year_are_an_error(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", "normal/a.wav")
    with pytest.raises(AsdRayError, match="label lists need a DCASE layout"):
        scan(root, labels=tmp_path)


def test_the_label_list_of_2020(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", "fan/test/id_01_00000000.wav", "fan/test/id_01_00000001.wav")
    write(
        root / "eval_data_list.csv",
        "fan\nid_01_00000000.wav,normal_id_01_00000098.wav,0\nid_01_00000001.wav,anomaly_id_01_00000064.wav,1\n",
    )
    assert scan(root).frame["label"].tolist() == ["normal", "anomaly"]


def test_clips_without_a_label_and_labels_without_a_clip_are_reported(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", *EVAL[:2], "eval_data/fan/test/section_03_0099.wav")
    baselines_list(root)
    problems = " ".join(map(str, scan(root, layout="dcase2022").problems))
    assert "no label for 1 test clips, e.g. fan/section_03_0099.wav" in problems
    assert "labels 1 clips that are not in the folder, e.g. fan/section_03_0002.wav" in problems


def test_a_folder_of_labels_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", *EVAL)
    with pytest.raises(AsdRayError, match="no such folder; give the folder that holds the label lists"):
        scan(root, layout="dcase2022", labels=tmp_path / "nowhere")
