"""``asd-ray data check|bank|demo``: check a dataset, decode it into a bank, or make the synthetic demo set."""

from __future__ import annotations

from collections.abc import Sequence

from asd_ray.cli._arguments import parser
from asd_ray.cli._run import run_action
from asd_ray.cli.data.bank import add_bank
from asd_ray.cli.data.check import add_check
from asd_ray.cli.data.demo import add_demo

EXAMPLES = (
    "asd-ray data demo demo/                         # make the synthetic demo set",
    "asd-ray data check demo/                        # what it contains, and every problem with its cure",
    "asd-ray data bank demo/                         # decode it once for all later runs",
)
VERBS = {"check": add_check, "bank": add_bank, "demo": add_demo}


def main(argv: Sequence[str] | None = None) -> int:
    command = parser("data", "Check a dataset, decode it into a bank, or make the synthetic demo set.", EXAMPLES)
    actions = command.add_subparsers(dest="action", required=True, metavar="|".join(VERBS))
    for add_verb in VERBS.values():
        add_verb(actions)
    return run_action(command, argv)
