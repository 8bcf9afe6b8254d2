"""Checks of this computer before the first trial. They report everything that is wrong at once."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.errors import AsdRayError, StorageError, listing
from asd_ray.storage.caches import CACHE_VARIABLE, cache_root

if TYPE_CHECKING:  # it imports packages that `check_packages` looks for
    from asd_ray.ledger import RunLayout

PACKAGES = (  # what trials and the search import
    *("numpy", "scipy", "pandas", "pyarrow", "sklearn", "torch", "torchaudio", "soundfile", "soxr", "xxhash"),
    *("safetensors", "threadpoolctl", "optuna", "rich", "yaml", "tensorboardX"),
)
INSTALL = "install asd_ray again with all that it needs: pip install --upgrade --force-reinstall asd_ray"


def check_packages(*, serial: bool) -> None:
    """Raise if a package that every search needs is not installed. Nothing is imported, so this takes no time."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise AsdRayError(f"not installed: {', '.join(missing)}; {INSTALL}")
    if not serial and importlib.util.find_spec("ray") is None:
        raise AsdRayError("not installed: ray; pip install 'ray[default,tune]', or search with --serial")


def check_environment(cache: str | Path | None, address: str, *, serial: bool) -> None:
    """Raise if every trial would fail for the same reason. Call it before data is made and before Ray is started."""
    if address != "local":
        from asd_ray.tuning.on_ray.cluster import check_address

        check_address(address)
    problems = [problem for problem in (_problem(check) for check in _checks(cache, serial)) if problem]
    if problems:
        raise AsdRayError(problems[0] if len(problems) == 1 else f"no trial could run here:\n{listing(problems)}")


def check_run(layout: RunLayout) -> None:
    """Raise if no trial could be stored in this run. On S3 only a write can show that, and the first is a lock's."""
    if layout.is_s3:
        return
    place = Path(layout.ledger)
    while not place.exists() and place != place.parent:
        place = place.parent
    problem = "not a folder" if not place.is_dir() else "" if os.access(place, os.W_OK | os.X_OK) else "not writable"
    if problem:
        raise StorageError(f"{place}: {problem}, so no trial could be stored; name another run with --run")


def check_gpu() -> None:
    """Raise if torch sees a GPU but cannot compute on it now, for example because another process has it alone."""
    import torch

    if not torch.cuda.is_available():
        return
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise AsdRayError(
            f"the GPU cannot be used ({reason}); free it, or search on CPUs with --gpus-per-trial 0"
        ) from error


def _problem(check: Callable[[], object]) -> str:
    try:
        check()
    except AsdRayError as error:
        return str(error)
    return ""


def _checks(cache: str | Path | None, serial: bool) -> Iterator[Callable[[], object]]:
    yield _check_imports
    yield lambda: _check_cache(cache)
    if not serial:
        yield _check_temporary


def _check_imports() -> None:
    try:
        import scipy.signal
        import sklearn.mixture

        from asd_ray import _torchaudio

        del scipy, sklearn, _torchaudio
    except Exception as error:  # a package that is partly installed may raise anything
        raise AsdRayError(
            f"a package that trials need cannot be imported ({type(error).__name__}: {error}); {INSTALL}"
        ) from error


def _check_cache(cache: str | Path | None) -> None:
    """Only what is not a folder is refused: a read-only cache may hold all that is needed."""
    from asd_ray.features import FeatureCache

    place = cache_root(cache)
    for folder in (place, place / "features", place / "banks"):
        if folder.exists() and not folder.is_dir():
            raise AsdRayError(
                f"{folder}: not a folder, so it can hold no cache; remove it, or name a folder with --cache DIR or "
                f"${CACHE_VARIABLE}"
            )
    FeatureCache(cache)  # reads its own environment variable


def _check_temporary() -> None:
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise AsdRayError(f"{error.strerror or error}; name a folder that can be written with $TMPDIR") from error
