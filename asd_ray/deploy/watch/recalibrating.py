"""New normal sound for a calibration: windows of a folder's recordings, by the machine's id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asd_ray.clips._tree import walk
from asd_ray.clips.audio import UnreadableClip, stream_samples
from asd_ray.deploy.result import Samples, Scorer
from asd_ray.deploy.watch.cutting import Cutter, Cutting
from asd_ray.deploy.watch.source import Broken
from asd_ray.errors import AsdRayError, listing


@dataclass(frozen=True)
class NormalSound:
    waves: Mapping[str, Sequence[Samples]]  # id -> windows at the rate of the scorer
    files: int
    broken: tuple[Broken, ...]


def read_normal_sound(
    folder: str | Path, scorer: Scorer, cutting: Cutting, *, id: str | None = None, channel: int | str = 0
) -> NormalSound:
    """All normal sound in `folder`, in memory, cut into windows side by side, because these are what a watch scores.

    A recording belongs to the id that its first folder is named after, else to `id` (default: the machine's only one).
    Files that cannot be read are returned, not raised, unless none can be read.
    """
    tree = walk(Path(folder))
    side_by_side = replace(cutting, hop=cutting.window)
    waves: dict[str, list[Samples]] = defaultdict(list)
    broken: list[Broken] = []
    for file in tree.audio:
        of = _id_of(file.folders, scorer, id, str(folder))
        cutter = Cutter(side_by_side)
        found: list[Samples] = []
        try:
            for samples in stream_samples(tree.root / file.path, rate=cutting.rate, channel=channel):
                found += [window for _, window in cutter.push(samples)]
        except UnreadableClip as error:
            broken.append(Broken(file.path, str(error)))
            continue
        waves[of] += found or [window for _, window in cutter.finish()]
    if not waves:
        reasons = listing((f"{each.name}: {each.reason}" for each in broken), 5) or "it has no wav or flac files"
        raise AsdRayError(
            f"{folder}: no normal recording can be read; name another folder with --recalibrate\n{reasons}"
        )
    return NormalSound(dict(waves), len(tree.audio) - len(broken), tuple(broken))


def _id_of(folders: Sequence[str], scorer: Scorer, id: str | None, folder: str) -> str:
    if folders and folders[0] in scorer.ids:
        return folders[0]
    if id is not None:
        return id
    if len(scorer.ids) == 1:
        return scorer.ids[0]
    raise AsdRayError(
        f"{folder}: its recordings may be of any of the ids {', '.join(scorer.ids)}; name one with --id, or put them "
        "into folders with these names"
    )
