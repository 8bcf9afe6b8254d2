"""``python -m asd_ray.submission``: the same as ``asd-ray submission``."""

import sys

from asd_ray.cli.submission import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
