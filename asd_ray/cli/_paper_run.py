"""The run of a table by ``asd-ray paper --data``: its options, and what happens with them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._dataset_options import add_reading_options, named_dataset
from asd_ray.cli._search_arguments import LOCAL, add_where_it_runs
from asd_ray.cli._types import local_path, positive
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from asd_ray.experiments import PaperResult
    from asd_ray.papers import Paper, PaperTable

NEED_DATA = (
    *("run", "html", "row", "machine", "seeds", "epochs_cap", "held_out", "retry_failed", "alternatives"),
    *("address", "serial", "cpus", "cpus_per_trial", "gpus_per_trial", "memory_per_trial", "no_dashboard"),
)


def add_run_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("run the rows of a table")
    add = group.add_argument
    add("--data", metavar="DIR", help="the dataset, a folder or s3://…: train the rows on it")
    add("--run", metavar="RUN", help="folder or s3://… of results (default: runs/<name of the dataset>)")
    add("--html", type=local_path, metavar="FILE", help="also write the result to one page, such as liu2022.html")
    add("--row", nargs="+", action="extend", default=[], metavar="NAME", help="only these rows, by printed name")
    add("--machine", nargs="+", action="extend", default=[], metavar="MACHINE", help="only these machines")
    add("--seeds", type=positive, metavar="N", help="train each row N times, with the seeds 0 … N-1 (default 1)")
    add(
        "--alternatives",
        action="store_true",
        help="also train the further settings from which the authors chose by test labels, and choose as they did",
    )
    add("--epochs-cap", type=positive, metavar="N", help="train at most N epochs, for a first look")
    add("--held-out", type=float, metavar="P", help="share of normal clips held out of training (default 0.1)")
    add("--retry-failed", action="store_true", help="run failed trials again; their files are set aside, not deleted")
    add_where_it_runs(command)
    add_reading_options(command)


def refuse_run_options(args: argparse.Namespace) -> None:
    """Raise if an option of a run is given without a dataset."""
    for name in NEED_DATA:
        if is_given(getattr(args, name)):
            raise AsdRayError(f"--{name.replace('_', '-')} is for running a table: give the dataset with --data, too")


def is_given(value: object) -> bool:
    """Whether an option has another value than its default."""
    return value is not None and value is not False and value not in ([], LOCAL)


def one_table(paper: Paper, tables: Sequence[PaperTable]) -> PaperTable:
    """The only one of `tables`."""
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise AsdRayError(f"{paper.key} has no table: {paper.note}")
    numbers = ", ".join(table.number for table in tables)
    raise AsdRayError(f"{paper.key} has the tables {numbers}; choose one with --table")


def run_table(args: argparse.Namespace, command: str) -> int:
    """Train what is missing, and print our numbers beside the published ones. 1 if a trial failed."""
    from asd_ray.tuning.environment import check_packages

    check_packages(serial=args.serial)  # before the next imports, which need them
    from asd_ray._paper_run import PaperRun
    from asd_ray.papers import find
    from asd_ray.run import Run
    from asd_ray.tuning.config import Runtime

    if args.paper is None or args.list:
        raise AsdRayError("name a paper to run, such as: asd-ray paper liu2022 --table 2 --data DIR")
    paper = find(args.paper)
    table = one_table(paper, list(paper.tables) if args.table is None else [paper.table(args.table)])
    asked_for = PaperRun(
        key=paper.key,
        table=table.number,
        machines=args.machine,
        rows=args.row,
        epochs_cap=args.epochs_cap,
        seeds=args.seeds or 1,
        held_out=0.1 if args.held_out is None else args.held_out,
        retry_failed=args.retry_failed,
        alternatives=args.alternatives,
        resources=(args.cpus_per_trial, args.gpus_per_trial, args.memory_per_trial),
        runtime=Runtime(
            serial=args.serial,
            address=args.address,
            cpus=args.cpus,
            dashboard=not args.no_dashboard,
            command=command,
        ),
    )
    if args.html is not None:
        from asd_ray.reporting.paper_page import check_paper_page

        check_paper_page(args.html)
    data = named_dataset(args)
    run = Run(args.run or f"runs/{data.name}")
    quiet = args.csv or args.markdown
    result = asked_for.run(
        data.source(),
        run.ledger,
        lambda session, ray: run.run_session(session, data, quiet=quiet, is_part=True, ray=ray),
    )
    _print_result(args, result)
    if args.html is not None:
        from asd_ray.reporting.paper_page import write_paper_page

        write_paper_page(result, args.html)
        if not quiet:
            say(f"page: {args.html}")
    return 1 if result.failed else 0


def _print_result(args: argparse.Namespace, result: PaperResult) -> None:
    if args.markdown:
        from asd_ray.cli._paper_results import markdown_lines

        say("\n".join(markdown_lines(result)), lines=True)
    elif args.csv:
        from asd_ray._csv import csv_text
        from asd_ray.cli._paper_results import remarks

        for line in remarks(result):
            say(line, error=True)
        say(csv_text(result.records()).removesuffix("\n"), lines=True)
    else:
        from asd_ray.cli._paper_results import print_result

        print_result(result)
