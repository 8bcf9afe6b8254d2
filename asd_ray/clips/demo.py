"""The synthetic demo set: five machines on disk as DCASE 2022 lays out a development set, made by ``make_demo``.

The same settings give the same bytes (with the same numpy). Files appear under their names only when whole, and
``demo.json`` only when all are there: a call after a crash makes what is missing.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import soundfile as sf

from asd_ray._json import loads
from asd_ray.clips.demo_machines import MACHINES
from asd_ray.clips.demo_plan import SIZES, DemoClip, DemoSize, attribute_table, planned
from asd_ray.clips.demo_sound import RATE
from asd_ray.errors import AsdRayError, listing, unknown
from asd_ray.storage.places import DISK_FULL, obstacle, why

__all__ = ["MACHINES", "SIZES", "DemoSize", "make_demo"]

RECIPE = 1  # raised when the same settings begin to give other bytes
MARKER = "demo.json"
UNFINISHED = ".demo_unfinished.json"
SECONDS = (1.0, 60.0)  # a second holds a stroke or a click of every machine
HEADER_BYTES = 44  # of a PCM wav file


def make_demo(
    folder: Path,
    *,
    size: str = "small",
    machines: Sequence[str] | None = None,
    seed: int = 0,
    seconds: float | None = None,
    grow: bool = False,
    progress: Callable[[int, int], None] | None = None,
    cure: str = "choose another folder, or a smaller size",
) -> Path:
    """Make the demo set in `folder`, or finish it, and return the folder.

    A folder that already holds it whole is left alone; one that holds anything else is refused. With `grow` a folder
    that holds other machines of the same settings keeps them and gets these too.
    `progress(done, all)` is called after each clip, from the calling thread. `cure` says, in a message about the disk,
    how to name another folder.
    """
    folder = Path(folder)
    job = _Job.checked(folder, size, machines, seed, seconds)
    if grow:
        job = job.grown(size, seed, seconds)
    try:
        return _make(job, progress, cure)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise AsdRayError(_too_small(folder, job.missing_bytes(), cure)) from error
        told = obstacle(folder, folder=True) or why(error)
        raise AsdRayError(f"cannot write the demo set to {folder}: {told}; {cure}") from error


def _make(job: _Job, progress: Callable[[int, int], None] | None, cure: str) -> Path:
    folder = job.folder
    if job.found_whole():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    missing = job.missing_bytes()
    if shutil.disk_usage(folder).free < missing:
        raise AsdRayError(_too_small(folder, missing, cure))
    _write(folder / UNFINISHED, job.settings())
    for machine in job.machines:
        for split in ("train", "test"):
            (folder / "dev_data" / machine / split).mkdir(parents=True, exist_ok=True)
    with contextlib.closing(_in_parallel(job.make_clip, job.clips)) as made:
        for done, _ in enumerate(made, start=1):
            if progress is not None:
                progress(done, len(job.clips))
    for table, clips in groupby(job.clips, key=job.table):
        _write(table, attribute_table(list(clips)))
    for left in folder.rglob(".*.part"):  # of a call that was killed
        left.unlink(missing_ok=True)
    _write(folder / MARKER, job.settings())
    (folder / UNFINISHED).unlink(missing_ok=True)
    return folder


@dataclass(frozen=True)
class _Job:
    """One call of make_demo, its arguments checked."""

    folder: Path
    name: str
    size: DemoSize
    machines: tuple[str, ...]
    seed: int
    clips: tuple[DemoClip, ...]

    @classmethod
    def checked(cls, folder: Path, size: str, machines: Sequence[str] | None, seed: int, seconds: float | None) -> _Job:
        if size not in SIZES:
            raise unknown("demo size", size, SIZES)
        for machine in machines or ():
            if machine not in MACHINES:
                raise unknown("demo machine", machine, MACHINES)
        if seed < 0:
            raise AsdRayError(f"seed must be 0 or more but got {seed}")
        asked = SIZES[size] if seconds is None else replace(SIZES[size], seconds=float(seconds))
        if not (math.isfinite(asked.seconds) and SECONDS[0] <= asked.seconds <= SECONDS[1]):
            raise AsdRayError(f"seconds must be between {SECONDS[0]:g} and {SECONDS[1]:g} but got {seconds}")
        chosen = tuple(name for name in MACHINES if machines is None or name in machines)
        if not chosen:
            raise AsdRayError(f"machines is empty; leave it out for all of them or choose from {', '.join(MACHINES)}")
        clips = tuple(clip for name in chosen for clip in planned(asked, name))
        return cls(folder, size, asked, chosen, seed, clips)

    def grown(self, size: str, seed: int, seconds: float | None) -> _Job:
        """This job and the machines that the folder already has, if they are of the same settings."""
        for marker in (self.folder / MARKER, self.folder / UNFINISHED):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AsdRayError):
                there = loads(marker.read_bytes(), str(marker))["machines"]
                if not set(there) <= set(MACHINES):
                    continue
                both = _Job.checked(self.folder, size, [*there, *self.machines], seed, seconds)
                alone = _Job.checked(self.folder, size, there, seed, seconds)
                if marker.read_text(encoding="utf-8") == alone.settings() and set(there) != set(both.machines):
                    (self.folder / UNFINISHED).write_text(both.settings(), encoding="utf-8")
                    (self.folder / MARKER).unlink(missing_ok=True)
                    return both
                if set(there) == set(both.machines):
                    return both
        return self

    def settings(self) -> str:
        """The text of the marker: what decides every byte of the set."""
        told = {
            "what": "asd_ray synthetic demo set",
            "recipe": RECIPE,
            "size": self.name,
            "seconds": self.size.seconds,
            "seed": self.seed,
            "machines": self.machines,
            "clips": len(self.clips),
        }
        return json.dumps(told, indent=2) + "\n"

    def found_whole(self) -> bool:
        """Whether the folder holds this very set; AsdRayError if it holds anything that is not part of it."""
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            return False
        ours = {self.folder / MARKER, self.folder / UNFINISHED}
        for marker in (self.folder / MARKER, self.folder / UNFINISHED):
            if not marker.is_file():
                continue
            if marker.read_text(encoding="utf-8", errors="replace") != self.settings():
                raise AsdRayError(
                    f"{self.folder} holds a demo set of other settings (see {marker}); choose another folder, "
                    "or repeat those settings"
                )
            if marker.name == MARKER:
                return True
            ours |= {self.path(clip) for clip in self.clips} | {self.table(clip) for clip in self.clips}
        self._refuse_foreign(ours)
        return False

    def _refuse_foreign(self, ours: set[Path]) -> None:
        present = (path for path in self.folder.rglob("*") if not path.is_dir())
        foreign = sorted(path for path in present if path not in ours and _whole(path) not in ours)
        if foreign:
            raise AsdRayError(
                f"{self.folder} holds files that are not of this demo set, and nothing is ever overwritten; "
                f"choose an empty or new folder:\n{listing(foreign, most=5)}"
            )

    def path(self, clip: DemoClip) -> Path:
        return self.folder / "dev_data" / clip.machine / clip.split / clip.name

    def table(self, clip: DemoClip) -> Path:
        return self.folder / "dev_data" / clip.machine / f"attributes_{clip.unit:02d}.csv"

    @property
    def clip_bytes(self) -> int:
        return HEADER_BYTES + 2 * round(self.size.seconds * RATE)

    def missing_bytes(self) -> int:
        return self.clip_bytes * sum(not self.path(clip).exists() for clip in self.clips)

    def make_clip(self, clip: DemoClip) -> None:
        path = self.path(clip)
        if path.exists():  # whole: it was renamed to this name
            return
        samples = clip.samples(self.seed, self.size.seconds)
        encoded = io.BytesIO()  # soundfile does not tell when a disk is full; a plain write does
        sf.write(encoded, samples, RATE, subtype="PCM_16", format="WAV")
        with _aside(path) as part:
            part.write_bytes(encoded.getbuffer())


def _in_parallel(act: Callable[[DemoClip], None], clips: Sequence[DemoClip]) -> Generator[None, None, None]:
    """Threads, not processes: numpy and soundfile let go of the interpreter's lock, and threads die with a kill -9."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ThreadPoolExecutor(cores)
    try:
        yield from pool.map(act, clips)
    finally:
        pool.shutdown(cancel_futures=True)


def _write(path: Path, text: str) -> None:
    with _aside(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A file to write that takes the name `path` when it is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        with contextlib.suppress(FileNotFoundError):  # another call finished the same set and swept up
            os.replace(part, path)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    finally:
        part.unlink(missing_ok=True)


def _whole(part: Path) -> Path:
    """The name that a file left by `_aside` was meant to take."""
    return part.with_name(part.name[1:].rsplit(".", 2)[0]) if part.name.endswith(".part") else part


def _too_small(folder: Path, missing: int, cure: str) -> str:
    return (
        f"the disk of {folder} is too full for the demo set: {missing:,} bytes are still needed; "
        f"free them and repeat the command (finished clips are kept), or {cure}"
    )
