"""``asd-ray status``: how the searches of a run are going."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from asd_ray.cli._arguments import RUN, parser
from asd_ray.cli._run import run

EXAMPLES = (
    "asd-ray status runs/demo                    # in another terminal",
    "asd-ray status s3://bucket/runs/fan         # on any computer that may read the run",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "status",
        "Show how the searches of a run are going: which studies are how far, what runs where, what failed. It reads\n"
        "only the files of the run, so it works in another terminal, on another computer, and without Ray.",
        EXAMPLES,
    )
    command.add_argument("run", metavar="RUN", help=RUN)
    return run(command, _status, argv)


def _status(args: argparse.Namespace) -> int:
    from asd_ray._console import console
    from asd_ray.tuning.environment import check_packages

    check_packages(serial=True)  # before the next import, which needs them
    from asd_ray.tuning.watch.status import show_status

    show_status(args.run, console(140))
    return 0
