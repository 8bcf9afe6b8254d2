"""``python -m asd_ray.explain``: the same as ``asd-ray explain``."""

import sys

from asd_ray.cli.explain import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
