"""``asd-ray ledger forget``: set trials aside, so that the next search runs them again."""

from __future__ import annotations

import argparse

from asd_ray._terminal import say
from asd_ray.cli._arguments import subparser
from asd_ray.cli._next import say_next
from asd_ray.cli.ledger._options import open_ledger, run_argument
from asd_ray.errors import listing

EXAMPLES = (
    "asd-ray ledger forget runs/fan --dry-run",
    "asd-ray ledger forget runs/fan --machine fan --family autoencoder",
    "asd-ray ledger forget runs/fan fan-autoencoder-0007",
)


def add_forget(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summary = "set trials aside, so that the next search runs them again; nothing is deleted"
    run_argument(command := subparser(actions, "forget", summary, EXAMPLES))
    command.add_argument(
        "trials", metavar="TRIAL", nargs="*", help="the whole name or hash of a trial; default: all failed trials"
    )
    command.add_argument("--machine", help="only of this machine")
    command.add_argument("--family", help="only of this family")
    command.add_argument("--failed", action="store_true", help="of the named trials, only those that failed")
    command.add_argument("--dry-run", action="store_true", help="list them and change nothing")
    command.set_defaults(act=_forget)


def _forget(args: argparse.Namespace) -> int:
    from asd_ray._console import console
    from asd_ray.ledger.forgetting import find_to_forget, forget

    ledger = open_ledger(args)
    records = find_to_forget(ledger, args.trials, args.machine, args.family, failed_only=args.failed)
    if not records:
        say("nothing to forget: no such trial failed")
        say_next("ledger", "ls", args.run)
        return 0
    lines = listing([f"{record}: {record.status}" for record in records], most=1000)
    if args.dry_run:
        say(f"would set aside {len(records)} trials:\n{lines}", lines=True)
        say_next("ledger", "forget", args.run, *args.trials, *_options(args))
        return 0
    forget(ledger, records)
    say(f"set aside {len(records)} trials:\n{lines}", lines=True)
    console().print(
        f"their files are in {ledger.layout.url(ledger.layout.set_aside)}. The .reason.txt beside each file has the "
        "command that brings it back. To run these trials again, run the same search again"
    )
    say_next("ledger", "ls", args.run)
    return 0


def _options(args: argparse.Namespace) -> list[str]:
    """The options that choose the trials, as they were typed."""
    options = ["--failed"] if args.failed else []
    for name in ("machine", "family"):
        if (value := getattr(args, name)) is not None:
            options += [f"--{name}", value]
    return options
