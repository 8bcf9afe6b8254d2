"""``python -m asd_ray.detectors.conformance``: the older name of ``asd-ray conformance``."""

import sys

from asd_ray.cli.conformance import main

if __name__ == "__main__":
    sys.exit(main())
