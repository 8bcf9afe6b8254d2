"""The arguments that several sub-verbs of ``asd-ray ledger`` share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from asd_ray.cli._arguments import RUN

if TYPE_CHECKING:  # pandas and pyarrow are imported where they are used, so that --help answers at once
    from asd_ray.ledger.store import Ledger


def run_argument(command: argparse.ArgumentParser, more: str = "") -> None:
    command.add_argument("run", metavar="RUN", help=RUN + more)


def filters(command: argparse.ArgumentParser, status: str | None = None) -> None:
    """--machine, --family and --status, for sub-verbs that read some of the trials."""
    command.add_argument("--machine", help="only this machine")
    command.add_argument("--family", help="only this family")
    command.add_argument(
        "--status", choices=("complete", "pruned", "failed"), default=status, help=f"default: {status or 'all'}"
    )


def open_ledger(args: argparse.Namespace) -> Ledger:
    """The ledger of RUN; AsdRayError if there is no run."""
    from asd_ray.ledger.store import Ledger

    return Ledger(args.run).require()
