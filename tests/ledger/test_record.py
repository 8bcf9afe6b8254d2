from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Settings, TrialRecord, trial_hash
from asd_ray.storage.run_layout import check_trial

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_record_survives_json(record) -> None:
    made = record(
        objective_parts={"auc": 0.9, "pauc": 0.6},
        seconds=1.25,
        versions={"torch": "2.13.0"},
        extra={"checkpoint": "last", "halved": 1},
    )
    assert TrialRecord.from_json(made.to_json()) == made


def test_numpy_values_become_plain_json(record) -> None:
    made = record(params={"lr": np.float32(0.5), "n": np.int64(3)}, intermediate={np.int64(1): np.float64(0.25)})
    again = TrialRecord.from_json(made.to_json())
    assert again.params == {"lr": 0.5, "n": 3}
    assert again.intermediate == {1: 0.25}


def test_nan_among_the_values_of_a_failed_trial_is_strict_json_and_comes_back(record) -> None:
    made = record(
        status="failed", objective=None, intermediate={1: 0.5, 2: math.nan}, objective_parts={"auc": math.inf}
    )
    stored = json.loads(made.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert stored["intermediate"] == {"1": 0.5, "2": None}
    again = TrialRecord.from_json(made.to_json())
    assert again.intermediate[1] == 0.5
    assert math.isnan(again.intermediate[2])
    assert math.isnan(again.objective_parts["auc"])


def test_fields_of_later_versions_are_kept_as_extra(record) -> None:
    stored = json.loads(record(extra={"a": 1}).to_json()) | {"gpu_seconds": 3.5}
    assert TrialRecord.from_dict(stored).extra == {"a": 1, "gpu_seconds": 3.5}


def test_what_version_0_1_kept_in_extra_has_fields_now(record) -> None:
    fields = {"paper": True, "machines": ["fan", "pump"], "target": "mine:Tiny", "node": "a"}
    settings = {"fingerprint": "ab", "year": 2022, "held_out": 0.2, "epochs_cap": None, "checkpoint": "oracle"}
    new = json.loads(record().to_json())
    of_0_1 = {key: value for key, value in new.items() if key not in {*fields, "settings", "version"}}
    read = TrialRecord.from_dict(of_0_1 | {"extra": {**fields, "settings": settings, "faults": ["x"]}})
    assert (read.paper, read.machines, read.target, read.node) == (True, ("fan", "pump"), "mine:Tiny", "a")
    assert read.settings == Settings("ab", 2022, 0.2, None, "oracle")
    assert read.extra == {"faults": ["x"]}
    assert TrialRecord.from_json(read.to_json()) == read
    assert record().machines == (record().machine,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "complet"}, "did you mean 'complete'"),
        ({"source": "elsewhere"}, "unknown source"),
        ({"objective": math.nan}, "finite objective"),
        ({"params": {"layers": [1, 2]}}, "'layers' .* nested"),
        ({"trial": "00120119"}, "trial name '00120119'"),
        ({"machine": "../fan"}, "machine name '../fan'"),
        ({"family": "a/b"}, "family name 'a/b'"),
    ],
)
def test_wrong_records_are_refused(record, changes: dict[str, object], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        record(**changes)


def test_a_record_that_json_cannot_hold_is_named(record) -> None:
    with pytest.raises(AsdRayError, match="of type object"):
        record(extra={"model": object()}).to_json()


@given(st.dictionaries(st.text(min_size=1).filter(str.isidentifier), JSON, max_size=4))
def test_trial_hash_is_a_valid_name_and_knows_no_order(determinants: dict[str, object]) -> None:
    name = trial_hash(**determinants)
    assert name == trial_hash(**dict(reversed(determinants.items())))
    assert check_trial(name) == name
    assert len(name) == 13


def test_trial_hash_tells_what_differs() -> None:
    base = {"family": "ae", "params": {"lr": 0.1}, "seed": 0}
    others = [{**base, "seed": 1}, {**base, "params": {"lr": 0.1 + 2**-56}}, {**base, "machine": "fan"}]
    assert len({trial_hash(**each) for each in (base, *others)}) == 4
    assert trial_hash(**base) == trial_hash(family="ae", params={"lr": np.float64(0.1)}, seed=np.int64(0))


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object()])
def test_trial_hash_refuses_what_has_no_canonical_form(value: object) -> None:
    with pytest.raises(AsdRayError, match="cannot be identified"):
        trial_hash(value=value)
