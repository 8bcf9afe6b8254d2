"""``python -m asd_ray.evaluate``: the same as ``asd-ray evaluate``."""

import sys

from asd_ray.cli.evaluate import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
