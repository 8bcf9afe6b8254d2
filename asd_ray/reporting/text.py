"""Numbers and settings as text; an unknown value is a dash."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asd_ray import _numbers

DASH = "–"
MEASURES = {"hmean": "harmonic mean of the AUC and pAUC cells", "auc": "harmonic mean of the AUC cells",
            "pauc": "harmonic mean of the pAUC cells"}  # fmt: skip
IMPORT = "import"  # the family of imported systems
SHORT = {"auc": "AUC", "pauc": "pAUC", "hmean": "hmean"}


def not_measured(sentences: Iterable[str]) -> str:
    """``not measured: there are no anomalies, or …``: the sentences of several machines as one; "" for none."""
    start = "not measured: "
    reasons = [sentence.removeprefix(start) for sentence in dict.fromkeys(sentences)]
    return f"{start}{', or '.join(reasons)}" if reasons else ""


def number(value: float | None, digits: int = 4) -> str:
    return DASH if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 4) -> str:
    """With its sign; 0, also a rounded one, has a plus."""
    return (
        DASH
        if value is None or not math.isfinite(value)
        else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")
    )


def span(interval: Sequence[float] | None, *, plus: bool = False) -> str:
    if interval is None:
        return DASH
    return " … ".join(signed(end, 3) if plus else number(end, 3) for end in interval)


def percent(value: float | None, digits: int = 0) -> str:
    return DASH if value is None else f"{100 * value:.{digits}f} %"


def seconds(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return DASH
    for unit, size in (("h", 3600), ("min", 60)):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.1f} s"


def short(value: Any) -> str:
    """A parameter's value."""
    return _numbers.short(value) if isinstance(value, float) else str(value)


def trained(params: Mapping[str, Any], epochs: int | None) -> dict[str, Any]:
    """The parameters with the epochs that a trial really trained: its number of epochs is often limited."""
    asked = params.get("epochs")
    fewer = isinstance(asked, int) and epochs is not None and 0 < epochs < asked
    return {**params, "epochs": f"{epochs} of {asked}"} if fewer else dict(params)


def detector(family: str, name: str) -> str:
    """What people call a detector: its family, or the name of an imported system, which all have one family."""
    return name if family == IMPORT else family


def cell(name: str) -> str:
    """``00/pauc_source`` -> id 00 pAUC source"""
    id, _, measured = name.rpartition("/")
    kind, _, domain = measured.partition("_")
    return " ".join(filter(None, (id and f"id {id}", SHORT.get(kind, kind), domain)))


def settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {short(value)}" for name, value in params.items())
