"""``python -m asd_ray.search``: the same as ``asd-ray search``."""

import sys

from asd_ray.cli.search import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
