"""``asd-ray paper``: the tables of published papers, the settings that give their rows here, and a run of them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import parser
from asd_ray.cli._next import say_next
from asd_ray.cli._paper_figures import add_figure_options, draw_figure, print_figures, refuse_figure_options
from asd_ray.cli._paper_run import add_run_options, one_table, refuse_run_options, run_table
from asd_ray.cli._run import run
from asd_ray.cli._weights_option import add_weights_option
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from asd_ray.papers import Paper, PaperTable

EXAMPLES = (
    "asd-ray paper --list",
    "asd-ray paper liu2022 --table 2",
    "asd-ray paper jiang2023",
    "asd-ray paper kim2021 --table II --csv > kim.csv",
    "asd-ray paper liu2022 --table 2 --data dcase2020t2/ --run runs/liu  # run it",
    "asd-ray paper liu2022 --table 2 --data dcase2020t2/ --row IDNN --machine fan pump --seeds 3",
    "asd-ray paper jiang2023 --figure 3 --data dcase2022t2/ --run runs/jiang  # draw it",
    "asd-ray paper liu2022 --table 2 --data dcase2020t2/ --run runs/liu --html liu2022.html",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "paper",
        "Show the published numbers of a paper, and for each row the family and the settings that give it here, or\n"
        "why it cannot be run. Without a paper, list all papers and tables. With --data, train the rows on a dataset\n"
        "and show our numbers beside the published ones. To resume, run the same command again.",
        EXAMPLES,
    )
    add = command.add_argument
    add("paper", nargs="?", metavar="PAPER", help="a paper's key such as liu2022; without --table, all its tables")
    add("--list", action="store_true", help="list the papers, their tables, and how many rows can be run here")
    add("--table", metavar="NUMBER", help="only this table, by its number in the paper, such as 2 or II")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print one table as CSV")
    form.add_argument("--markdown", action="store_true", help="print one table as Markdown")
    add_weights_option(command)
    add_run_options(command)
    add_figure_options(command)
    return run(command, lambda args: _act(args, sys.argv[1:] if argv is None else argv), argv)


def _act(args: argparse.Namespace, argv: Sequence[str]) -> int:
    if args.figure is not None:
        return draw_figure(args)
    refuse_figure_options(args)
    if args.paper is not None and args.brought:
        _check_weights(args.paper, args.brought)
    if args.data is None:
        refuse_run_options(args)
        return _show(args)
    return run_table(args, shlex.join(["asd-ray", "paper", *argv]))


def _show(args: argparse.Namespace) -> int:
    from asd_ray.papers import find

    if args.paper is None or args.list:
        if args.paper or args.table is not None or args.csv or args.markdown:
            raise AsdRayError(
                "the list of papers takes no other argument; for a table: asd-ray paper liu2022 --table 2"
            )
        return _list()
    paper = find(args.paper)
    tables = list(paper.tables) if args.table is None else [paper.table(args.table)]
    if args.csv or args.markdown:
        _print_for_files(paper, tables, args.markdown)
        return 0
    _print(paper, tables)
    return 0


def _check_weights(key: str, texts: Sequence[str]) -> None:
    """Raise if weights are given that no row of the paper can start from, or that are not those of their net."""
    from asd_ray.detectors.encoders.loading import name_of  # it imports torch
    from asd_ray.families.weights import read_weights
    from asd_ray.papers import find

    paper = find(key)
    takes = {row.needs for table in paper.tables for row in table.rows if row.needs}
    for net, path in read_weights(texts).items():
        if net not in takes:
            has = f"they can be given for {', '.join(sorted(takes))}" if takes else "leave the option out"
            raise AsdRayError(f"--weights {net}: no row of {paper.key} starts from weights of it; {has}")
        name_of(net, path)


def _list() -> int:
    from asd_ray.cli._paper_tables import print_overview
    from asd_ray.papers import overview

    print_overview(overview())
    print_figures()
    say_next("paper", "liu2022", "--table", "2")
    return 0


def _print_for_files(paper: Paper, tables: Sequence[PaperTable], markdown: bool) -> None:
    """One table on standard output, as CSV or Markdown."""
    table = one_table(paper, tables)
    if markdown:
        from asd_ray.cli._paper_tables import markdown_lines

        say("\n".join(markdown_lines(table)), lines=True)
    else:
        from asd_ray._csv import csv_text

        say(csv_text(table.records()).removesuffix("\n"), lines=True)


def _print(paper: Paper, tables: Sequence[PaperTable]) -> None:
    from asd_ray.cli._paper_tables import print_tables

    print_tables(paper, tables)
    if len(tables) == len(paper.tables):
        print_figures(paper.key)
    last = next((row for table in reversed(tables) for row in reversed(table.runnable)), None)
    if last is None or not last.is_paper_setting or not last.values:
        say_next("paper", "--list")
    else:
        where = "--jointly" if last.jointly else next(iter(last.values))
        say_next("search", where, "--families", *last.families, "--trials", 1)
