"""``python -m asd_ray.score``: the same as ``asd-ray score``."""

import sys

from asd_ray.cli.score import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
