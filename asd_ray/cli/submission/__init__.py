"""``asd-ray submission``: one sub-verb per file."""

from asd_ray.cli.submission.command import VERBS, main

__all__ = ["VERBS", "main"]
