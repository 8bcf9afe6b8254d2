"""Which run a command means when none is named."""

from __future__ import annotations

from pathlib import Path

from asd_ray.errors import AsdRayError
from asd_ray.storage.run_layout import RunLayout


def only_run() -> str:
    """The run in runs/ if there is only one; an AsdRayError names several."""
    runs = sorted(path for path in Path("runs").glob("*/") if _is_run(path))
    if len(runs) == 1:
        return str(runs[0])
    what = f"runs/ holds {', '.join(path.name for path in runs)}" if runs else "there is no run in runs/ here"
    raise AsdRayError(f"{what}; name one: --run runs/NAME" + ("" if runs else ", or search first: asd-ray search"))


def _is_run(folder: Path) -> bool:
    try:
        return Path(RunLayout(folder).ledger).is_dir()
    except AsdRayError:  # no run can be in a folder of this name
        return False
