"""``asd-ray data``: one sub-verb per file."""

from asd_ray.cli.data.command import VERBS, main

__all__ = ["VERBS", "main"]
