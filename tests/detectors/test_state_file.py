"""States as safetensors files: what they hold, that they come back equal, and that no other file is taken for one."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.errors import AsdRayError

STATE: dict[str, Any] = {
    "net": {"a.weight": torch.randn(3, 4), "half": torch.randn(2).half(), "bytes": torch.arange(5, dtype=torch.uint8)},
    "waves": torch.randn(2, 3, dtype=torch.complex64),
    "empty": torch.empty(0, 7),
    "scalar": torch.tensor(1.5, dtype=torch.float64),
    "flag": torch.tensor([True, False]),
    "numbers": {"one": 1, "large": 2**80, "float": 0.1, "nan": math.nan, "minus": -math.inf, "yes": True, "none": None},
    "lists": [1, [2, (3, "x")], ()],
    "names with / and ü\n": {0: "integer key", "0": "text key", None: 1},
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


def test_a_state_comes_back_equal_with_its_description() -> None:
    about = {"family": "idnn", "params": {"lr": 0.1, "name": "ü"}}
    state, read = from_bytes(to_bytes(STATE, about), "x")
    assert same(STATE, state)
    assert read == about


def test_tensors_that_share_memory_or_are_views_are_stored_each() -> None:
    weight = torch.arange(12.0).view(3, 4)
    state, _ = from_bytes(to_bytes({"one": weight, "two": weight, "view": weight.T, "part": weight[1]}, {}), "x")
    assert torch.equal(state["view"], weight.T)
    assert torch.equal(state["part"], weight[1])
    state["one"].zero_()
    assert torch.equal(state["two"], weight)


class Odd:
    pass


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": Odd()}}, "state/a/b of a state is of type Odd"),
        ({"a": {(1, 2): 3}}, "state/a of a state has a key of type tuple"),
        ({"a": torch.zeros(2).to_sparse()}, "layout torch.sparse_coo"),
        ({"a": {1, 2}}, "is of type set"),
    ],
)
def test_what_a_file_cannot_hold_is_named(state: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        to_bytes(state, {})


def test_a_state_that_contains_itself_is_refused() -> None:
    state: dict[str, Any] = {}
    state["self"] = state
    with pytest.raises(AsdRayError, match="nested more than"):
        to_bytes(state, {})


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\x08" + b"\0" * 7 + b"{}      ", b"\xff" * 64, b"PK\x03\x04" + b"\0" * 90]
)
def test_other_files_are_no_states(content: bytes) -> None:
    with pytest.raises(AsdRayError, match=r"a\.safetensors: this is (not the state of a detector|no JSON)"):
        from_bytes(content, "a.safetensors")


def test_a_file_of_another_program_or_version_is_refused() -> None:
    from safetensors.torch import save

    with pytest.raises(AsdRayError, match="not the state of a detector"):
        from_bytes(save({"a": torch.zeros(1)}), "x")
    newer = save({}, {"asd_ray": '{"format":"asd_ray-state/9","state":{"dict":[]},"about":{}}'})
    with pytest.raises(AsdRayError, match="its format is 'asd_ray-state/9'"):
        from_bytes(newer, "x")


@pytest.mark.parametrize("tree", ['{"tensor":"7"}', '{"a":1,"b":2}', "{}", '{"dict":[[1]]}', '{"odd":1}', "5"])
def test_a_false_tree_is_refused(tree: str) -> None:
    from safetensors.torch import save

    text = '{"format":"asd_ray-state/1","about":{},"state":' + tree + "}"
    with pytest.raises(AsdRayError, match="not the state of a detector"):
        from_bytes(save({"0": torch.zeros(1)}, {"asd_ray": text}), "x")


def test_mutated_files_are_refused_or_read_and_never_crash() -> None:
    content = to_bytes(STATE, {"family": "idnn"})
    draw = random.Random(0)
    refused = 0
    for _ in range(400):
        mutated = bytearray(content)
        for _ in range(draw.randint(1, 4)):
            mutated[draw.randrange(len(mutated) if draw.random() < 0.3 else 900)] = draw.randrange(256)
        try:
            from_bytes(bytes(mutated[: draw.choice([len(mutated), draw.randrange(len(mutated))])]), "x")
        except AsdRayError:
            refused += 1
    assert refused > 200
