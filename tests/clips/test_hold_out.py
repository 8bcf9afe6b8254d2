from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asd_ray.clips.bank import ClipSet, open_bank
from asd_ray.clips.hold_out import hold_out, set_unseen_apart
from asd_ray.errors import AsdRayError

GROUPS = {("00", "source"): 20, ("00", "target"): 3, ("01", "source"): 10, ("01", "target"): 1}


@pytest.fixture
def clips(tmp_path: Path, record: Callable[..., Path]) -> ClipSet:
    for (section, domain), count in GROUPS.items():
        for i in range(count):
            name = f"section_{section}_{domain}_train_normal_{i:04d}_vel_1.wav"
            record(tmp_path / "data" / "dev_data" / "fan" / "train" / name, seconds=0.1, seed=i)
    return open_bank(tmp_path / "data", workers=1).select("fan", split="train")


def names(clips: ClipSet) -> set[str]:
    return set(clips.frame["clip"])


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, (0, 0, 0, 0)), (0.1, (2, 0, 1, 0)), (0.25, (5, 1, 3, 0)), (0.5, (10, 2, 5, 0))],
)
def test_each_id_and_domain_gives_its_share_and_keeps_one(
    clips: ClipSet, fraction: float, expected: tuple[int, ...]
) -> None:
    fitted, kept_back = hold_out(clips, fraction)
    frame = kept_back.frame
    assert tuple(int(((frame["id"] == i) & (frame["domain"] == d)).sum()) for i, d in GROUPS) == expected
    assert not names(fitted) & names(kept_back)
    assert names(fitted) | names(kept_back) == names(clips)
    assert {(i, d) for i, d in zip(fitted.frame["id"], fitted.frame["domain"], strict=True)} == set(GROUPS)


def test_the_same_clips_are_held_out_whatever_their_order(clips: ClipSet) -> None:
    fitted, kept_back = hold_out(clips, 0.25)
    shuffled = clips.take(np.random.default_rng(0).permutation(len(clips)))
    again = hold_out(shuffled, 0.25)
    assert (names(again[0]), names(again[1])) == (names(fitted), names(kept_back))


def test_a_larger_share_holds_out_the_same_clips_and_more(clips: ClipSet) -> None:
    assert names(hold_out(clips, 0.1)[1]) < names(hold_out(clips, 0.3)[1])


@pytest.mark.parametrize("fraction", [-0.1, 0.51, float("nan")])
def test_a_share_out_of_bounds_is_refused(clips: ClipSet, fraction: float) -> None:
    with pytest.raises(AsdRayError, match=f"must be between 0 and 0.5 but got {fraction}"):
        hold_out(clips, fraction)


def test_unseen_clips_are_a_share_of_each_id_domain_and_label(tmp_path: Path, record: Callable[..., Path]) -> None:
    groups = {("00", "source", "normal"): 10, ("00", "source", "anomaly"): 4, ("00", "target", "anomaly"): 1}
    for (section, domain, label), count in groups.items():
        for i in range(count):
            name = f"section_{section}_{domain}_test_{label}_{i:04d}_vel_1.wav"
            record(tmp_path / "data" / "dev_data" / "fan" / "test" / name, seconds=0.1, seed=i)
    test = open_bank(tmp_path / "data", workers=1).select("fan", split="test")
    seen, unseen = set_unseen_apart(test, 0.5)
    counts = unseen.frame.groupby(["id", "domain", "label"]).size().to_dict()
    assert counts == {("00", "source", "normal"): 5, ("00", "source", "anomaly"): 2}, "the only clip of a group stays"
    assert names(seen) | names(unseen) == names(test)
    assert not names(seen) & names(unseen)
    assert names(set_unseen_apart(test.take(np.arange(len(test))[::-1]), 0.5)[1]) == names(unseen)
    assert len(set_unseen_apart(test, 0.0)[1]) == 0


def test_clips_without_a_label_are_never_unseen(tmp_path: Path, record: Callable[..., Path]) -> None:
    for i in range(6):
        record(tmp_path / "data" / "eval_data" / "fan" / "test" / f"section_00_{i:04d}.wav", seconds=0.1, seed=i)
    record(tmp_path / "data" / "eval_data" / "fan" / "train" / "section_00_source_train_normal_0000_vel_1.wav")
    test = open_bank(tmp_path / "data", workers=1).select("fan", split="test")
    assert len(set_unseen_apart(test, 0.5)[1]) == 0
