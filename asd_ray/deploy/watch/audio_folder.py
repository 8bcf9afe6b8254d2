"""New recordings in a folder, each read once, when its writer has finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asd_ray._rules import is_number
from asd_ray.clips._tree import File, Tree, walk
from asd_ray.clips.audio import UnreadableClip, read_header, stream_samples
from asd_ray.deploy.result import Samples
from asd_ray.deploy.watch.cutting import Cutter, Cutting
from asd_ray.deploy.watch.source import Broken, Window, window_of
from asd_ray.errors import AsdRayError

SETTLE = 3.0  # seconds; longer than a recorder with a buffer of 64 KiB at 16 kHz waits between two writes
POLL = 0.5  # seconds between looks at the folder
MOST_GONE = 100_000  # paths of files that are gone, kept to know them if they come back; 20 MB
PIECE = 1 << 18  # samples that are cut at a time
SHARE = 10  # a look may take a tenth of the time: a folder of 100,000 files is looked at less often


class AudioFolder:
    """Windows of the wav and flac files that appear in `folder` and below it.

    A file is read when its size and time have not changed for `settle` seconds. Files that were there at the start are
    skipped, unless `existing`. A file that was broken is read again if it changes, any other only once: a new file
    under an old name counts if the old one was removed before.
    """

    live = False

    def __init__(
        self, folder: str | Path, *, existing: bool = False, settle: float = SETTLE, channel: int | str = 0
    ) -> None:
        if not is_number(settle) or not 0 <= settle <= 3600:
            raise AsdRayError(f"--settle must be between 0 and 3600 seconds but got {settle!r}")
        self.folder = walk(Path(folder)).root  # AsdRayError if it is no folder
        self.description = f"new recordings in {folder}"
        self.files = 0
        self._channel, self._settle, self._existing = channel, settle, existing
        self._read: dict[str, File] = {}  # of files that were read or skipped: path -> state
        self._broken: dict[str, File] = {}  # path -> the state in which it could not be read
        self._gone: dict[str, None] = {}  # paths of _read that the last look did not find, in order
        self._problems: set[tuple[str, str]] = set()  # path and rule of what was reported
        self._seen: dict[str, tuple[File, float]] = {}  # of files to read: path -> state, and since when it is so

    def windows(self, cutting: Cutting, stopping: threading.Event) -> Iterator[Window | Broken | None]:
        if not self._existing:
            tree = walk(self.folder)
            self._read = {file.path: file for file in _files(tree)}
        away = False
        while not stopping.is_set():
            began = time.monotonic()
            try:
                tree, away = walk(self.folder), False
            except AsdRayError as error:  # a network drive that is gone for a while
                if not away:
                    yield Broken(".", str(error))
                away = True
            else:
                yield from self._new_problems(tree)
                for file in self._settled(tree):
                    yield from self._windows_of(file, cutting, stopping)
                    if stopping.is_set():
                        return
            yield None
            stopping.wait(max(POLL, SHARE * (time.monotonic() - began)))

    def _new_problems(self, tree: Tree) -> Iterator[Broken]:
        """Folders that cannot be read, names that are not text: once, until they are gone."""
        problems = {(problem.path, problem.rule): problem for problem in tree.problems}
        for key, problem in problems.items():
            if key not in self._problems:
                yield Broken(problem.path, f"{problem.rule}; {problem.cure}")
        self._problems = set(problems)

    def _settled(self, tree: Tree) -> list[File]:
        """The files to read now, the oldest first."""
        now = time.monotonic()
        files = {file.path: file for file in _files(tree)}
        self._forget(files)
        waiting = [f for path, f in files.items() if path not in self._read and self._broken.get(path) != f]
        seen = {}
        for file in waiting:
            state, since = self._seen.get(file.path, (file, now))
            seen[file.path] = (file, since if state == file else now)
        self._seen = seen
        settled = [file for file in waiting if now - seen[file.path][1] >= self._settle]
        return sorted(settled, key=lambda file: (file.mtime_ns, file.path))

    def _forget(self, files: dict[str, File]) -> None:
        """A file that was gone and comes back changed is a new one; unchanged, as after a drive was away, it is not."""
        for path in [path for path in self._gone if path in files]:
            del self._gone[path]
            if self._read[path] != files[path]:
                del self._read[path]
        self._gone |= {path: None for path in self._read if path not in files}
        for path in list(self._gone)[: max(0, len(self._gone) - MOST_GONE)]:
            del self._gone[path], self._read[path]
        self._broken = {path: state for path, state in self._broken.items() if path in files}

    def _windows_of(self, file: File, cutting: Cutting, stopping: threading.Event) -> Iterator[Window | Broken]:
        path, windows = self.folder / file.path, 0
        self._read[file.path] = file
        try:
            seconds = read_header(path).seconds
            began = datetime.fromtimestamp(file.mtime_ns / 1e9, UTC) - timedelta(seconds=seconds)
            for first, samples in self._cut(path, cutting):
                yield window_of(file.path, began, first, samples, cutting)
                windows += 1
                if stopping.is_set():
                    return
        except UnreadableClip as error:
            yield Broken(file.path, str(error))
            if not windows:
                self._broken[file.path] = self._read.pop(file.path)
        except OSError as error:
            yield Broken(file.path, f"cannot be read ({error.strerror})")
        self.files += bool(windows)

    def _cut(self, path: Path, cutting: Cutting) -> Iterator[tuple[int, Samples]]:
        cutter = Cutter(cutting)
        for samples in stream_samples(path, rate=cutting.rate, channel=self._channel):
            for at in range(0, samples.shape[-1], PIECE):
                yield from cutter.push(samples[..., at : at + PIECE])
        yield from cutter.finish()


def _files(tree: Tree) -> list[File]:
    """Files with sound, also of formats that we do not read, whose names are reported. Not links that lead nowhere."""
    return [file for file in (*tree.audio, *tree.other_audio) if file.size >= 0]
