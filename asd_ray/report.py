"""``python -m asd_ray.report``: the same as ``asd-ray report``."""

import sys

from asd_ray.cli.report import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
