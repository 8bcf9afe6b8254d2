"""The charts of the report. Their data are the facts of `gather`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from asd_ray.ensembling.result import TrailStep
from asd_ray.metrics import MAX_FPR
from asd_ray.reporting.svg import Axis, Plot, as_text, axis, colour, drawing, figure
from asd_ray.reporting.text import number, short, signed, span

Facts = Mapping[str, Any]


def roc(curves: Sequence[Facts], *, zoom: bool = False) -> Markup:
    """Curves of all ids; `zoom` shows the region of the pAUC alone."""
    x = Axis(0, MAX_FPR if zoom else 1, "false positive rate")
    plot = Plot(x, Axis(0, 1, "true positive rate"), title="ROC curves" + (" of the pAUC region" if zoom else ""))
    plot.band(0, MAX_FPR, "region")
    plot.line((0, x.high), (0, x.high), "chance")
    for at, curve in enumerate(curves):
        xs, ys = _cut(curve["fpr"], curve["tpr"], MAX_FPR) if zoom else (curve["fpr"], curve["tpr"])
        tip = f"id {curve['id']}: AUC {number(curve['auc'])}, pAUC {number(curve['pauc'])}"
        plot.line(xs, ys, colour(at), tip)
    return plot.svg()


def _cut(xs: Sequence[float], ys: Sequence[float], limit: float) -> tuple[list[float], list[float]]:
    """The part of a rising curve left of `limit`, its last point on it."""
    inside = [at for at, x in enumerate(xs) if x <= limit]
    left, right = [xs[at] for at in inside], [ys[at] for at in inside]
    after = len(inside)
    if after < len(xs) and left[-1] < limit:
        share = (limit - left[-1]) / (xs[after] - left[-1])
        return [*left, limit], [*right, right[-1] + share * (ys[after] - right[-1])]
    return left, right


def histogram(facts: Facts, panel: Facts) -> Markup:
    """Normal and anomalous clips of one id and domain by score, and the threshold."""
    edges, tallest = facts["edges"], max(max(clips["shares"]) for clips in panel["labels"].values())
    y = Axis(0, tallest * 1.08, "share of clips")
    where = " ".join(filter(None, (f"id {panel['id']}", panel["domain"])))
    plot = Plot(Axis(edges[0], edges[-1], "score"), y, title=f"Scores of {where}", height=170)
    for label, clips in panel["labels"].items():
        plot.bars(edges, clips["shares"], label)
    plot.across(facts["threshold"], "threshold")
    return plot.svg()


def trail(steps: Sequence[TrailStep]) -> Markup:
    x = Axis(0.5, len(steps) + 0.5, "members added", whole=True)
    y = axis([step.value for step in steps], "value (oracle)", margin=0.12)
    plot = Plot(x, y, title="Value as members are added")
    plot.line([step.step for step in steps], [step.value for step in steps], "s0")
    for step in steps:
        plot.dot(step.step, step.value, "s0", f"{step.step}: {step.name} {step.variant} → {number(step.value)}")
    return plot.svg()


def gains(rows: Sequence[Facts]) -> Markup:
    """The gain over the best single detector with its interval, one line per machine."""
    rows = [row for row in rows if row["gain"]]
    ends = [end for row in rows for end in row["gain"]["interval"]] + [row["gain"]["value"] for row in rows]
    x = axis([*ends, 0.0], "gain over the best single detector, 95 %")
    names = tuple(row["machine"] if len(row["machine"]) < 15 else row["machine"][:13] + "…" for row in rows)
    y = Axis(len(rows) - 0.5, -0.5, names=names)
    plot = Plot(x, y, title="Gain over the best single detector", height=52 + 26 * len(rows))
    plot.across(0, "zero")
    for at, row in enumerate(rows):
        gain = row["gain"]
        kind = "better" if gain["better"] else "unsure"
        tip = f"{row['machine']}: {signed(gain['value'])} [{span(gain['interval'], plus=True)}] ({gain['protocol']})"
        plot.line(gain["interval"], (at, at), f"whisker {kind}", tip)
        plot.dot(gain["value"], at, kind, tip, radius=4)
    return plot.svg()


def history(trials: Sequence[Facts]) -> Markup:
    """Objectives in the order of trials, with the best so far as a line; pruned ones at their last value."""
    shown = [trial for trial in trials if trial["objective"] is not None]
    x = Axis(-0.5, len(trials) - 0.5, "trial", whole=True)
    plot = Plot(x, axis([trial["objective"] for trial in shown], "objective"), title="Objective by trial")
    best, xs, ys = -math.inf, list[float](), list[float]()
    for trial in shown:
        if trial["status"] == "complete":
            best = max(best, trial["objective"])
            xs.append(trial["at"])
            ys.append(best)
    if xs:
        plot.steps([*xs, trials[-1]["at"]], [*ys, best], "best")
    for trial in shown:
        tip = f"{trial['name']}: {number(trial['objective'])} ({trial['status']}{', paper setting' * trial['paper']})"
        kind = "paper" if trial["paper"] else trial["status"]
        draw = plot.dot if trial["status"] == "complete" else plot.cross
        draw(trial["at"], trial["objective"], kind, tip)
    return plot.svg()


def costs(rows: Sequence[Facts], families: Sequence[str], *, faults: bool = False) -> Markup:
    """Seconds against the best value, one point per study; `faults`: the values are those on injected faults."""
    x = axis([row["seconds"] for row in rows], "seconds spent", log=True)
    plot = Plot(
        x,
        axis([row["best"] for row in rows], f"best objective ({'faults' if faults else 'oracle'})"),
        title="Cost and gain of each study",
    )
    for row in rows:
        tip = f"{row['family']}, {row['machine']}: {number(row['best'])} after {figure(round(row['seconds'], 1))} s"
        plot.dot(row["seconds"], row["best"], colour(families.index(row["family"])), tip, radius=4)
    return plot.svg()


def inference(facts: Facts) -> Markup:
    """The values of ensembles (dots) and of each family's best candidate (crosses) against their times."""
    singles, ensembles = facts["singles"], facts["ensembles"]
    rows = [row for row in (*singles, *ensembles) if row["hmean"] is not None]
    times = [1000 * row["seconds"] for row in rows]
    x = axis([*times, 1000 * facts["limit"]], "ms for 10 s of sound", log=True)
    y = axis([row["hmean"] for row in rows], "hmean (oracle)", margin=0.08)
    plot = Plot(x, y, title="hmean against time", width=480, height=280)
    plot.across(1000 * facts["limit"], "threshold")
    for row, time in zip(rows, times, strict=True):
        tip = f"{row['name']}: {number(row['hmean'])} in {figure(round(time, 2))} ms"
        name = row.get("family") or (row["name"] if row["chosen"] else "")
        if "family" in row:
            plot.cross(time, row["hmean"], colour(0), tip)
        else:
            plot.dot(time, row["hmean"], colour(1), tip, radius=5 if row["chosen"] else 3)
        is_left = x.share(time) < 0.6
        gap = "\u00a0" * 3
        words = f"{gap}{_cut_name(name)}" if is_left else f"{_cut_name(name)}{gap}"
        if name:
            plot.text(time, row["hmean"], words, "tick halo", "start" if is_left else "end")
    return plot.svg()


