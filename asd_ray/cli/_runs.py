"""Which run a command means when none is named."""

from __future__ import annotations

from pathlib import Path

from asd_ray.errors import AsdRayError
from asd_ray.storage.run_layout import RunLayout


def only_run() -> str:
    """The run in runs/ if there is only one; an AsdRayError names several."""
    runs = sorted(path for path in Path("runs").glob("*/") if Path(RunLayout(path).ledger).is_dir())
    if len(runs) == 1:
        return str(runs[0])
    what = f"runs/ holds {', '.join(path.name for path in runs)}" if runs else "there is no run in runs/ here"
    raise AsdRayError(f"{what}; name one: --run runs/NAME" + ("" if runs else ", or search first: asd-ray search"))
