"""The parameter `train_ids` of a family that has it: what it learns from, and which values are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.detectors import Context
from asd_ray.detectors.families.aegan_ad import AeganAd
from asd_ray.errors import AsdRayError

SMALL: dict[str, Any] = {"epochs": 1, "batch_size": 8, "channels": 2, "latent": 4, "hop": 4}


@pytest.fixture
def bank(dataset: Callable[..., Path], record: Callable[..., Path]) -> Bank:
    """Four training clips of id 00, two of 03 and two of 04, and test clips of each."""
    root = dataset(clips=4, seconds=4.2)
    for id in ("03", "04"):
        for split, count in (("train", 2), ("test", 1)):
            for n in range(count):
                name = f"section_{id}_source_{split}_normal_{n:04d}_vel_1.wav"
                record(root / "dev_data" / "fan" / split / name, seconds=4.2, seed=int(f"{id}{n}"))
    return open_bank(root)


def scores(bank: Bank, *ids: str, **params: Any) -> dict[str, np.ndarray]:
    """The scores of all test clips by a detector that is given the training clips of these ids."""
    detector, every = AeganAd(Context(), **SMALL, **params), bank.select(split="train")
    for _ in detector.fit(every.take(every.frame["id"].isin(ids).to_numpy())):
        pass
    return detector.score(bank.select(split="test"))


def test_it_learns_from_the_clips_of_the_named_ids_alone_and_scores_all(bank: Bank) -> None:
    named, alone = scores(bank, "00", "03", "04", train_ids="00,04"), scores(bank, "00", "04")
    plain = scores(bank, "00", "03", "04")
    assert set(bank.select(split="test").frame["id"]) == {"00", "03", "04"}
    for name in alone:
        np.testing.assert_array_equal(named[name], alone[name])
    assert any((plain[name] != alone[name]).all() for name in alone)


@pytest.mark.parametrize(
    ("train_ids", "message"),
    [
        ("00,07", "train_ids = '00,07' names 07, but the training clips are of id 00, 03, 04; name some of these"),
        ("00,", "train_ids of AeganAd must be \"\", or ids separated by commas without spaces, .* but got '00,'"),
        ("00, 03", "must be .* but got '00, 03'"),
        (0, "must be .* but got 0"),
    ],
)
def test_other_ids_and_other_values_are_refused(bank: Bank, train_ids: Any, message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        scores(bank, "00", "03", "04", train_ids=train_ids)


def test_it_suits_clips_of_which_two_are_of_the_named_ids(bank: Bank) -> None:
    train = bank.select(split="train").frame
    train = train[(train["id"] != "04") | ~train.duplicated("id")]
    reasons = {ids: AeganAd(Context(), train_ids=ids).suits(train) for ids in ("", "03", "00,04", "04", "01")}
    assert [ids for ids, reason in reasons.items() if not reason] == ["", "03", "00,04"]
    assert "needs at least 2 to learn from" in reasons["04"]
    assert "names 01, but the training clips are of id 00, 03, 04" in reasons["01"]
