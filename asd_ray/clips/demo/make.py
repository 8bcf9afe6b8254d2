"""Write the demo set to a folder, or complete it.

The same settings give the same bytes (with the same version of numpy). A file gets its name only when it is complete,
and ``demo.json`` is written last, so a call after a crash makes only what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from asd_ray.clips.demo._job import MARKER, UNFINISHED, DemoJob
from asd_ray.clips.demo._writing import write_text
from asd_ray.clips.demo.plan import DemoClip, SupplementalClip, attribute_table
from asd_ray.clips.progress import ProgressCallback
from asd_ray.errors import AsdRayError
from asd_ray.storage.atomic import remove_temporary
from asd_ray.storage.caches import CACHE_CURE, cache_root
from asd_ray.storage.places import DISK_FULL, obstacle, why

AnyClip = DemoClip | SupplementalClip


def is_demo_set(folder: str | Path) -> bool:
    """Whether a folder is a complete demo set, wherever it was made."""
    return (Path(folder) / MARKER).is_file()


def make_demo(
    folder: Path,
    *,
    size: str = "small",
    machines: Sequence[str] | None = None,
    seed: int = 0,
    seconds: float | None = None,
    hide_labels: bool = False,
    supplemental: bool = False,
    channels: int = 1,
    grow: bool = False,
    progress: ProgressCallback | None = None,
    cure: str = "choose another folder, or a smaller size",
) -> Path:
    """Make the demo set in `folder`, or complete it, and return the folder.

    If the folder already holds the complete set, nothing is written. If it holds any other file, AsdRayError is
    raised. With `hide_labels` the sound is the same, but all clips of a machine have one id and no attributes, as in
    DCASE 2024 and later. With `supplemental`, each machine also has clips without noise, and clips of noise alone. With
    two `channels`, clips have a far microphone beside the near one, as in DCASE 2026. With `grow`, a folder that holds
    other machines with the same settings keeps them and gets these as well.
    `progress(done, total)` is called after each clip, from the calling thread. `cure` is the part of an error message
    about the disk that names the option for another folder.
    """
    folder = Path(folder)
    job = DemoJob.checked(
        folder, size, machines, seed, seconds, hide_labels=hide_labels, supplemental=supplemental, channels=channels
    )
    try:
        if grow:
            job = job.grown()
        return _make(job, progress, cure)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise AsdRayError(_disk_too_full(folder, job.missing_bytes(), cure)) from error
        reason = obstacle(folder, folder=True) or why(error)
        raise AsdRayError(f"cannot write the demo set to {folder}: {reason}; {cure}") from error


def cached_demo(
    machines: Sequence[str] | None = None,
    *,
    cache: str | Path | None = None,
    progress: ProgressCallback | None = None,
    cure: str = CACHE_CURE,
) -> Path:
    """Make or complete the demo set in the node's cache, where a search without --data looks for it."""
    return make_demo(cache_root(cache) / "demo", machines=machines, grow=True, progress=progress, cure=cure)


def _make(job: DemoJob, progress: ProgressCallback | None, cure: str) -> Path:
    folder = job.folder
    if job.is_complete():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    missing = job.missing_bytes()
    if shutil.disk_usage(folder).free < missing:
        raise AsdRayError(_disk_too_full(folder, missing, cure))
    write_text(folder / UNFINISHED, job.settings())
    for machine in job.machines:
        for split in {clip.split: None for clip in job.files}:
            (folder / "dev_data" / machine / split).mkdir(parents=True, exist_ok=True)
    with contextlib.closing(_in_parallel(job.make_clip, job.files)) as finished:
        for done, _ in enumerate(finished, start=1):
            if progress is not None:
                progress(done, len(job.files))
    for table, clips in groupby(() if job.hide_labels else job.clips, key=job.table):
        write_text(table, attribute_table(list(clips)))
    remove_temporary(folder)  # left by a call that was killed
    write_text(folder / MARKER, job.settings())
    (folder / UNFINISHED).unlink(missing_ok=True)
    return folder


def _in_parallel(make: Callable[[AnyClip], None], clips: Sequence[AnyClip]) -> Generator[None, None, None]:
    """Threads instead of processes: numpy and soundfile release the interpreter lock, and kill -9 ends threads, too."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ThreadPoolExecutor(cores)
    try:
        yield from pool.map(make, clips)
    finally:
        pool.shutdown(cancel_futures=True)


def _disk_too_full(folder: Path, missing: int, cure: str) -> str:
    return (
        f"the disk of {folder} is too full for the demo set: {missing:,} bytes are still needed; "
        f"free some space and run it again (finished clips are kept), or {cure}"
    )
