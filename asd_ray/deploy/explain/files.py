"""Explain recordings with a bundle, and name their pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from asd_ray.clips.audio import UnreadableClip
from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.explain.explaining import explain
from asd_ray.deploy.explain.explanation import Explanation
from asd_ray.deploy.explain.heat_map import Grid
from asd_ray.deploy.explain.occlusion import PatchCallback
from asd_ray.deploy.scoring import SoundFile
from asd_ray.deploy.sound import Sound
from asd_ray.errors import AsdRayError

ENDING = ".explain.png"


def explain_file(
    bundle: Bundle,
    file: SoundFile,
    *,
    start: float = 0.0,
    end: float | None = None,
    grid: Grid | None = None,
    own: bool = False,
    progress: PatchCallback = lambda done, total: None,
) -> Explanation:
    """Explain one recording, or its part from `start` to `end` seconds; times are those of the whole recording."""
    try:
        sound = Sound.read(file.path, bundle.rate, bundle.channel)
    except UnreadableClip as error:
        raise AsdRayError(f"{file.path}: {error}") from error
    length = len(sound.first_channel) / bundle.rate
    if start >= length or (end is not None and end <= start):
        until = "" if end is None else f" to {end:g} s"
        raise AsdRayError(
            f"{file.path} lasts {length:.2f} s: it has no part from {start:g} s{until}; change --from, --to"
        )
    part = sound.samples[..., round(start * bundle.rate) : None if end is None else round(end * bundle.rate)]
    try:
        explanation = explain(
            bundle, part, file.id or bundle.only_id, name=file.path, grid=grid, own=own, progress=progress
        )
    except AsdRayError as error:
        raise AsdRayError(f"{file.path}: {error}") from error
    return explanation.later(start) if start else explanation


def picture_paths(files: Sequence[SoundFile], folder: Path) -> list[Path]:
    """The file in `folder` for the picture of each recording; AsdRayError if two would have the same."""
    names = [Path(file.path).stem + ENDING for file in files]
    (name, count), *_ = Counter(names).most_common(1)
    if count > 1:
        both = [file.path for file, own in zip(files, names, strict=True) if own == name][:2]
        raise AsdRayError(f"{both[0]} and {both[1]} would both be drawn to {name}; explain them one after the other")
    return [folder / name for name in names]
