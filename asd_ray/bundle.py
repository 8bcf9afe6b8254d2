"""``python -m asd_ray.bundle``: the same as ``asd-ray bundle``."""

import sys

from asd_ray.cli.bundle import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
