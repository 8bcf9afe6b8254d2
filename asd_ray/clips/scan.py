"""Open a dataset: walk its folder, choose a layout, name the clips, read the csv files, list the problems."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from asd_ray.clips._tree import Tree, walk
from asd_ray.clips.labels import read_beside
from asd_ray.clips.layouts import Layout, Named, choose
from asd_ray.clips.layouts.folders import LABEL_FOLDERS
from asd_ray.clips.mirror import list_tree
from asd_ray.clips.searchable import searchable, unsearchable
from asd_ray.clips.table import ANOMALY, TEST, TRAIN, WARNING, Clip, ClipTable, Problem, examples, frame_of
from asd_ray.errors import AsdRayError, listing, unknown
from asd_ray.metrics.csv_rows import shortened
from asd_ray.storage.s3 import is_s3

__all__ = ["scan", "searchable"]


def scan(
    root: str | Path,
    *,
    layout: str | None = None,
    labels: Path | None = None,
    split_seed: int = 0,
    machines: Sequence[str] | None = None,
    cache: str | Path | None = None,
) -> ClipTable:
    """Make the clip table of the dataset in `root`. No audio file is opened; `check` and the bank do that.

    `root` is a folder or s3://bucket/folder. Of a dataset on S3 only csv files are downloaded, into the mirror in
    `cache`. `layout` is the name of a naming scheme (default: detected), `labels` a folder with the label lists of an
    evaluation set, `machines` the only machines to keep. `split_seed` is used if the dataset has no test split.
    """
    if not os.fspath(root):
        raise AsdRayError("the path of the dataset is empty; give the folder that holds it, or s3://bucket/folder")
    tree = list_tree(root, cache) if is_s3(root) else walk(Path(root))
    chosen, notes = choose(tree, layout)
    named = chosen.name_clips(tree, split_seed=split_seed)
    if not named.clips:
        raise AsdRayError(
            f"{tree.place}: read as {chosen.name}, but none of {len(tree.audio)} audio files is named as it expects "
            f"({chosen.expected}); the first is {tree.audio[0].path}; rename them, or name another --layout"
        )
    clips, beside = read_beside(tree, named.clips, chosen.year, labels)
    if machines:
        _refuse_unknown(machines, {c.machine for c in clips})
        clips = [c for c in clips if c.machine in set(machines)]
    _refuse_duplicates(tree, clips)
    problems = [*tree.problems, *notes, *named.problems, *beside, *_left_out(tree, named, chosen)]
    problems += [*_mixed_units(clips), *_anomalies_in_training(clips)]
    return ClipTable(
        frame=frame_of(clips),
        root=tree.root,
        origin=tree.origin,
        layout=chosen.name,
        year=chosen.year,
        split_seed=named.split_seed,
        problems=(*problems, *unsearchable(frame_of(clips))),
    )


def _refuse_unknown(machines: Sequence[str], known: set[str]) -> None:
    for machine in machines:
        if machine not in known:
            raise unknown("machine", machine, known)


def _refuse_duplicates(tree: Tree, clips: Sequence[Clip]) -> None:
    """(machine, split, clip) is the key on which scores are joined, so two files must not share it."""
    paths: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for c in clips:
        paths[c.machine, c.split, c.clip].append(c.path)
    duplicates = [" and ".join(same) for same in paths.values() if len(same) > 1]
    if duplicates:
        raise AsdRayError(
            f"{tree.place}: {len(duplicates)} clips occur twice under the same machine, split and name; "
            f"give the folder of one dataset, or remove one of each:\n{listing(duplicates)}"
        )


def _left_out(tree: Tree, named: Named, layout: Layout) -> list[Problem]:
    cure = f"{layout.name} expects names such as {layout.expected}; rename or remove it"
    problems = [
        Problem(WARNING, f.path, "left out: not named as this layout names clips", cure) for f in named.misnamed
    ]
    for (rule, move), files in named.misplaced.items():
        by_folder: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for f in files:
            by_folder[f.folders].append(f.path)
        problems += [Problem(WARNING, examples(paths), rule, move) for paths in by_folder.values()]
    return problems + [
        Problem(
            WARNING, f.path, "left out: only wav and flac are read", f"convert it: ffmpeg -i {f.name} {f.stem}.flac"
        )
        for f in tree.other_audio
    ]


# Names of folders that say which split or label a clip has, not which unit it is from.
_NO_UNIT = frozenset({TRAIN, "train_r2", TEST, "source_test", "target_test", "supplemental", *LABEL_FOLDERS})


def _mixed_units(clips: Sequence[Clip]) -> list[Problem]:
    """A warning for each id whose clips come from several folders, such as two sites with equal names of units.

    This can be intended (two days of one machine), so it is no error. Training clips in one folder and test clips in
    another are not counted as a mixture.
    """
    folders: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for c in clips:
        parts = c.path.split("/")[:-1]
        while parts and parts[-1].lower() in _NO_UNIT:
            parts.pop()
        folders[c.machine, c.id, c.split].add("/".join(parts) or ".")
    mixed = {(machine, id): sorted(paths) for (machine, id, _), paths in folders.items() if len(paths) > 1}
    cure = "if they are different units, give their machine folders different names, or check one folder at a time"
    return [
        Problem(WARNING, machine, f"id {id} is made of clips of {len(paths)} folders: {shortened(paths)}", cure)
        for (machine, id), paths in sorted(mixed.items())
    ]


def _anomalies_in_training(clips: Sequence[Clip]) -> list[Problem]:
    """A warning for each machine with anomalous training clips; only the layout dcase2020 accepts such clips."""
    paths: dict[str, list[str]] = defaultdict(list)
    for c in clips:
        if (c.split, c.label) == (TRAIN, ANOMALY):
            paths[c.machine].append(c.path)
    rule = "anomalous clips in a training folder are not used; training uses only normal clips"
    return [Problem(WARNING, examples(own), rule, "move them to the test folder") for own in paths.values()]
