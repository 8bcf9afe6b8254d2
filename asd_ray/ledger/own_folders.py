"""The folders of a run that asd_ray keeps for itself: a file that a user asks for does not go there."""

from __future__ import annotations

import os
from pathlib import Path

from asd_ray.errors import AsdRayError
from asd_ray.storage.run_layout import RunLayout

NAMES = (
    *("ledger", "ledger_set_aside", "ensembles", "checkpoints", "models", "locks", "status", "tensorboard"),
    ".asd_ray_run",
)


def refuse_own_folder(path: str | Path, cure: str, run: RunLayout | None = None) -> None:
    """Raise if `path` lies in such a folder of any run on the disk, or on S3 of `run`: readers would meet it there."""
    if run is not None and run.is_s3:
        inside = [f"{run.base}/{name}" for name in NAMES]
        found = next((folder for folder in inside if f"{path}/".startswith(f"{folder}/")), None)
        found = found and run.url(found)
    else:
        whole = Path(os.path.realpath(Path(path).expanduser()))  # where resolve() raises for a link in a circle
        found = next((str(part) for part in (whole, *whole.parents) if _is_own(part)), None)
    if found:
        raise AsdRayError(f"{path}: lies in {found}, which a run keeps for its own files; {cure}")


def _is_own(folder: Path) -> bool:
    if folder.name not in NAMES:
        return False
    try:
        return any(entry.name.startswith("machine=") for entry in (folder.parent / "ledger").iterdir())
    except OSError:
        return False
