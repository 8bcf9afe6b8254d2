"""The folders of a run that only asd_ray writes to: no output that a user names may lie there."""

from __future__ import annotations

import os
from pathlib import Path

from asd_ray.errors import AsdRayError
from asd_ray.storage.run_layout import RunLayout

NAMES = tuple(Path(folder).name for folder in RunLayout("run").own_folders)


def refuse_own_folder(path: str | Path, cure: str, run: RunLayout | None = None) -> None:
    """Raise if `path` lies in such a folder of any run on the disk, or of `run` on S3: readers of it would fail."""
    if run is not None and run.is_s3:
        owned = next((folder for folder in run.own_folders if f"{path}/".startswith(f"{folder}/")), None)
        owned = owned and run.url(owned)
    else:
        real = Path(os.path.realpath(Path(path).expanduser()))  # resolve() would raise for a link in a circle
        owned = next((str(part) for part in (real, *real.parents) if _is_own(part)), None)
    if owned:
        raise AsdRayError(f"{path}: lies in {owned}, which a run keeps for its own files; {cure}")


def _is_own(folder: Path) -> bool:
    if folder.name not in NAMES:
        return False
    try:
        return any(entry.name.startswith("machine=") for entry in (folder.parent / "ledger").iterdir())
    except OSError:
        return False
