"""The logger of a search, and its lines: one per event, as ``key=value`` pairs."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

LOGGER = logging.getLogger("asd_ray.search")
BARE = re.compile(r'[^\s"=\\]+')


def line(event: str, **values: Any) -> str:
    """``event=trial_began trial=fan-stgram-0007 epochs=100``. Values that are None or "" are left out."""
    pairs = (f"{key}={_value(value)}" for key, value in values.items() if value is not None and value != "")
    return " ".join([f"event={event}", *pairs])


def _value(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if BARE.fullmatch(text) and text.isprintable():
        return text
    quoted = json.dumps(text, ensure_ascii=False)  # one line, and no control characters
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)
