"""``python -m asd_ray.onnx``: the same as ``asd-ray onnx``."""

import sys

from asd_ray.cli.onnx import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
