"""The synthetic demo set: five machines, stored on disk as a DCASE 2022 development set.

`make_demo` writes the files. What one recording sounds like is in machines.py, rotating.py and reciprocating.py.
"""

from asd_ray.clips.demo.machines import MACHINES
from asd_ray.clips.demo.make import make_demo
from asd_ray.clips.demo.plan import SIZES, DemoSize

__all__ = ["MACHINES", "SIZES", "DemoSize", "make_demo"]
