"""The files of a dataset's folder: audio files and csv files, from one walk of a disk or one listing of S3."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asd_ray.clips.table import Problem, place_of
from asd_ray.errors import AsdRayError

AUDIO = frozenset({".wav", ".flac"})
OTHER_AUDIO = frozenset({".mp3", ".ogg", ".m4a", ".aac", ".aif", ".aiff", ".opus", ".wma", ".w64", ".raw"})


@dataclass(frozen=True, slots=True)
class File:
    """One file: its path relative to the root, with ``/`` on every system; a new size or time means that it changed."""

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
    """The files below `root`, sorted by path. `origin` is the s3:// address, if `root` is a mirror of one."""

    root: Path
    audio: tuple[File, ...]
    csv: tuple[File, ...]
    other_audio: tuple[File, ...]  # sound in a format that asd_ray does not read
    problems: tuple[Problem, ...] = ()  # folders that could not be read, names that are not text
    origin: str | None = None

    @property
    def place(self) -> str:
        return place_of(self.root, self.origin)


def kind_of(name: str) -> str | None:
    """The field of `Tree` that a file belongs to; None if the file is ignored."""
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith("."):
        return None
    if suffix in AUDIO:
        return "audio"
    if suffix == ".csv":
        return "csv"
    return "other_audio" if suffix in OTHER_AUDIO else None


def is_hidden(folder: str) -> bool:
    return folder.startswith(".") or folder == "__MACOSX"


def tree_of(
    root: Path, files: Iterable[tuple[str, File]], problems: Iterable[Problem], origin: str | None = None
) -> Tree:
    """The tree of these (kind, file) pairs."""
    kinds: dict[str, list[File]] = {"audio": [], "csv": [], "other_audio": []}
    for kind, file in files:
        kinds[kind].append(file)
    by_path = {kind: tuple(sorted(members, key=lambda f: f.path)) for kind, members in kinds.items()}
    return Tree(root, **by_path, problems=tuple(problems), origin=origin)


def walk(root: Path) -> Tree:
    """Walk `root` once. Hidden files and folders are ignored, and so are the files that macOS adds to archives."""
    root = Path(os.path.expanduser(root))
    try:
        os.listdir(root)
        root = root.resolve()
    except (FileNotFoundError, NotADirectoryError) as error:
        if root.exists():
            rule = "is a file; give the folder that holds the dataset (archives must be unpacked)"
            raise AsdRayError(f"{root}: {rule}") from error
        rule = "no such folder; give the folder that holds the dataset, or s3://bucket/folder"
        raise AsdRayError(f"{_text(str(root))}: {rule}") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        rule = f"cannot be read ({why}); fix its path or its permissions, or name another folder"
        raise AsdRayError(f"{_text(str(root))}: {rule}") from error
    if _text(str(root)) != str(root):
        raise AsdRayError(f"{_text(str(root))}: the folder's path is not UTF-8 text; rename it (with convmv)")
    files: list[tuple[str, File]] = []
    problems: list[Problem] = []

    def unreadable(error: OSError) -> None:
        rule = f"left out: cannot be read ({error.strerror})"
        problems.append(Problem("warning", _text(str(error.filename)), rule, "fix its permissions, or remove it"))

    visited: set[tuple[int, int]] = set()  # folders; a link to a parent folder must not cause an endless walk
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
        try:
            status = os.stat(folder)
        except OSError as error:  # removed since it was listed
            unreadable(error)
            continue
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(n for n in subfolders if not is_hidden(n))
        prefix = "" if Path(folder) == root else Path(folder).relative_to(root).as_posix() + "/"
        for name in sorted(names):
            kind = kind_of(name)
            if kind is None:
                continue
            path = prefix + name
            if _text(path) != path:
                cure = "rename it (convmv can rename many)"
                problems.append(Problem("warning", _text(path), "left out: its name is not UTF-8 text", cure))
                continue
            try:
                status = os.stat(os.path.join(folder, name))
            except OSError:  # a dangling link or a loop; `check` and the bank report it when they open it
                files.append((kind, File(path, -1, 0)))
                continue
            if stat.S_ISREG(status.st_mode):
                files.append((kind, File(path, status.st_size, status.st_mtime_ns)))
            else:  # reading it might never end
                rule = f"left out: it is {_special(status.st_mode)}, not a file"
                problems.append(Problem("warning", path, rule, "remove it, or put a recording in its place"))
    return tree_of(root, files, problems)


def _special(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "a special node")


def _text(path: str) -> str:
    """`path` with a ? for every byte that is not UTF-8."""
    return path.encode("utf-8", "replace").decode()
