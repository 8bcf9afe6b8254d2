"""``asd-ray verify``: check every file of a run's ledger, and every ensemble file against the ledger."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from asd_ray._terminal import say
from asd_ray.cli._arguments import RUN, parser
from asd_ray.cli._next import say_next
from asd_ray.cli._run import run
from asd_ray.cli.ledger.verify import print_verification

EXAMPLES = ("asd-ray verify runs/fan", "asd-ray verify s3://bucket/runs/fan")


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "verify",
        "Read every file of a run's ledger completely, set broken ones aside, and build every ensemble file of the\n"
        "run again from the ledger. The exit status is 1 if anything was wrong.",
        EXAMPLES,
    )
    command.add_argument("run", metavar="RUN", help=RUN)
    return run(command, _verify, argv)


def _verify(args: argparse.Namespace) -> int:
    from asd_ray.ensembling.verifying_run import verify_ensembles
    from asd_ray.ledger.store import Ledger
    from asd_ray.ledger.verifying import verify

    ledger = Ledger(args.run).require()
    report = verify(ledger)
    print_verification(report)
    say("ledger: clean" if report.is_clean else f"ledger: {len(report.set_aside) + len(report.problems)} problems")
    files = verify_ensembles(Ledger(args.run))  # opened again: trials may have been set aside
    wrong = [file for file in files if not file.is_right]
    for file in files:
        say(f"{file.path}: {file.problem or f'{file.values} values agree with the ledger'}")
    say(f"ensembles: {len(files)} files, {len(wrong)} with problems")
    if report.trials["complete"]:
        is_ready = files and not wrong and not report.set_aside
        say_next("report" if is_ready else "ensemble", "--run", ledger.layout.root)
    else:
        say_next("ledger", "ls", ledger.layout.root)
    return 0 if report.is_clean and not wrong else 1
