"""The numbers of an ensemble: its value under each protocol, and its gain over the best single detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from asd_ray.ensembling import protocols
from asd_ray.ensembling._part import Part, plain


@dataclass(frozen=True)
class Gain(Part):
    """The difference from the best single detector, on the same resampled clips."""

    value: float
    interval: tuple[float, float]  # 95 % of the draws
    better: bool  # the whole interval lies above 0, and the single detector was not chosen by the measured clips
    better_as_best: bool | None = None  # the same, corrected for the number of recipes compared


@dataclass(frozen=True)
class Single(Part):
    """The best single detector, chosen under `protocol`."""

    value: float
    protocol: str
    auc: float
    pauc: float
    hmean: float
    name: str  # "" if each fold chose its own


@dataclass(frozen=True)
class Metric(Part):
    """An ensemble's number under one protocol."""

    value: float  # the measure that was maximised
    interval: tuple[float, float]  # 95 % of the bootstrap's draws
    cells: Mapping[str, float]  # such as 00/auc_source
    auc: float
    pauc: float
    hmean: float
    per_repeat: tuple[float, ...]
    labels: str  # how labels were used, as a sentence
    single: Single
    gain: Gain


@dataclass(frozen=True)
class Decisions(Part):
    """Precision, recall and F1 of the threshold's decisions on the labelled test clips."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Metrics(Part):
    """protocol -> Metric, in the order of measuring; empty where the test clips have no labels."""

    by_protocol: Mapping[str, Metric]
    gap: float | None = None  # oracle minus crossval
    decisions: Decisions | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The protocols stand beside the gap and the decisions; a protocol that this version does not know is kept."""
        known = [name for name in stored if name in protocols.names()]
        return cls(
            {name: Metric.from_json(stored[name]) for name in known},
            stored.get("gap"),
            Decisions.from_json(stored["decisions"]) if "decisions" in stored else None,
            extra={key: value for key, value in stored.items() if key not in (*known, "gap", "decisions")},
        )

    def to_json(self) -> dict[str, Any]:
        stored = plain(self.by_protocol)
        stored |= {} if self.gap is None else {"gap": self.gap}
        stored |= {} if self.decisions is None else {"decisions": self.decisions.to_json()}
        return {**stored, **self.extra}

    def __getitem__(self, protocol: str) -> Metric:
        return self.by_protocol[protocol]

    def get(self, protocol: str) -> Metric | None:
        return self.by_protocol.get(protocol)

    def __contains__(self, protocol: object) -> bool:
        return protocol in self.by_protocol

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_protocol)

    def __len__(self) -> int:
        return len(self.by_protocol)
