"""Where in a clip its score comes from, in words, numbers and a picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from asd_ray.deploy.explain.heat_map import Grid, HeatMap
from asd_ray.deploy.explain.regions import Region
from asd_ray.deploy.result import ANOMALY, NORMAL

OCCLUSION = "occlusion"
FAINT = 0.01  # of the score above that of typical normal sound: a smaller drop is drawn pale
CLIP_ITSELF = "the clip itself"  # what is normal was taken from there, because the scorer has no sound profile
NORMAL_SOUND = "normal sound"


@dataclass(frozen=True)
class Explanation:
    """The result of `explain`."""

    name: str  # the path as it was given; "" for an array
    id: str  # of the machine that was assumed
    seconds: float
    score: float  # of the whole clip
    threshold: float
    typical: float  # the median score of normal clips
    regions: tuple[Region, ...]  # the strongest first
    score_without: float | None  # the score after all regions are filled with normal sound; None without regions
    method: str  # OCCLUSION, or the families whose own maps are shown
    filled_from: str  # NORMAL_SOUND or CLIP_ITSELF
    grid: Grid
    warnings: tuple[str, ...]  # how this sound differs from everything that was heard in training
    map: HeatMap = field(repr=False)
    spectrogram: HeatMap = field(repr=False)  # dB relative to full scale

    @property
    def decision(self) -> str:
        return ANOMALY if self.score > self.threshold else NORMAL

    @property
    def faithfulness(self) -> float | None:
        """The part of the score above that of typical normal sound that goes when the regions are filled."""
        if self.score_without is None or self.score <= self.typical:
            return None
        return (self.score - self.score_without) / (self.score - self.typical)

    @property
    def sentence(self) -> str:
        """The strongest region, and what the score would be without it."""
        if not self.regions:
            return f"nothing stands out: the score of {self.score:.3g} is spread over the whole clip"
        first = self.regions[0]
        return (
            f"{first.words}; with normal sound there, the score falls from {self.score:.3g} to "
            f"{first.score_without:.3g} (threshold {self.threshold:.3g})"
        )

    def later(self, seconds: float) -> Explanation:
        """The same with the times of a longer recording, of which the clip was cut out `seconds` after its start."""
        return replace(
            self,
            regions=tuple(region.later(seconds) for region in self.regions),
            map=self.map.later(seconds),
            spectrogram=self.spectrogram.later(seconds),
        )

    def to_json(self) -> dict[str, Any]:
        """Everything but the values of the map and the spectrogram; `map.to_json()` has those of the map."""
        return {
            "name": self.name,
            "id": self.id,
            "seconds": self.seconds,
            "score": self.score,
            "threshold": self.threshold,
            "decision": self.decision,
            "typical": self.typical,
            "sentence": self.sentence,
            "regions": [region.to_json() for region in self.regions],
            "score_without": self.score_without,
            "faithfulness": self.faithfulness,
            "warnings": list(self.warnings),
            "map": {
                "method": self.method,
                "filled_from": self.filled_from,
                **asdict(self.grid),
                "unit": self.map.unit,
                "maximum": float(self.map.values.max()),
                "cells": list(self.map.values.shape),
            },
        }

    def save_png(self, path: str | Path, *, small: bool = False) -> Path:
        """Draw the spectrogram and the map beside it. StorageError if the file cannot be written.

        A small picture is for a page that has the title as text.
        """
        from asd_ray.deploy.explain.picture import SIZE, SMALL, save_picture

        faint = FAINT * abs(self.score - self.typical) if self.method == OCCLUSION else 0.0
        boxes = [(region.cells_seconds, region.cells_hz) for region in self.regions]
        title, size = ("", SMALL) if small else (self.title, SIZE)
        return save_picture(self.spectrogram, self.map, faint, boxes, title, path, size)

    @property
    def title(self) -> str:
        """The lines above the picture."""
        head = f"{Path(self.name).name}: " if self.name else ""
        return f"{head}score {self.score:.3g}, threshold {self.threshold:.3g}: {self.decision}\n{self.sentence}"
