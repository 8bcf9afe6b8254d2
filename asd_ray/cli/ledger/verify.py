"""``asd-ray ledger verify``: read every file of a ledger, and move broken ones away."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import subparser
from asd_ray.cli._next import say_next
from asd_ray.cli.ledger._options import open_ledger, run_argument
from asd_ray.errors import listing

if TYPE_CHECKING:
    from asd_ray.ledger.verifying import VerifyReport

EXAMPLES = ("asd-ray ledger verify runs/fan", "asd-ray ledger verify s3://bucket/runs/fan")


def add_verify(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summary = "read every file completely and set broken ones aside; the exit status is 1 if anything was wrong"
    run_argument(command := subparser(actions, "verify", summary, EXAMPLES))
    command.set_defaults(act=_verify)


def _verify(args: argparse.Namespace) -> int:
    from asd_ray.ledger.verifying import verify

    report = verify(open_ledger(args))
    print_verification(report)
    say("clean" if report.is_clean else f"{len(report.set_aside)} set aside, {len(report.problems)} problems")
    if report.trials["complete"]:
        say_next("ensemble", "--run", args.run)
    elif report.trials["failed"]:
        say_next("ledger", "forget", args.run, "--dry-run")
    else:
        say_next("ledger", "ls", args.run)
    return 0 if report.is_clean else 1


def print_verification(report: VerifyReport) -> None:
    trials = ", ".join(f"{count} {status}" for status, count in sorted(report.trials.items())) or "none"
    say(f"checked {report.files} files ({report.compact_files} of them compact), every row: {report.rows} scores")
    say(f"trials: {trials}")
    if report.leftovers or report.in_flight:
        say(f"temporary files: {report.leftovers} of dead writers removed, {report.in_flight} recent ones left alone")
    if report.duplicates:
        cause = "after a compaction that was stopped, or a failed trial that was retried"
        say(f"{report.duplicates} trials are in two files, {cause}; compact again")
    for title, lines in (("set aside", report.set_aside), ("rescued", report.rescued), ("problems", report.problems)):
        if lines:
            say(f"{title}:\n{listing(lines, most=1000)}", lines=True)
