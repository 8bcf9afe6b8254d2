"""The papers' pictures, drawn from the trials of a run that kept a state, and from a dataset.

    from asd_ray import Dataset, Run
    from asd_ray.figures import paper_figure

    figure = paper_figure("jiang2023", "3", Run("runs/jiang"), Dataset("dcase2022t2/"))
    figure.axes[0].set_title("ToyCar, training clips")
    figure.savefig("figure_3.svg")

`paper_figure` returns a figure of matplotlib, which can be changed. index.py says which figures there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asd_ray.figures.index import FIGURES, PaperFigure, figures_of, find_figure

if TYPE_CHECKING:
    from asd_ray.figures.draw import paper_figure

__all__ = ["FIGURES", "PaperFigure", "figures_of", "find_figure", "paper_figure"]


def __getattr__(name: str) -> Any:
    """`paper_figure` imports torch, which the list of figures does not need."""
    if name == "paper_figure":
        from asd_ray.figures.draw import paper_figure

        return paper_figure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
