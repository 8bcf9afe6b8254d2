"""``python -m asd_ray.data``: the same as ``asd-ray data``."""

import sys

from asd_ray.cli.data import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
