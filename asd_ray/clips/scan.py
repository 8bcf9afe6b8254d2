"""From a folder to a clip table: walk, choose a layout, name clips, read what lies beside them, judge the whole."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from asd_ray._names import FOLDER, NAME, RULE
from asd_ray.clips._tree import Tree, walk
from asd_ray.clips.labels import read_beside
from asd_ray.clips.layouts import Layout, Named, choose
from asd_ray.clips.layouts.folders import LABEL_FOLDERS
from asd_ray.clips.mirror import listed
from asd_ray.clips.table import ANOMALY, NORMAL, TEST, TRAIN, Clip, ClipTable, Problem, frame_of
from asd_ray.errors import AsdRayError, listing, unknown
from asd_ray.metrics.csv_rows import shortened as shown
from asd_ray.storage.s3 import is_s3

UNSEARCHABLE = "cannot be searched"  # how the rule of such a machine's problem begins


def scan(
    root: str | Path,
    *,
    layout: str | None = None,
    labels: Path | None = None,
    split_seed: int = 0,
    machines: Sequence[str] | None = None,
    cache: str | Path | None = None,
) -> ClipTable:
    """Name every clip below `root`; no audio file is opened. Headers are read by the bank or by `check`.

    `root` may be s3://bucket/folder: then the folder is listed, and the bank or `check` fetches what it needs into
    the mirror in `cache`.
    """
    if not os.fspath(root):
        raise AsdRayError("the path of the dataset is empty; give the folder that holds it, or s3://bucket/folder")
    tree = listed(root, cache) if is_s3(root) else walk(Path(root))
    chosen, notes = choose(tree, layout)
    named = chosen.name_clips(tree, split_seed=split_seed)
    if not named.clips:
        raise AsdRayError(
            f"{tree.place}: read as {chosen.name}, but none of {len(tree.audio)} audio files is named as it expects "
            f"({chosen.expected}); the first is {tree.audio[0].path}; rename them, or name another --layout"
        )
    clips, beside = read_beside(tree, named.clips, chosen.year, labels)
    if machines:
        _all_known(machines, {c.machine for c in clips})
        clips = [c for c in clips if c.machine in set(machines)]
    _no_twins(tree, clips)
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


def _all_known(machines: Sequence[str], found: set[str]) -> None:
    for machine in machines:
        if machine not in found:
            raise unknown("machine", machine, found)


def _no_twins(tree: Tree, clips: Sequence[Clip]) -> None:
    """(machine, split, clip) is what everything joins on, so two files must not share it."""
    paths: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for c in clips:
        paths[c.machine, c.split, c.clip].append(c.path)
    twins = [" and ".join(same) for same in paths.values() if len(same) > 1]
    if twins:
        raise AsdRayError(
            f"{tree.place}: {len(twins)} clips are there twice under the same machine, split and name; "
            f"give the folder of one dataset, or remove one of each:\n{listing(twins)}"
        )


def _left_out(tree: Tree, named: Named, layout: Layout) -> list[Problem]:
    cure = f"{layout.name} expects names such as {layout.expected}; rename or remove it"
    problems = [
        Problem("warning", f.path, "left out: not named as this layout names clips", cure) for f in named.misnamed
    ]
    for (rule, told), files in named.misplaced.items():
        by_folder: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for f in files:
            by_folder[f.folders].append(f.path)
        problems += [Problem("warning", _first_of(paths), rule, told) for paths in by_folder.values()]
    return problems + [
        Problem(
            "warning", f.path, "left out: only wav and flac are read", f"convert it: ffmpeg -i {f.name} {f.stem}.flac"
        )
        for f in tree.other_audio
    ]


def _first_of(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


_NO_UNIT = frozenset({TRAIN, "train_r2", TEST, "source_test", "target_test", "supplemental", *LABEL_FOLDERS})


def _mixed_units(clips: Sequence[Clip]) -> list[Problem]:
    """Units of equal names in several folders, such as two sites, become one id. That may be right (two days of one
    machine), so it is told, not refused. Training clips in one place and test clips in another are no mixture."""
    folders: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for c in clips:
        parts = c.path.split("/")[:-1]
        while parts and parts[-1].lower() in _NO_UNIT:
            parts.pop()
        folders[c.machine, c.id, c.split].add("/".join(parts) or ".")
    mixed = {(machine, id): sorted(found) for (machine, id, _), found in folders.items() if len(found) > 1}
    cure = "if they are different units, give their machine folders different names, or check one folder at a time"
    return [
        Problem("warning", machine, f"id {id} is made of clips of {len(found)} folders: {shown(found)}", cure)
        for (machine, id), found in sorted(mixed.items())
    ]


def _anomalies_in_training(clips: Sequence[Clip]) -> list[Problem]:
    """Where a layout takes them as clips (dcase2020); no detector is trained on them."""
    wrong: dict[str, list[str]] = defaultdict(list)
    for c in clips:
        if (c.split, c.label) == (TRAIN, ANOMALY):
            wrong[c.machine].append(c.path)
    rule, cure = "anomalous clips in a training folder are not used; training takes normal clips alone", "move them"
    return [Problem("warning", _first_of(paths), rule, f"{cure} to the test folder") for paths in wrong.values()]


def unsearchable(frame: pd.DataFrame) -> list[Problem]:
    """Machines for which a search cannot run, as warnings, plus an error where that is all of them.

    A search trains on normal clips and is judged on labelled test clips of both kinds.
    """
    problems = []
    for machine, rows in frame.groupby("machine"):
        lacks = _misnamed(str(machine), rows) or _lacks(rows)
        if lacks:
            problems.append(Problem("warning", str(machine), f"{UNSEARCHABLE}: {lacks[0]}", lacks[1]))
    if len(problems) == frame["machine"].nunique():
        problems.append(Problem("error", "dataset", "no machine can be searched", "see the reason of each machine"))
    return problems + _ids_without_training(frame) + _ids_without_score(frame)


def searchable(table: ClipTable, asked: Sequence[str] = ()) -> list[str]:
    """The machines of `table`, or those of `asked`, that a search can run on; an error tells why there is none."""
    reasons = {p.path: p for p in table.problems if p.rule.startswith(UNSEARCHABLE)}
    machines = list(dict.fromkeys(asked or table.machines))
    found = [machine for machine in machines if machine not in reasons]
    if not found:
        told = listing(reasons[machine] for machine in machines)
        raise AsdRayError(f"{table.place}: none of these machines can be searched:\n{told}")
    return found


def _misnamed(machine: str, rows: pd.DataFrame) -> tuple[str, str] | None:
    if NAME.fullmatch(machine):
        return None
    parts = str(rows["path"].iat[0]).split("/")[:-1]
    folder = "/".join(parts[: parts.index(machine) + 1]) if machine in parts else "its folder"
    return f"the machine name {machine!r} {RULE}, {FOLDER}", f"rename {folder}"


def _lacks(rows: pd.DataFrame) -> tuple[str, str] | None:
    test = Counter(rows.loc[rows["split"] == TEST, "label"])
    if not ((rows["split"] == TRAIN) & (rows["label"] == NORMAL)).any():
        return (
            "it has no normal training clips",
            "add its train/ folder (DCASE: the development or additional training set)",
        )
    if not test:
        return "it has no test clips", "add its test/ folder; without one it can be trained and scored, not measured"
    if not test[NORMAL] and not test[ANOMALY]:
        return "no test clip has a label", "add the label list of the evaluation set, below the folder or with --labels"
    for label in (NORMAL, ANOMALY):
        if not test[label]:
            return f"its test clips include no {label} one", "AUC needs both; add some"
    return None


def _ids_without_training(frame: pd.DataFrame) -> list[Problem]:
    """Test clips of an id that no training clip has: 2020's evaluation ids without additional training data."""
    problems = []
    for machine, rows in frame.groupby("machine"):
        trained = set(rows.loc[rows["split"] == TRAIN, "id"])
        lone = sorted(set(rows.loc[rows["split"] == TEST, "id"]) - trained)
        if lone and trained:
            rule = f"test clips of id {', '.join(lone)} have no training clips of that id"
            problems.append(Problem("warning", str(machine), rule, "add the additional training set, if there is one"))
    return problems


def _ids_without_score(frame: pd.DataFrame) -> list[Problem]:
    """Ids that will have no AUC although their machine has: official scores are per id, and per domain from 2021."""
    problems = []
    test = frame[(frame["split"] == TEST) & frame["label"].isin((NORMAL, ANOMALY))]
    for (machine, id), rows in test.groupby(["machine", "id"]):
        labels, domains = set(rows["label"]), set(rows["domain"])
        lacks = [label for label in (NORMAL, ANOMALY) if label not in labels]
        quiet = set(rows.loc[rows["label"] == NORMAL, "domain"])
        lacks += [f"{NORMAL} {domain}" for domain in sorted(domains - quiet) if not lacks and domain]
        if lacks and set(test.loc[test["machine"] == machine, "label"]) == {NORMAL, ANOMALY}:
            rule = f"id {id} has no {' and no '.join(lacks)} test clip, so no score of its own"
            problems.append(Problem("warning", str(machine), rule, "add some, or leave that id out"))
    return problems
