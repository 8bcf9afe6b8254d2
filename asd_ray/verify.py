"""``python -m asd_ray.verify``: the same as ``asd-ray verify``."""

import sys

from asd_ray.cli.verify import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
