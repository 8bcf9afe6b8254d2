"""The synthetic demo set: five machines, stored on disk as a DCASE 2022 development set.

`make_demo` writes the files, `cached_demo` writes them to the cache. machines.py, rotating.py and reciprocating.py
define the sound.
"""

from asd_ray.clips.demo.machines import MACHINES
from asd_ray.clips.demo.make import cached_demo, is_demo_set, make_demo
from asd_ray.clips.demo.plan import SIZES, DemoSize

__all__ = ["MACHINES", "SIZES", "DemoSize", "cached_demo", "is_demo_set", "make_demo"]
