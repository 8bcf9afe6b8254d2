"""The figures of ``asd-ray paper --figure``: their options, their list, and the file that is written."""

from __future__ import annotations

import argparse
from pathlib import Path

from asd_ray._terminal import say
from asd_ray.cli._dataset_options import named_dataset
from asd_ray.cli._paper_run import NEED_DATA, is_given
from asd_ray.cli._types import local_path, seed_number
from asd_ray.errors import AsdRayError

OF_FIGURES = ("id", "trial", "clip", "out", "figure_seed")
OF_TABLES = ("table", "csv", "markdown", *(name for name in NEED_DATA if name not in ("run", "machine")))


def add_figure_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("draw a figure, from --data and the states of --run")
    add = group.add_argument
    add("--figure", metavar="NUMBER", help="this figure, by its number in the paper, of --machine or the paper's")
    add("--id", nargs="+", action="extend", default=[], metavar="ID", help="only clips of these ids")
    add("--trial", metavar="NAME", help="the detector of this trial (default: the paper's setting, else the newest)")
    add("--clip", metavar="NAME", help="of a localisation: this test clip (default: the anomalous one scored highest)")
    add("--figure-seed", type=seed_number, metavar="N", help="seed of t-SNE and of drawn clips (default 0)")
    add("--out", type=local_path, metavar="FILE", help="a .png or .svg (default: PAPER_figure_NUMBER.png here)")


def refuse_figure_options(args: argparse.Namespace) -> None:
    """Raise if an option of figures is given without --figure."""
    for name in OF_FIGURES:
        if getattr(args, name) not in (None, []):
            raise AsdRayError(f"--{name.replace('_', '-')} is for drawing a figure: give its number with --figure, too")


def draw_figure(args: argparse.Namespace) -> int:
    """Draw the figure of --figure, and write it."""
    for name in OF_TABLES:
        if is_given(getattr(args, name)):
            raise AsdRayError(f"--{name.replace('_', '-')} is for tables; leave it out, or leave --figure out")
    if args.paper is None or args.list:
        raise AsdRayError("name a paper, such as: asd-ray paper jiang2023 --figure 3 --data DIR --run RUN")
    from asd_ray.figures.index import find_figure

    figure = find_figure(args.paper, args.figure)
    if args.data is None:
        raise AsdRayError(f"figure {figure.number} of {args.paper} is drawn from clips: give the dataset with --data")
    from asd_ray.figures.draw import paper_figure
    from asd_ray.figures.drawing import check_ending, save
    from asd_ray.run import Run

    out = args.out or Path(f"{args.paper}_figure_{figure.number}.png")
    check_ending(out)
    data = named_dataset(args)
    drawn = paper_figure(
        args.paper,
        figure.number,
        Run(args.run or f"runs/{data.name}"),
        data,
        args.machine,
        ids=args.id,
        trial=args.trial,
        clip=args.clip,
        seed=args.figure_seed or 0,
    )
    say(f"figure: {save(drawn, out)}")
    say(f"left open by the paper: {figure.left_open}")
    return 0


def print_figures(key: str | None = None) -> None:
    """One paragraph per figure of a paper, or one line per paper."""
    from asd_ray._console import console
    from asd_ray.cli._paper_tables import WIDTH
    from asd_ray.figures.index import FIGURES, figures_of

    screen = console(WIDTH, soft_wrap=False)
    if key is None:
        screen.print()
        papers = ", ".join(f"{name} ({', '.join(one.number for one in own)})" for name, own in FIGURES.items())
        screen.print(f"figures: {papers}")
        return
    for figure in figures_of(key):
        screen.print()
        screen.print(f"Figure {figure.number}: {figure.title}. {', '.join(figure.machines)}.", style="bold")
        screen.print(f"Left open: {figure.left_open}.")
