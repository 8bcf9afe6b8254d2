"""t-SNE of clips by label, by id and by domain: Kim et al. Fig. 4, Liu et al. Fig. 2, Jiang et al. Fig. 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from asd_ray.clips.bank import ClipSet
from asd_ray.clips.table import ANOMALY, NORMAL
from asd_ray.figures.drawing import (
    BLUE,
    COLOURS,
    CROSS,
    DOT,
    GREEN,
    ORANGE,
    RED,
    Points,
    legend,
    page,
    scatter,
    set_caption,
)
from asd_ray.figures.request import Request, embeddings_of
from asd_ray.figures.t_sne import Floats, perplexity, plane, standardised
from asd_ray.figures.trials import Chosen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (3.8, 3.8)  # inches of a panel
ACROSS = 2  # panels in a row of Kim's figure
MARKERS = {NORMAL: DOT, ANOMALY: CROSS}
# As in Jiang et al., in shades that the colour-blind can tell apart: blue, yellow, green and red.
BY_DOMAIN = {
    ("source", NORMAL): BLUE,
    ("target", NORMAL): ORANGE,
    ("source", ANOMALY): GREEN,
    ("target", ANOMALY): RED,
}


def by_label(request: Request) -> Figure:
    """One panel per machine: normal and anomalous test clips, by default of the id that the paper shows."""
    columns = min(ACROSS, len(request.machines))
    figure, panels = page(-(-len(request.machines) // columns), columns, SIZE, request.figure.title)
    all_panels = [axes for row in panels for axes in row]
    lines, counts = [], []
    for machine, axes in zip(request.machines, all_panels, strict=False):
        clips, chosen = request.labelled(machine), request.chosen(machine)
        points = _plane(request, chosen, clips)
        groups = _groups(points, clips.frame["label"], {NORMAL: BLUE, ANOMALY: RED})
        scatter(axes, groups, f"{machine}, id {', '.join(request.ids_of(machine))}")
        lines.append(f"{machine}: {_counts(clips)}; {chosen.caption}.")
        counts.append(len(clips))
    for axes in all_panels[len(request.machines) :]:
        axes.set_axis_off()
    legend(figure, [axes for row in panels for axes in row])
    set_caption(figure, [*lines, _how(request, counts), *request.notes])
    return figure


def by_id(request: Request) -> Figure:
    """One row of panels per machine, one panel per net: a colour per id, dots for normal clips, crosses for others."""
    shown = {machine: _nets(request, machine) for machine in request.machines}
    columns = max(map(len, shown.values()))
    figure, panels = page(len(shown), columns, SIZE, request.figure.title)
    lines, counts = list[str](), list[int]()
    for (machine, nets), own_panels in zip(shown.items(), panels, strict=True):
        clips = request.labelled(machine)
        for (name, chosen), axes in zip(nets.items(), own_panels, strict=False):
            scatter(axes, _by_id(_plane(request, chosen, clips), clips), f"{machine}, {name}")
            lines.append(f"{machine}, {name}: {chosen.caption}.")
        lines += [f"{machine}: {_counts(clips)}."]
        counts.append(len(clips))
        lines += [f"{machine}: {row.name} has no trial with a state." for row in request.rows if row.name not in nets]
        for axes in own_panels[len(nets) :]:
            axes.set_axis_off()
    legend(figure, [axes for row in panels for axes in row])
    set_caption(figure, [*lines, _how(request, counts), *request.notes])
    return figure


def by_domain(request: Request) -> Figure:
    """One row of panels per machine: all training clips, the normal test clips, and all test clips, on one map."""
    figure, panels = page(len(request.machines), 3, SIZE, request.figure.title)
    lines, counts = [], []
    for machine, (training_axes, normal_axes, test_axes) in zip(request.machines, panels, strict=True):
        training, test, chosen = request.training(machine), request.labelled(machine), request.chosen(machine)
        both = ClipSet(request.bank, np.concatenate([training.rows, test.rows]))
        points = _plane(request, chosen, both, standardise=True)
        of_training, of_test = np.split(points, [len(training)])
        is_normal = (test.frame["label"] == NORMAL).to_numpy()
        scatter(training_axes, _by_domain(of_training, training.frame), f"(a) {machine}, training clips")
        scatter(normal_axes, _by_domain(of_test[is_normal], test.frame[is_normal]), "(b) normal test clips")
        scatter(test_axes, _by_domain(of_test, test.frame), "(c) all test clips")
        for axes in (normal_axes, test_axes):  # the same place means the same statistics in all three
            axes.sharex(training_axes)
            axes.sharey(training_axes)
        training_axes.set(**_limits(points))
        lines.append(f"{machine}: {len(training)} training clips, {_counts(test)}; {chosen.caption}.")
        counts.append(len(both))
    legend(figure, [axes for row in panels for axes in row])
    set_caption(figure, [*lines, _how(request, counts), *request.notes])
    return figure


def _nets(request: Request, machine: str) -> dict[str, Chosen]:
    """The trial of each row of the paper; one trial of the family if no row has any."""
    if request.trial is not None:
        chosen = request.run.named(request.trial, machine)
        return {chosen.record.family: chosen}
    found = {row.name: request.run.choose(row, machine, request.figure.told_by) for row in request.rows}
    nets = {name: chosen for name, chosen in found.items() if chosen is not None}
    if not nets:
        newest = request.run.newest(request.rows[0].members[0].family, machine)
        if newest is None:
            raise request.no_state(machine)
        nets[" ".join([newest.record.family, *_told(newest, request.figure.told_by)])] = newest
    return nets


def _told(chosen: Chosen, told_by: str) -> list[str]:
    """The value that tells a trial from those of the paper's rows, if it has one."""
    return [f"{told_by}={chosen.record.params[told_by]}"] if told_by in chosen.record.params else []


