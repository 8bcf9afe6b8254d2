"""``python -m asd_ray.conformance``: the same as ``asd-ray conformance``."""

import sys

from asd_ray.cli.conformance import main

if __name__ == "__main__":
    sys.exit(main())
