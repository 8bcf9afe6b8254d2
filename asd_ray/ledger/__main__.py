"""``python -m asd_ray.ledger``: the same as ``asd-ray ledger``."""

import sys

from asd_ray.cli.ledger import main

if __name__ == "__main__":
    sys.exit(main())
