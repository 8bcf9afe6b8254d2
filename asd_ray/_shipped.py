"""Where the files that we ship beside the code are: search_spaces/, ensembles/ and dashboards/."""

from __future__ import annotations

from pathlib import Path

from asd_ray.errors import AsdRayError

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder of an editable install (top of the repository) or of a wheel (inside the package)."""
    for home in (_PACKAGE / "_shipped_files", _PACKAGE.parent):
        if (home / folder).is_dir():
            return home / folder
    raise AsdRayError(
        f"{folder}/ is missing beside {_PACKAGE}; reinstall asd_ray (pip install --force-reinstall asd_ray)"
    )
