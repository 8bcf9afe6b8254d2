"""``python -m asd_ray.paper``: the same as ``asd-ray paper``."""

import sys

from asd_ray.cli.paper import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
