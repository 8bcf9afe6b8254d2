"""Invalid feature files: computed again, in bounded time and memory, and replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, FeatureCache, extract
from asd_ray.features.cache import BLOCK, MAGIC

from ..hostile import bounded

MEL = PRESETS["baseline"]


@pytest.fixture
def bank(dataset: Callable[..., Path]) -> Bank:
    return open_bank(dataset())


def entry() -> Path:
    (path,) = (FeatureCache().folder).glob("*.feat")
    return path


def header_of(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    length = int.from_bytes(content[8:16], "little")
    actual: dict[str, object] = json.loads(content[16 : 16 + length])
    return actual


def with_header(path: Path, text: bytes, length: int | None = None) -> None:
    """Replace the header of an entry and keep its frames, as in a forged file."""
    content = path.read_bytes()
    frames = content[-(-(16 + int.from_bytes(content[8:16], "little")) // BLOCK) * BLOCK :]
    given = len(text) if length is None else length
    head = (MAGIC + given.to_bytes(8, "little") + text).ljust(-(-(16 + len(text)) // BLOCK) * BLOCK, b"\0")
    path.unlink()  # a new inode: existing memory maps of the old one stay valid
    path.write_bytes(head + frames)


def must_be_computed_again(bank: Bank) -> None:
    expected = extract(MEL, bank.select("fan")).tensor()
    with bounded(30, 1.0):
        assert torch.equal(FeatureCache().get(MEL, bank.select("fan")).tensor(), expected)
        assert torch.equal(FeatureCache().get(MEL, bank.select("fan")).tensor(), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**18, 128]},
        {"shape": [2**63, 128]},
        {"shape": [10**30, 128]},
        {"shape": [-1, 128]},
        {"shape": [1.5, 128]},
        {"shape": ["224", 128]},
        {"shape": []},
        {"shape": None},
        {"shape": {}},
        {"shape": [224]},
        {"shape": [224, 128, 1]},
        {"shape": [True, 128]},
        {"lengths": []},
        {"lengths": "16"},
        {"lengths": None},
        {"lengths": 224},
        {"lengths": [16] * 13},
        {"lengths": [16] * 15},
        {"lengths": [224] + [0] * 13},
        {"lengths": [10**30] * 14},
        {"lengths": [-16] + [16] * 12 + [48]},
        {"lengths": [[16]] * 14},
        {"lengths": ["16"] * 14},
        {"lengths": [float("nan")] * 14},
        {"dtype": "float16"},
        {"dtype": "object"},
        {"dtype": "no such type"},
        {"dtype": None},
        {"dtype": ["float32"]},
        {"dtype": "V4"},
        {"digest": None},
        {"digest": "0" * 32},
        {"digest": 5},
        {"digest": [[]]},
    ],
    ids=str,
)
def test_a_forged_header_is_rejected(bank: Bank, change: dict[str, object]) -> None:
    FeatureCache().get(MEL, bank.select("fan"))
    path = entry()
    with_header(path, json.dumps({**header_of(path), **change}).encode())
    must_be_computed_again(bank)


@pytest.mark.parametrize("key", ["shape", "lengths", "dtype", "digest"])
def test_a_header_without_a_key_is_broken(bank: Bank, key: str) -> None:
    FeatureCache().get(MEL, bank.select("fan"))
    path = entry()
    with_header(path, json.dumps({k: v for k, v in header_of(path).items() if k != key}).encode())
    must_be_computed_again(bank)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (b"[" * 200_000, None),
        (b'{"a":' * 200_000, None),
        (b"9" * 10_000, None),
        (b'{"shape": ' + b"9" * 10_000 + b"}", None),
        (b"null", None),
        (b"[]", None),
        (b'"text"', None),
        (b"\xff\xfe", None),
        (b"", None),
        (b"{}", 2**30 - 1),
        (b"{}", 2**62),
        (b"{}", 2**64 - 1),
        (b"{}", 10**6),
    ],
    ids=lambda value: str(value)[:20],
)
def test_text_that_is_not_a_header_is_broken(bank: Bank, text: bytes, length: int | None) -> None:
    FeatureCache().get(MEL, bank.select("fan"))
    with_header(entry(), text, length)
    must_be_computed_again(bank)


@pytest.mark.parametrize("kind", ["empty", "short", "cut", "longer", "folder", "fifo", "loop", "nothing", "huge"])
def test_a_path_that_is_not_an_entry_is_broken(bank: Bank, kind: str, tmp_path: Path) -> None:
    FeatureCache().get(MEL, bank.select("fan"))
    path = entry()
    content = path.read_bytes()
    path.unlink()
    if kind in ("empty", "short", "cut", "longer"):
        path.write_bytes({"empty": b"", "short": content[:11], "cut": content[:-1], "longer": content + b"\0"}[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "huge":
        path.write_bytes(content)
        os.truncate(path, 2**40)  # a sparse file, which takes no space
    must_be_computed_again(bank)


@pytest.mark.parametrize("name", [".zz.tmp", ".tmp", "..tmp", ".00000000.tmp", "folder.feat", "x.feat"])
def test_foreign_files_in_the_folder_change_nothing(bank: Bank, name: str) -> None:
    folder = FeatureCache().folder
    folder.mkdir(parents=True)
    if name == "folder.feat":
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes(b"x")
    must_be_computed_again(bank)
    assert len([path for path in folder.glob("*.feat") if path.name != name]) == 1


@pytest.mark.parametrize("value", ["abc", "nan", "inf", "-inf", "-1", "1e400", "1e7", "0x10", "3,5", "1 2"])
def test_an_invalid_cap_is_rejected_with_the_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ASD_RAY_FEATURES_GIB", value)
    with pytest.raises(AsdRayError, match=r"\$ASD_RAY_FEATURES_GIB must be (a number of )?GiB.*such as 32"):
        FeatureCache()


@pytest.mark.parametrize("value", ["", "0", "0.5", " 3 ", "1e3"])
def test_a_cap_that_is_a_number_is_accepted(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ASD_RAY_FEATURES_GIB", value)
    assert FeatureCache().cap == int(float(value or 32) * 2**30)


@settings(
    max_examples=int(os.environ.get("ENTRIES", "25")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.integers(0, 6000), st.binary(min_size=1, max_size=12)), min_size=1, max_size=4))
def test_features_are_right_for_any_bytes_in_an_entry(bank: Bank, changes: list[tuple[int, bytes]]) -> None:
    clips = bank.select("fan")
    expected = extract(MEL, clips).tensor()
    FeatureCache().get(MEL, clips)
    path = entry()
    content = bytearray(path.read_bytes())
    for positions, piece in changes:
        content[positions : positions + len(piece)] = piece
    path.unlink()
    path.write_bytes(content)
    with bounded(20, 1.0):
        assert torch.equal(FeatureCache().get(MEL, clips).tensor(), expected)
    assert np.isfinite(expected.numpy()).all()
