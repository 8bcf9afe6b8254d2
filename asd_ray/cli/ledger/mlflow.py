"""``asd-ray ledger mlflow``: write the trials as runs of MLflow."""

from __future__ import annotations

import argparse

from asd_ray._numbers import count
from asd_ray._progress import progress_bar
from asd_ray._terminal import say, typed
from asd_ray.cli._arguments import subparser
from asd_ray.cli.ledger._options import filters, open_ledger, run_argument
from asd_ray.ledger.record import STATUSES

EXAMPLES = (
    "asd-ray ledger mlflow runs/fan mlflow.db",
    "asd-ray ledger mlflow runs/fan https://mlflow.example.org --status complete",
)


def add_mlflow(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(
        actions, "mlflow", "write each trial as a run of MLflow; repeated, it writes what is new", EXAMPLES
    )
    run_argument(command)
    filters(command)
    command.add_argument("store", metavar="STORE", help="an SQLite file, or the http:// address of a tracking server")
    command.set_defaults(act=_mlflow)


def _mlflow(args: argparse.Namespace) -> int:
    from asd_ray.ledger.mlflow_export import export_mlflow, without_password

    statuses = STATUSES if args.status is None else (args.status,)
    with progress_bar("exporting", things="trials") as progress:
        done = export_mlflow(
            open_ledger(args),
            args.store,
            machine=args.machine,
            family=args.family,
            statuses=statuses,
            progress=progress,
        )
    written = f"{count(done.new, 'trial')} written, {done.replaced} written again, {done.unchanged} unchanged"
    say(f"{written} → {without_password(args.store)}")
    say(f"experiments: {', '.join(done.experiments)}")
    if done.uri.startswith("sqlite:"):
        say(f"to look at them: pip install mlflow && {typed('mlflow', 'ui', '--backend-store-uri', done.uri)}")
    return 0
