"""Read JSON that another program may have written: strict, with limits of size and depth, and one message."""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, NoReturn

from asd_ray.errors import AsdRayError

MOST_DEPTH = 50  # brackets within brackets; Python's own reader raises RecursionError near a thousand
MOST_BYTES = 64 << 20  # the objects that Python makes of so much JSON take about 1.5 GB at worst
MOST_DIGITS = 300  # of a whole number, so that it can be converted to a float
BRACKETS = b"[]{}"
NOT_BRACKETS = bytes(set(range(256)) - set(BRACKETS))
ALIKE = bytes.maketrans(b"{}", b"[]")
DIGITS = bytes(48 if chr(at).isdigit() and at < 128 else at for at in range(256))  # every digit as 0
LARGE = (b"e000", b"E000", b"e+000", b"E+000", b"0" * 200)  # digits as 0: every number too large has one of them
TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)  # a string, perhaps unfinished, or a bracket


def loads(
    text: str | bytes,
    where: str,
    *,
    cure: str = "",
    most_depth: int = MOST_DEPTH,
    most_bytes: int = MOST_BYTES,
    keep_surrogates: bool = False,
) -> Any:
    """The value of a JSON text; `where` names its file in the message of an AsdRayError, `cure` ends that message.

    These are errors, too: NaN and Infinity, which Python would accept; numbers too large for a float; a key that is
    twice in one object, since readers differ in which value counts; more depth or size than any file of ours has. A
    byte order mark is skipped. Half a surrogate pair, as in the name of a file that is not UTF-8, cannot be printed
    and is read as "?". With `keep_surrogates` it stays, to open that file.
    """
    try:
        data = text.encode() if isinstance(text, str) else bytes(text)
        if len(data) > most_bytes:
            raise ValueError(f"{len(data)} bytes, which is more than {most_bytes}")
        _check_depth(data, most_depth)
        numbers: dict[str, Any] = {"parse_float": _finite, "parse_int": _whole} if _has_large(data) else {}
        decoded = data.removeprefix(codecs.BOM_UTF8).decode()
        value = json.loads(decoded, parse_constant=_refuse, object_pairs_hook=_once, **numbers)
        if not keep_surrogates and (rb"\ud" in data or rb"\uD" in data):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    except ValueError as error:  # UnicodeError is one
        reason = " ".join(str(error).split())
        raise AsdRayError(f"{where}: this is no JSON ({reason}){'; ' * bool(cure)}{cure}") from error
    return value


def _check_depth(data: bytes, most: int) -> None:
    """Remove innermost pairs of brackets, `most` times. Only if some are left, look which are inside strings."""
    brackets = data.translate(ALIKE, NOT_BRACKETS)
    for _ in range(most):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    depth = 0
    for token in TOKEN.finditer(data):
        first = data[token.start()]
        depth += (first in b"[{") - (first in b"]}")
        if depth > most:
            raise ValueError(f"brackets are nested more than {most} deep")


def _has_large(data: bytes) -> bool:
    """Whether a number may be too large for a float; if not, the reader need not call a function per number."""
    digits = data.translate(DIGITS)
    return any(part in digits for part in LARGE)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits, which is more than {MOST_DIGITS}")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return values