def _plane(request: Request, chosen: Chosen, clips: ClipSet, *, standardise: bool = False) -> Floats:
    detector = request.run.detector(chosen, request.bank)
    values = embeddings_of(chosen, detector, clips, request.figure.embedding)
    return plane(standardised(values) if standardise else values, request.figure.t_sne, request.seed)


def _groups(points: Floats, labels: pd.Series[str], colours: dict[str, str]) -> list[Points]:
    masks = {label: (labels == label).to_numpy() for label in colours}
    return [Points(label, points[mask], colours[label], MARKERS[label]) for label, mask in masks.items() if mask.any()]


def _by_id(points: Floats, clips: ClipSet) -> list[Points]:
    ids, groups = clips.frame["id"], list[Points]()
    for number, id in enumerate(sorted(set(ids))):
        mine, colour = (ids == id).to_numpy(), COLOURS[number % len(COLOURS)]
        for label, marker in MARKERS.items():
            mask = mine & (clips.frame["label"] == label).to_numpy()
            if mask.any():
                groups.append(Points(f"id {id}, {label}", points[mask], colour, marker))
    return groups


def _by_domain(points: Floats, frame: pd.DataFrame) -> list[Points]:
    domains = frame["domain"].replace("", "source")  # a year without domains
    groups = []
    for (domain, label), colour in BY_DOMAIN.items():
        mask = ((domains == domain) & (frame["label"] == label)).to_numpy()
        if mask.any():
            groups.append(Points(f"{domain}, {label}", points[mask], colour, MARKERS[label]))
    return groups


def _limits(points: Floats) -> dict[str, tuple[float, float]]:
    low, high = points.min(0), points.max(0)
    room = 0.06 * (high - low)
    (left, bottom), (right, top) = (low - room).tolist(), (high + room).tolist()
    return {"xlim": (left, right), "ylim": (bottom, top)}


def _counts(clips: ClipSet) -> str:
    counts: Sequence[int] = [int((clips.frame["label"] == label).sum()) for label in (NORMAL, ANOMALY)]
    return f"{counts[0]} normal and {counts[1]} anomalous test clips"


def _how(request: Request, counts: Sequence[int]) -> str:
    t_sne = request.figure.t_sne
    perplexities = ", ".join(f"{value:.3g}" for value in sorted({perplexity(count, t_sne) for count in counts}))
    rate = "automatic" if t_sne.learning_rate is None else f"{t_sne.learning_rate:g}"
    return (
        f"t-SNE: perplexity {perplexities}, {t_sne.iterations} iterations, learning rate {rate}, seed {request.seed}."
    )