def _cut_name(name: str) -> str:
    return name if len(name) < 24 else name[:22] + "…"


def parallel(facts: Facts) -> Markup:
    """One line per trial over its parameters to its objective; darker lines are better."""
    axes, rows = facts["axes"], facts["rows"]
    width, height, top, bottom = max(340, 92 * (len(axes) + 1)), 240, 34, 24
    scales = [_scale([row["values"][at] for row in rows]) for at in range(len(axes))]
    scales.append(axis([row["objective"] for row in rows], margin=0))
    gap = (width - 96) / max(1, len(scales) - 1)
    parts = []
    for place, row in reversed(list(enumerate(rows))):
        values = [*row["values"], row["objective"]]
        ys = [_on(scale, value) for scale, value in zip(scales, values, strict=True)]
        points = "L".join(
            f"{48 + at * gap:.0f} {height - bottom - y * (height - top - bottom):.1f}" for at, y in enumerate(ys)
        )
        grade = min(4, 5 * place // len(rows))
        tip = as_text(f"{row['name']}: {number(row['objective'])}")
        parts.append(f'<path class="line g{grade}" d="M{points}"><title>{tip}</title></path>')
    for at, (name, scale) in enumerate(zip([*axes, "objective"], scales, strict=True)):
        left = round(48 + at * gap)
        shown = name if len(name) < 15 else name[:13] + "…"
        parts.append(f'<path class="axis" d="M{left} {top}V{height - bottom}"/>')
        parts.append(f'<text class="name" x="{left}" y="14" text-anchor="middle">{as_text(shown)}</text>')
        for value, words in _labels(scale):
            y = height - bottom - scale.share(value) * (height - top - bottom)
            parts.append(f'<text class="tick halo" x="{left + 5}" y="{y:.1f}" dy=".35em">{as_text(words)}</text>')
    return drawing(width, height, "Parameters and objective of the best trials", "".join(parts))


def _scale(values: Sequence[Any]) -> Axis:
    """The axis of a parameter: logarithmic if its numbers span a factor of 20; other values are named."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = min(values), max(values)
        return Axis(low, high if high > low else low + 1, log=low > 0 and high / low >= 20)
    names = sorted({_word(value) for value in values})
    return Axis(0, max(1, len(names) - 1), names=tuple(names))


def _on(scale: Axis, value: Any) -> float:
    return scale.share(scale.names.index(_word(value)) if scale.names else float(value))


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _labels(scale: Axis) -> list[tuple[float, str]]:
    if scale.names:
        return [(at, name if len(name) < 11 else name[:9] + "…") for at, name in scale.ticks()]
    return [(value, short(float(value))) for value in (scale.low, scale.high)]
