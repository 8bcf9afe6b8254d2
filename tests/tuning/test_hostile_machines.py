"""A machine that a run cannot name, or that lacks clips, is left out of a search; the others are searched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray._names import LONGEST, NAME, shortened
from asd_ray.ledger import Ledger, RunLayout

from ..hostile import Verbs

Make = Callable[..., Path]
QUICK = ("--serial", "--trials", "1", "--epochs-cap", "1", "--families", "twfr_gmm")


def machines(
    root: Path, *names: str, parts: tuple[str, ...] = ("train/normal", "test/normal", "test/abnormal")
) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        for part in parts:
            (root / name / part).mkdir(parents=True)
            for i in range(4):
                soundfile.write(root / name / part / f"{i}.wav", rng.normal(0, 0.1, 16_000), 16_000)
    return root


LONG = "m" * LONGEST  # with a family's name it is too long for one more file name


@pytest.mark.parametrize("asked", [(), ("press", "a b", "lone"), ("press", "ünit")])
def test_one_machine_that_cannot_be_searched_is_left_out_in_a_line(
    verbs: Verbs, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    root = machines(tmp_path / "data", "press", "a b", "ünit")
    machines(root, "lone", parts=("test/normal", "test/abnormal"))
    answer = verbs("search", *asked, "--data", root, "--run", tmp_path / "run", *QUICK)
    assert answer.status == 0, answer
    assert {record.machine for record in Ledger(tmp_path / "run").records()} == {"press"}
    left = [line for line in answer.out.splitlines() if "cannot be searched" in line]
    assert len(left) == (len(asked) - 1 if asked else 3)


def test_the_longest_name_can_be_searched(verbs: Verbs, tmp_path: Path) -> None:
    root = machines(tmp_path / "data", LONG)
    answer = verbs("search", "--data", root, "--run", tmp_path / "run", *QUICK)
    assert answer.status == 0, answer
    assert [record.status for record in Ledger(tmp_path / "run").records()] == ["complete"]


@pytest.mark.parametrize("asked", [("a b",), ("a b", "ünit")])
def test_asked_for_alone_the_message_names_folder_and_rule(
    verbs: Verbs, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    root = machines(tmp_path / "data", "press", *asked)
    words = ("1 to 128 of the characters", *(f"rename {name}" for name in asked))
    verbs.refused("search", *asked, "--data", root, "--run", tmp_path / "run", *QUICK, words=words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("study", ["fan-idnn", LONG, f"{LONG}-{'f' * LONGEST}"])
def test_a_lock_is_named_by_its_study_or_by_a_hash_of_it(study: str, tmp_path: Path) -> None:
    name = Path(RunLayout(tmp_path).lock_file(study)).name.removesuffix(".lock")
    assert NAME.fullmatch(name)
    assert (name == study) == (len(study) <= LONGEST)
    assert shortened(study + "x") != shortened(study)
