"""What all figures share: the page, the caption, colours that everybody can tell apart, points, and the file."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_ray._terminal import visible
from asd_ray.errors import AsdRayError
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.places import make_folder, storage_error

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision can tell apart
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK = "#CC79A7", "#56B4E9", "#000000"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)
DOT, CROSS = "o", "x"
ENDINGS = (".png", ".svg")
DPI = 150  # of a PNG, and of what is not lines and text in an SVG
PER_INCH = 15  # letters of a caption
NARROWEST = 5.2  # inches of a figure: room for a title and a legend
CURE = "name another file with --out"


@dataclass(frozen=True)
class Points:
    """Some points of a plane that look alike, and their name in the legend."""

    name: str
    at: npt.NDArray[np.float64]  # [n, 2]
    colour: str
    marker: str


def page(rows: int, columns: int, size: tuple[float, float], title: str) -> tuple[Figure, list[list[Axes]]]:
    """A figure with [rows, columns] axes of `size` inches each. It belongs to no window and no global state."""
    from matplotlib.figure import Figure

    width, height = max(NARROWEST, columns * size[0]), rows * size[1]
    figure = Figure(figsize=(width, height + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle("\n".join(textwrap.wrap(visible(title), round(10 * width))), fontsize=11)
    return figure, [list(row) for row in axes]


def set_caption(figure: Figure, lines: Sequence[str]) -> None:
    """Small lines below the axes: which trial, which clips, what differs from the paper."""
    width = round(PER_INCH * float(figure.get_size_inches()[0]))
    wrapped = [part for line in lines for part in textwrap.wrap(visible(line), width, break_on_hyphens=False)]
    figure.supxlabel(plain("\n".join(wrapped)), fontsize=7, ha="left", x=0.01)


def plain(text: str) -> str:
    """Text for matplotlib, in which a dollar would begin a formula."""
    return text.replace("$", r"\$")


def scatter(axes: Axes, groups: Sequence[Points], title: str) -> None:
    """Draw groups of points, crosses over dots. The axes of t-SNE have no unit, so they have no ticks."""
    for group in sorted(groups, key=lambda each: each.marker == CROSS):
        is_cross = group.marker == CROSS
        axes.scatter(
            group.at[:, 0],
            group.at[:, 1],
            s=24 if is_cross else 18,
            c=group.colour,
            marker=group.marker,
            linewidths=1.1 if is_cross else 0,
            alpha=0.9 if is_cross else 0.7,
            label=plain(visible(group.name)),
            rasterized=len(group.at) > 5000,
        )
    axes.set_title(plain(visible(title)), fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.06)


def legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend of all panels, right of them, so that it covers no point."""
    entries: dict[str, Artist] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        entries |= dict(zip(map(str, names), handles, strict=True))  # a name keeps its first place
    figure.legend(list(entries.values()), list(entries), loc="outside right center", fontsize=8, frameon=False)


def check_ending(path: Path) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise AsdRayError(f"{path}: a figure is written as {' or '.join(ENDINGS)}; {CURE}")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG or SVG, by the ending of `path`, all or nothing."""
    check_ending(path)
    make_folder(path.parent, "the figure", CURE)
    try:
        with written_aside(path) as aside:
            figure.savefig(aside, format=path.suffix.lower()[1:], dpi=DPI)
    except OSError as error:
        raise storage_error(error, path, "the figure", CURE) from error
    return path
