"""Import Ray with the settings that all of asd_ray uses. Ray reads them from the environment when it is imported."""

from __future__ import annotations

import importlib.util
import os

from asd_ray.errors import AsdRayError
from asd_ray.tuning.config import LOCAL

# With 0 a Ray of one computer listens on 127.0.0.1 alone, else on every network.
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def import_ray(address: str) -> None:
    """Call this before anything else imports Ray. `address` is where it will run: local, auto or HOST:PORT."""
    if importlib.util.find_spec("ray") is None:
        raise AsdRayError(
            "not installed: ray; for asd-ray serve run: pip install 'asd_ray[serve]'; for all else: pip install "
            "'ray[default,tune]', or leave Ray out with --serial"
        )
    if address == LOCAL:
        os.environ.setdefault(LOOPBACK, "0")
    import asd_ray.tuning.on_ray._ray  # noqa: F401
