"""``asd-ray submission write|check``: the official submission files of a DCASE year."""

from __future__ import annotations

from collections.abc import Sequence

from asd_ray.cli._arguments import parser
from asd_ray.cli._run import run_action
from asd_ray.cli.submission.check import add_check
from asd_ray.cli.submission.write import add_write

EXAMPLES = (
    "asd-ray submission write runs/dcase2023 submissions/ours_1",
    "asd-ray submission check submissions/theirs_1 --year 2023",
)
VERBS = {"write": add_write, "check": add_check}


def main(argv: Sequence[str] | None = None) -> int:
    command = parser("submission", "Write or check the official submission files of a DCASE Task 2 year.", EXAMPLES)
    actions = command.add_subparsers(dest="action", required=True, metavar="|".join(VERBS))
    for add_verb in VERBS.values():
        add_verb(actions)
    return run_action(command, argv)
