"""The search's logger, and one line an event as ``key=value`` pairs."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

LOGGER = logging.getLogger("asd_ray.search")
BARE = re.compile(r'[^\s"=\\]+')


def line(event: str, **what: Any) -> str:
    """``event=trial_began trial=fan-stgram-0007 epochs=100``; what is None or "" is left out."""
    told = (f"{key}={_value(value)}" for key, value in what.items() if value is not None and value != "")
    return " ".join([f"event={event}", *told])


def _value(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if BARE.fullmatch(text) and text.isprintable():
        return text
    quoted = json.dumps(text, ensure_ascii=False)  # one line, and no character that a terminal would obey
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)
