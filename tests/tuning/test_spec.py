from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from asd_ray.families import FAMILIES, Resources
from asd_ray.ledger import Settings, trial_hash
from asd_ray.ledger.record import ORACLE
from asd_ray.tuning.spec import TrialSpec, rungs


def spec(**changes: Any) -> TrialSpec:
    plain = TrialSpec(("fan",), "tiny", "mine:Tiny", 7, {"lr": 0.1, "epochs": 30}, 0, Settings("f", 2022))
    settings = {k: changes.pop(k) for k in list(changes) if k in plain.settings.to_dict()}
    return dataclasses.replace(plain, settings=dataclasses.replace(plain.settings, **settings), **changes)


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(None, []), (0, []), (1, []), (2, []), (3, [1]), (9, [1, 3]), (20, [2, 6]), (100, [3, 11, 33]), (27, [1, 3, 9])],
)
def test_rungs(epochs: int | None, expected: list[int]) -> None:
    assert rungs(epochs) == expected


def test_rungs_are_distinct_and_before_the_end() -> None:
    for epochs in range(1, 400):
        found = rungs(epochs)
        assert found == sorted(set(found))
        assert all(0 < at < epochs for at in found)


def test_a_name_has_machine_family_and_number() -> None:
    assert spec().name == "fan-tiny-0007"


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"machines": ("pump",)},
        {"target": "mine:Other"},
        {"params": {"lr": 0.2, "epochs": 30}},
        {"held_out": 0.2},
        {"checkpoint": ORACLE},
        {"fingerprint": "g"},
        {"year": None},
        {"epochs_cap": 29},
        {"version": "2"},
        {"front_end": "ab12"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_all_that_determines_the_result_is_in_the_hash(changes: dict[str, Any]) -> None:
    assert spec(**changes).hash != spec().hash


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 8},
        {"resources": Resources(cpu=2.0)},
        {"resources": Resources(gpu=0.5)},
        {"paper": True},
        {"epochs_cap": 30},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_else_is_in_the_hash(changes: dict[str, Any]) -> None:
    assert spec(**changes).hash == spec().hash


def test_a_cap_limits_the_epochs_of_the_detector_and_not_the_params() -> None:
    capped = spec(epochs_cap=5)
    assert (capped.params["epochs"], capped.effective_params["epochs"], capped.epochs) == (30, 5, 5)
    assert spec(epochs_cap=50).effective_params == spec().effective_params


def test_a_cap_does_not_change_a_family_without_epochs() -> None:
    plain, capped = (spec(params={"k": 3}, epochs_cap=cap) for cap in (None, 5))
    assert capped.hash == plain.hash
    assert capped.effective_params == {"k": 3}
    assert capped.epochs is None


def test_a_spec_can_be_written_as_json() -> None:
    there = spec(checkpoint=ORACLE, resources=Resources(gpu=0.25, memory=8.0), paper=True)
    assert TrialSpec.from_dict(json.loads(json.dumps(there.to_dict()))) == there


def test_the_path_of_a_shipped_class_is_not_part_of_the_hash() -> None:
    here, name = spec(family="idnn", target=FAMILIES["idnn"]), "idnn"
    moved = spec(family=name, target=FAMILIES[name].replace("detectors", "elsewhere"))
    assert here.hash != moved.hash  # a class elsewhere is a user's own
    assert here.hash == trial_hash(
        machine="fan", family="idnn", version="", front_end="", params=here.params, seed=0,
        settings={"fingerprint": "f", "year": 2022, "held_out": 0.1, "checkpoint": "last"},
    )  # fmt: skip


def test_a_trial_keeps_its_hash_of_an_earlier_version() -> None:
    stored = spec().hash_of_0_1("mine:Tiny")
    assert stored == "t90acd56f9862"  # as version 0.1 names this very trial
    assert spec(stored_as=stored).hash == stored != spec().hash
    assert spec(stored_as=stored).own_hash == spec().hash
