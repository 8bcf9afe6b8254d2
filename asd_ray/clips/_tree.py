"""What lies in a dataset's folder: audio files and the csv files beside them, by one walk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from asd_ray.clips.table import Problem
from asd_ray.errors import AsdRayError

AUDIO = frozenset({".wav", ".flac"})
OTHER_AUDIO = frozenset({".mp3", ".ogg", ".m4a", ".aac", ".aif", ".aiff", ".opus", ".wma", ".w64", ".raw"})


@dataclass(frozen=True, slots=True)
class File:
    """One file: its path relative to the root, with ``/`` on every system, and what tells that it changed."""

    path: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(self.path.split("/")[:-1])


@dataclass(frozen=True)
class Tree:
    """All that one walk below `root` found, sorted by path."""

    root: Path
    audio: tuple[File, ...]
    csv: tuple[File, ...]
    other_audio: tuple[File, ...]  # sound in a format that we do not read
    problems: tuple[Problem, ...] = ()  # folders that could not be read, names that are no text


def walk(root: Path) -> Tree:
    """Walk `root` once; hidden files and folders, and what macOS adds to archives, are passed over."""
    root = Path(root).expanduser()
    if not root.exists():
        raise AsdRayError(f"{root}: no such folder; give the folder that holds the dataset")
    if not root.is_dir():
        raise AsdRayError(f"{root}: is a file; give the folder that holds the dataset (archives must be unpacked)")
    root = root.resolve()
    audio: list[File] = []
    csv: list[File] = []
    other: list[File] = []
    problems: list[Problem] = []

    def unreadable(error: OSError) -> None:
        rule = f"left out: cannot be read ({error.strerror})"
        problems.append(Problem("warning", _text(str(error.filename)), rule, "mend its permissions, or remove it"))

    seen: set[tuple[int, int]] = set()  # folders visited: a link to a parent must not make us walk for ever
    for folder, names, files in os.walk(root, followlinks=True, onerror=unreadable):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            names.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        names[:] = sorted(n for n in names if not n.startswith(".") and n != "__MACOSX")
        prefix = "" if Path(folder) == root else Path(folder).relative_to(root).as_posix() + "/"
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()
            kind = audio if suffix in AUDIO else csv if suffix == ".csv" else other if suffix in OTHER_AUDIO else None
            if kind is None or name.startswith("."):
                continue
            path = prefix + name
            if _text(path) != path:
                cure = "rename it (convmv can rename many)"
                problems.append(Problem("warning", _text(path), "left out: its name is not UTF-8 text", cure))
                continue
            try:
                found = os.stat(os.path.join(folder, name))
                kind.append(File(path, found.st_size, found.st_mtime_ns))
            except OSError:  # a dangling link or a loop: the header pass names it as unreadable
                kind.append(File(path, -1, 0))
    audio, csv, other = (sorted(kind, key=lambda f: f.path) for kind in (audio, csv, other))
    return Tree(root, tuple(audio), tuple(csv), tuple(other), tuple(problems))


def _text(path: str) -> str:
    return path.encode("utf-8", "replace").decode()
