"""``asd-ray ledger``: one sub-verb per file."""

from asd_ray.cli.ledger.command import VERBS, main

__all__ = ["VERBS", "main"]
