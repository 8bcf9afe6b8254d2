from __future__ import annotations

import threading
from pathlib import Path

import pytest

from asd_ray.storage.atomic import final_path, remove_temporary, written_aside


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("old")
    with written_aside(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
        assert aside.name.startswith(".")
        assert final_path(aside) == path
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("old")
    with pytest.raises(TypeError), written_aside(path) as aside:
        aside.write_text(b"no text")  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "x" * 200])
def test_the_longest_name_of_a_file_can_be_written(tmp_path: Path, name: str) -> None:
    with written_aside(tmp_path / name, sync=True) as aside:
        aside.write_text("new")
    assert (tmp_path / name).read_text() == "new"


def test_a_file_can_be_prepared_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    with written_aside(tmp_path / "all.csv", folder=tmp_path / "parts") as aside:
        aside.write_text("new")
        assert aside.parent == tmp_path / "parts"
    assert (tmp_path / "all.csv").read_text() == "new"
    assert list((tmp_path / "parts").iterdir()) == []


def test_threads_that_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    path, begun = tmp_path / "all.csv", threading.Barrier(8)

    def write(number: int) -> None:
        with written_aside(path) as aside:
            begun.wait()
            aside.write_text(str(number) * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = path.read_text()
    assert text == text[0] * 1000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.wav", ".hidden", ".a.wav.tmp", ".a.wav.12-g.tmp", "a.wav.12-ab.tmp"])
def test_other_files_are_not_temporary(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    assert final_path(tmp_path / name) == tmp_path / name
    remove_temporary(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", [".a.wav.12-ab01cd23.tmp", ".a.wav.12-140213.part"])
def test_what_killed_writers_left_is_removed(tmp_path: Path, name: str) -> None:
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / name
    path.write_text("half")
    assert final_path(path) == tmp_path / "below" / "a.wav"
    remove_temporary(tmp_path)
    assert not path.exists()
