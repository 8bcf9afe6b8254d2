"""``python -m asd_ray.ensemble``: the same as ``asd-ray ensemble``."""

import sys

from asd_ray.cli.ensemble import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
