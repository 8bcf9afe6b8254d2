"""``python -m asd_ray.watch``: the same as ``asd-ray watch``."""

import sys

from asd_ray.cli.watch import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
