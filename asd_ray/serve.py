"""``python -m asd_ray.serve``: the same as ``asd-ray serve``."""

import sys

from asd_ray.cli.serve import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
