from __future__ import annotations

import json

import pytest

from asd_ray._json import loads
from asd_ray.errors import AsdRayError

from .hostile import bounded

DEEP = 200_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("{}{}", "Extra data"),
        ("[1,]", "Expecting value"),
        ("nan", "Expecting value"),
        ("NaN", "NaN is no number"),
        ('{"a": [Infinity]}', "Infinity is no number"),
        ("-Infinity", "-Infinity is no number"),
        ("[" * DEEP, "more than 50 deep"),
        ("[" * DEEP + "]" * DEEP, "more than 50 deep"),
        ('{"a":' * DEEP + "1" + "}" * DEEP, "more than 50 deep"),
        ("[" * 51 + "]" * 51, "more than 50 deep"),
        ('["[", ' + "[" * 50 + "]" * 51, "more than 50 deep"),
        ("]" * DEEP, "Expecting value"),
        ('"' + '\\"' * DEEP, "Unterminated string"),
        ("[}" * DEEP, "Expecting value"),
        (b'"\xff"', "can't decode"),
        ("[]".encode("utf-16"), "decode"),
        ("[1\0]", "Expecting ',' delimiter"),
        ("9" * 5000, "a whole number of 5000 digits, which is more than 300"),
        ("[1e999]", "the number 1e999 is too large"),
        ("[1" + "0" * 298 + "e99]", "is too large"),
        ("[-1" + "0" * 310 + ".5]", "is too large"),
        ('{"a": 1, "b": {"a": 1, "a": 2}}', "the key 'a' stands twice in one object"),
        ('"' + "x" * 2000 + '"', "2002 bytes, which is more than 1000"),
        ("\ud800", "surrogates not allowed"),
    ],
    ids=lambda value: str(value)[:12].encode("ascii", "backslashreplace").decode(),
)
def test_what_is_no_json_of_ours_is_one_message(text: str | bytes, reason: str) -> None:
    with bounded(seconds=10, gib=1), pytest.raises(AsdRayError) as refused:
        loads(text, "run/x.json", cure="write it again", most_bytes=1000 if "xxx" in str(text)[:9] else 64 << 20)
    message = str(refused.value)
    assert message.startswith("run/x.json: this is no JSON (")
    assert message.endswith("); write it again")
    assert reason in message
    assert len(message) < 300


@pytest.mark.parametrize(
    "value",
    [
        None,
        -1.5e-300,
        "ünit \x1b[31m [[[[{{{",
        {"a": ["[" * 100, {"b": "]" * 100}]},
        ['"', "\\", '\\"[', "\U0001f600"],
        [[]] * 1000,
        {str(n): {"x": [n]} for n in range(1000)},
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_comes_back_as_it_was_written(value: object, ascii_only: bool) -> None:
    assert loads(json.dumps(value, ensure_ascii=ascii_only), "x") == value


def test_a_byte_order_mark_is_skipped() -> None:
    assert loads(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a\\udcff"', "a?"),
        ('{"\\uDC00": 1}', {"?": 1}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\\\ud800"', "\\ud800"),
    ],
)
def test_half_a_surrogate_pair_can_be_printed(text: str, value: object) -> None:
    assert loads(text, "x") == value


@pytest.mark.parametrize("inner", ["1", '"["', '"\\"["'])
def test_fifty_brackets_are_not_too_many(inner: str) -> None:
    assert loads("[" * 50 + inner + "]" * 50, "x")
