"""Finds the files that we ship beside the code: search_spaces/, ensembles/ and dashboards/."""

from __future__ import annotations

from pathlib import Path

from asd_ray.errors import AsdRayError

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The path of such a folder: inside the package (wheel), or at the top of the repository (editable install)."""
    for home in (_PACKAGE / "_shipped_files", _PACKAGE.parent):
        if (home / folder).is_dir():
            return home / folder
    raise AsdRayError(
        f"{folder}/ is missing beside {_PACKAGE}; reinstall asd_ray (pip install --force-reinstall asd_ray)"
    )
