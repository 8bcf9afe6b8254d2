"""The charts of the report. Their data are the facts of `gather`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from asd_ray.ensembling.result import TrailStep
from asd_ray.metrics import MAX_FPR
from asd_ray.reporting import text
from asd_ray.reporting.svg import LETTER, WIDTH, Axis, Plot, as_text, axis, colour, drawing, figure
from asd_ray.reporting.text import number, short, signed, span
from asd_ray.reporting.training_cost import pareto

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
    """Normal and anomalous clips of one id and domain by score, and the threshold.

    Clips beyond the axis have a bar of their own at its end, which a label names.
    """
    edges, labels = facts["edges"], panel["labels"]
    tallest = max(max(*clips["shares"], clips["below"], clips["above"]) for clips in labels.values())
    low, high, tail = edges[0], edges[-1], 2.5 * (edges[1] - edges[0])
    below, above = facts["beyond"]["below"], facts["beyond"]["above"]
    x = Axis(low - tail * below, high + tail * above, "score", inner=(low, high))
    where = _cell(panel)
    plot = Plot(x, Axis(0, tallest * (1.25 if below or above else 1.08), "share of clips"), title=f"Scores of {where}")
    if below:
        plot.band(x.low, low, "tail")
        plot.text(x.low, plot.y.high * 0.95, f"\u00a0< {_rounded(low)}", "tick halo")
    if above:
        plot.band(high, x.high, "tail")
        plot.text(x.high, plot.y.high * 0.95, f"> {_rounded(high)}\u00a0", "tick halo", "end")
    for label, clips in labels.items():
        plot.bars(edges, clips["shares"], label)
        for key, ends in (("below", (x.low, low)), ("above", (high, x.high))):
            if clips[key]:
                plot.bars(ends, (clips[key],), label)
    bars = [
        (
            ends,
            f"{_rounded(ends[0])} to {_rounded(ends[1])}",
            {label: own["shares"][at] for label, own in labels.items()},
        )
        for at, ends in enumerate(zip(edges, edges[1:], strict=False))
    ]
    bars += [
        ((x.low, low), f"below {_rounded(low)}", {label: own["below"] for label, own in labels.items()}),
        ((high, x.high), f"above {_rounded(high)}", {label: own["above"] for label, own in labels.items()}),
    ]
    for ends, scores, shares in bars:
        words = [
            f"{round(share * labels[label]['clips'])} of {labels[label]['clips']} {label} ({text.percent(share)})"
            for label, share in shares.items()
            if share
        ]
        if words:
            plot.area(ends[0], ends[1], f"score {scores}: {', '.join(words)}")
    plot.threshold(facts["threshold"])
    return plot.svg()


def _rounded(score: float) -> str:
    return figure(float(f"{score:.3g}"))


def boxes(parts: Sequence[Facts], edges: Sequence[float], threshold: float) -> Markup:
    """Box plots of the scores of each id and domain, one for each label."""
    names = [_cell(part) for part in parts]
    y = Axis(len(parts) - 0.5, -0.5, names=tuple(_cut_name(name) for name in names))
    plot = Plot(
        Axis(edges[0], edges[-1], "score"),
        y,
        title="Scores of each id and domain",
        width=480,
        height=56 + 34 * len(parts),
    )
    for at, (part, name) in enumerate(zip(parts, names, strict=True)):
        many = len(part["labels"])
        for place, (label, own) in enumerate(part["labels"].items()):
            low, first, middle, third, top = (number(each, 3) for each in own["box"])
            words = f"median {middle}, half of the clips from {first} to {third}, nine tenths from {low} to {top}"
            tip = f"{name}: {len(own['scores'])} {label} clips, {words}"
            plot.box(own["box"], at + (place - (many - 1) / 2) * 0.36, label, tip, high=24 / max(2, many))
    plot.threshold(threshold)
    return plot.svg()


def in_order(part: Facts, edges: Sequence[float], threshold: float) -> Markup:
    """The score of each clip in the order of their names, or at the times in their names."""
    places = [at for own in part["labels"].values() for at in own["at"]]
    plot = Plot(
        replace(axis(places, part["axis"], margin=0.02), whole=part["axis"].startswith("clip")),
        Axis(edges[0], edges[-1], "score"),
        title=f"Scores of {_cell(part)} in order",
    )
    for label, own in part["labels"].items():
        tips = [
            f"{clip.rpartition('/')[2]}: {number(score, 3)} ({label})"
            for clip, score in zip(own["clips"], own["scores"], strict=True)
        ]
        plot.points(own["at"], own["scores"], label, tips)
    plot.threshold(threshold, upright=False)
    return plot.svg()


def _cell(part: Facts) -> str:
    return " ".join(filter(None, (f"id {part['id']}", part["domain"])))


def training_cost(facts: Facts, measure: str) -> Markup:
    """The value of each trial against its seconds; a line joins those that no cheaper trial reaches."""
    rows, ensemble = facts["rows"], facts["ensemble"]
    everything = [*rows, *([ensemble] if ensemble else [])]
    x = axis([row["seconds"] for row in everything], "seconds of training and scoring", log=True)
    plot = Plot(
        x,
        axis([row["value"] for row in everything], measure, margin=0.1),
        title="Value against cost",
        width=480,
        height=280,
    )
    front = [rows[at] for at in pareto([(row["seconds"], row["value"]) for row in rows])]
    _front(plot, [(row["seconds"], row["value"]) for row in front])
    tips = [
        f"{row['name']} ({row['family']}): {number(row['value'])} in {text.seconds(row['seconds'])}" for row in rows
    ]
    plot.points([row["seconds"] for row in rows], [row["value"] for row in rows], "trials", tips)
    taken: list[tuple[float, float, float]] = []  # left, right and height of the names so far
    for row in front:
        plot.dot(row["seconds"], row["value"], colour(1), radius=4)
        name, at = _cut_name(row["family"]), plot.at_x(row["seconds"])
        above = row["value"] + 0.035 * (plot.y.high - plot.y.low)
        is_left = at - plot.left < LETTER * len(name) + 8
        left, right = (at, at + LETTER * len(name) + 8) if is_left else (at - LETTER * len(name) - 8, at)
        y = plot.at_y(above)
        if not any(left < other[1] and other[0] < right and abs(y - other[2]) < 13 for other in taken):
            words = f"\u00a0\u00a0{name}" if is_left else f"{name}\u00a0\u00a0"
            plot.text(row["seconds"], above, words, "tick halo", "start" if is_left else "end")
            taken.append((left, right, y))
    if ensemble:
        tip = f"the ensemble: {number(ensemble['value'])}, its members took {text.seconds(ensemble['seconds'])}"
        plot.dot(ensemble["seconds"], ensemble["value"], colour(2), tip, radius=6)
    return plot.svg()


def _front(plot: Plot, points: Sequence[tuple[float, float]]) -> None:
    """A line through the points that no cheaper one reaches. It goes on to the right: more time alone gains nothing."""
    if points:
        plot.steps([*(x for x, _ in points), plot.x.high], [*(y for _, y in points), points[-1][1]], "front")


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
    points = [(time, row["hmean"]) for row, time in zip(rows, times, strict=True)]
    _front(plot, [points[at] for at in pareto(points)])
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
    """One line per trial over its parameters to its objective; darker lines are better.

    The axes lie one below the other, so that any number of them fits the width of a telephone.
    """
    axes, rows = facts["axes"], facts["rows"]
    names = [*axes, "objective"]
    scales = [_scale([row["values"][at] for row in rows]) for at in range(len(axes))]
    scales.append(axis([row["objective"] for row in rows], margin=0))
    left, right, top, gap = 20, WIDTH - 20, 24, 52
    parts = []
    for place, row in reversed(list(enumerate(rows))):
        values = [*row["values"], row["objective"]]
        xs = [left + _on(scale, value) * (right - left) for scale, value in zip(scales, values, strict=True)]
        points = "L".join(f"{x:.1f} {top + at * gap}" for at, x in enumerate(xs))
        settings = ", ".join(f"{name} {short(value)}" for name, value in zip(axes, row["values"], strict=True))
        tip = as_text(f"{row['name']}: {number(row['objective'])}; {settings}")
        parts.append(f'<path class="line g{min(4, 5 * place // len(rows))}" d="M{points}"><title>{tip}</title></path>')
    for at, (name, scale) in enumerate(zip(names, scales, strict=True)):
        y = top + at * gap
        parts.append(f'<path class="axis" d="M{left} {y}H{right}"/>')
        parts.append(f'<text class="name halo" x="{left}" y="{y - 8}">{as_text(_cut_name(name))}</text>')
        for value, words in _labels(scale, (right - left) / 7):
            x = left + scale.share(value) * (right - left)
            anchor = "start" if x < left + 24 else "end" if x > right - 24 else "middle"
            parts.append(
                f'<text class="tick halo" x="{x:.1f}" y="{y + 14}" text-anchor="{anchor}">{as_text(words)}</text>'
            )
    height = top + gap * (len(names) - 1) + 24
    return drawing(WIDTH, height, "Parameters and objective of the best trials", "".join(parts))


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


def _labels(scale: Axis, letters: float) -> list[tuple[float, str]]:
    """The labels of an axis that has room for so many letters."""
    if not scale.names:
        return [(value, short(float(value))) for value in (scale.low, scale.high)]
    room = max(4, int(letters / len(scale.names)) - 1)
    return [(at, name if len(name) <= room else name[: room - 1] + "…") for at, name in scale.ticks()]
