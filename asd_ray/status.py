"""``python -m asd_ray.status``: the same as ``asd-ray status``."""

import sys

from asd_ray.cli.status import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
