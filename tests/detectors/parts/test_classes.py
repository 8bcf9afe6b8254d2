from __future__ import annotations

import pandas as pd
import pytest
import torch

from asd_ray.detectors.parts.classes import Classes
from asd_ray.errors import AsdRayError


def clips(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["machine", "id", "attributes"])


def test_ids_are_the_classes_if_there_are_several() -> None:
    frame = clips(("fan", "02", '{"vel": "1"}'), ("fan", "00", '{"vel": "2"}'), ("fan", "02", "{}"))
    classes = Classes.from_clips(frame)
    assert classes.names == ["fan/00", "fan/02"]
    assert classes.labels(frame).tolist() == [1, 0, 1]
    assert classes.allowed(frame).tolist() == [[False, True], [True, False], [False, True]]


def test_attributes_are_the_classes_of_a_machine_of_one_id() -> None:
    frame = clips(("fan", "00", '{"a/b": "1"}'), ("fan", "00", '{"a/b": "2"}'), ("fan", "00", "{}"))
    classes = Classes.from_clips(frame)
    assert classes.names == ["fan/00", 'fan/00/{"a/b": "1"}', 'fan/00/{"a/b": "2"}']
    assert classes.labels(frame).tolist() == [1, 2, 0]
    assert classes.allowed(frame).all()  # the attributes of a test clip are not used


def test_each_machine_of_several_has_its_own_rule() -> None:
    frame = clips(("fan", "00", "{}"), ("fan", "01", "{}"), ("pump", "00", '{"v": "1"}'), ("pump", "00", '{"v": "2"}'))
    classes = Classes.from_clips(frame)
    assert classes.names == ["fan/00", "fan/01", 'pump/00/{"v": "1"}', 'pump/00/{"v": "2"}']
    assert classes.allowed(frame).sum(1).tolist() == [1, 1, 2, 2]


def test_an_unknown_id_may_belong_to_any_class() -> None:
    classes = Classes(["fan/00", "fan/01"])
    assert classes.allowed(clips(("fan", "09", "{}"), ("fan", "01", "{}"))).tolist() == [[True, True], [False, True]]


def test_without_clips_the_table_is_empty() -> None:
    assert Classes(["fan/00", "fan/01"]).allowed(clips()).shape == torch.Size([0, 2])


def test_a_single_class_is_rejected_with_a_cure() -> None:
    with pytest.raises(AsdRayError, match=r"got 1 \(fan/00\); use a machine with several ids"):
        Classes.from_clips(clips(("fan", "00", "{}"), ("fan", "00", "{}")))
    assert len(Classes.from_clips(clips(("fan", "00", "{}")), at_least=1)) == 1
