"""Small charts as SVG: a plot with two axes, drawn at the size of a phone's screen. Colours come from CSS.

A screen reader reads the chart's title. A mark's tip is its <title>, or a line of `data-tips` for each point of a path;
page/tips.js shows them to the mouse, to a finger and to the arrow keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from asd_ray._terminal import visible

WIDTH, HEIGHT = 340, 230  # in CSS pixels when the page is narrow
RIGHT, TOP, BOTTOM = 12, 10, 36
LETTER = 6.2  # width of a figure in a tick's label
COLOURS = 8  # further series have the same colours, dashed


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`; `names` replace the numbers 0, 1, 2 …, and `whole` allows whole ticks only.

    Where `inner` is given, ticks lie in this part alone.
    """

    low: float
    high: float
    label: str = ""
    log: bool = False
    names: tuple[str, ...] = ()
    whole: bool = False
    inner: tuple[float, float] | None = None

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        if self.names:
            return [(float(at), name) for at, name in enumerate(self.names)]
        powers = self._powers(most) if self.log else []
        low, high = self.inner or (self.low, self.high)
        values = powers if len(powers) > 1 else self._steps(most)
        return [(value, figure(value)) for value in values if low <= value <= high or not self.inner]

    def _steps(self, most: int) -> list[float]:
        rough = (self.high - self.low) / max(1, most - 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
        step = max(1.0, step) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        return [round(at * step, 10) for at in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _powers(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in ((1, 2, 5), (1, 3), (1,)):
            values = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
            inside = [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
            if len(inside) <= most:
                return inside
        return inside[:: math.ceil(len(inside) / most)]


def axis(values: Sequence[float], label: str = "", *, log: bool = False, margin: float = 0.05) -> Axis:
    """An axis around all `values`; logarithmic only if all are above 0."""
    low, high = min(values), max(values)
    if log and low > 0:
        room = (high / low) ** margin if high > low else 2.0
        return Axis(low / room, high * room, label, log=True)
    room = (high - low) * margin if high > low else abs(high) * 0.1 or 1.0
    return Axis(low - room, high + room, label)


class Plot:
    """A frame with ticks and a grid; later drawings cover earlier ones."""

    def __init__(self, x: Axis, y: Axis, *, title: str, width: int = WIDTH, height: int = HEIGHT):
        self.x, self.y, self.title, self.width, self.height = x, y, title, width, height
        self._parts: list[str] = []
        ticks = y.ticks(5)
        longest = max((len(name) for _, name in ticks), default=1)
        self.left = left = round(10 + LETTER * longest + (16 if y.label else 0))
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        for value, name in ticks:
            at = _n(self.at_y(value))
            self._add(f'<path class="grid" d="M{left} {at}H{right}"/>')
            self._add(f'<text class="tick" x="{left - 6}" y="{at}" dy=".35em" text-anchor="end">{as_text(name)}</text>')
        for value, name in x.ticks():
            at = _n(self.at_x(value))
            self._add(f'<path class="grid" d="M{at} {TOP}V{bottom}"/>')
            self._add(f'<text class="tick" x="{at}" y="{bottom + 14}" text-anchor="middle">{as_text(name)}</text>')
        self._add(f'<path class="axis" d="M{left} {TOP}V{bottom}H{right}"/>')
        middle = _n((left + right) / 2)
        self._add(f'<text class="name" x="{middle}" y="{height - 4}" text-anchor="middle">{as_text(x.label)}</text>')
        if y.label:
            where = f"translate(11 {_n((TOP + bottom) / 2)}) rotate(-90)"
            self._add(f'<text class="name" transform="{where}" text-anchor="middle">{as_text(y.label)}</text>')

    def at_x(self, value: float) -> float:
        return self.left + self.x.share(value) * (self.width - RIGHT - self.left)

    def at_y(self, value: float) -> float:
        return self.height - BOTTOM - self.y.share(value) * (self.height - BOTTOM - TOP)

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str, tip: str = "") -> None:
        self._add(_tipped("path", f'class="line {kind}" d="{self._path(xs, ys)}"', tip))

    def points(self, xs: Sequence[float], ys: Sequence[float], kind: str, tips: Sequence[str]) -> None:
        """Many dots as one path, with one tip each. Dots beyond the axes are drawn at their ends."""
        places = "".join(f"M{_n(self.at_x(x))} {_n(self._clamped(y))}h0" for x, y in zip(xs, ys, strict=True))
        lines = "&#10;".join(as_text(tip) for tip in tips)  # a line break of a name is a code by now
        self._add(f'<path class="points {kind}" d="{places}" data-tips="{lines}"/>')

    def steps(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> None:
        """A line that keeps its height until the next point."""
        path = [f"M{_n(self.at_x(xs[0]))} {_n(self.at_y(ys[0]))}"]
        path += [f"H{_n(self.at_x(x))}V{_n(self.at_y(y))}" for x, y in zip(xs[1:], ys[1:], strict=True)]
        self._add(f'<path class="line {kind}" d="{"".join(path)}"/>')

    def bars(self, edges: Sequence[float], heights: Sequence[float], kind: str) -> None:
        """A histogram's outline, filled."""
        ground = _n(self.at_y(self.y.low))
        path = [f"M{_n(self.at_x(edges[0]))} {ground}"]
        path += [f"V{_n(self.at_y(h))}H{_n(self.at_x(edge))}" for h, edge in zip(heights, edges[1:], strict=True)]
        self._add(f'<path class="bars {kind}" d="{"".join(path)}V{ground}Z"/>')

    def band(self, low: float, high: float, kind: str) -> None:
        """A stretch of the x axis over the whole height."""
        left, right = self.at_x(low), self.at_x(high)
        size = f'width="{_n(right - left)}" height="{_n(self.height - BOTTOM - TOP)}"'
        self._add(f'<rect class="{kind}" x="{_n(left)}" y="{TOP}" {size}/>')

    def across(self, value: float, kind: str) -> None:
        """A vertical line at a value of x."""
        self._add(f'<path class="line {kind}" d="M{_n(self.at_x(value))} {TOP}V{self.height - BOTTOM}"/>')

    def threshold(self, value: float, *, upright: bool = True) -> None:
        """A line at a score that the page can move along the x axis, or along the y axis if it is not upright."""
        scale, right = self.x if upright else self.y, self.width - RIGHT
        at = self.at_x if upright else self.at_y
        ends = " ".join(_n(each) for each in (at(scale.low), at(scale.high)))
        path = f"M0 {TOP}V{self.height - BOTTOM}" if upright else f"M{self.left} 0H{right}"
        place = _n(min(max(at(value), min(at(scale.low), at(scale.high))), max(at(scale.low), at(scale.high))))
        where = f"translate({place} 0)" if upright else f"translate(0 {place})"
        data = f'data-limit="{"x" if upright else "y"} {scale.low!r} {scale.high!r} {ends}"'
        self._add(f'<path class="line threshold" d="{path}" transform="{where}" {data}/>')

    def area(self, low: float, high: float, tip: str) -> None:
        """A stretch of the x axis that only has a tip."""
        left, right = self.at_x(low), self.at_x(high)
        size = f'width="{_n(right - left)}" height="{_n(self.height - BOTTOM - TOP)}"'
        self._add(_tipped("rect", f'class="area" x="{_n(left)}" y="{TOP}" {size}', tip))

    def box(self, percentiles: Sequence[float], y: float, kind: str, tip: str, *, high: float) -> None:
        """A box plot along the x axis, `high` pixels high: whiskers, quartiles and the median."""
        low, first, middle, third, top = (self.at_x(min(max(each, self.x.low), self.x.high)) for each in percentiles)
        at, half = self.at_y(y), high / 2
        self._add(f'<path class="box {kind}" d="M{_n(low)} {_n(at)}H{_n(first)}M{_n(third)} {_n(at)}H{_n(top)}"/>')
        size = f'x="{_n(first)}" y="{_n(at - half)}" width="{_n(max(1, third - first))}" height="{_n(high)}"'
        self._add(f'<rect class="box {kind}" {size}/>')
        self._add(f'<path class="box median {kind}" d="M{_n(middle)} {_n(at - half)}v{_n(high)}"/>')
        reach = f'x="{_n(low)}" y="{_n(at - half)}" width="{_n(max(4, top - low))}" height="{_n(high)}"'
        self._add(_tipped("rect", f'class="area" {reach}', tip))

    def dot(self, x: float, y: float, kind: str, tip: str = "", radius: float = 3) -> None:
        where = f'cx="{_n(self.at_x(x))}" cy="{_n(self.at_y(y))}" r="{_n(radius)}"'
        self._add(_tipped("circle", f'class="dot {kind}" {where}', tip))

    def cross(self, x: float, y: float, kind: str, tip: str = "") -> None:
        left, top = self.at_x(x), self.at_y(y)
        path = f"M{_n(left - 3)} {_n(top - 3)}l6 6m0 -6l-6 6"
        self._add(_tipped("path", f'class="line {kind}" d="{path}"', tip))

    def text(self, x: float, y: float, words: str, kind: str = "tick", anchor: str = "start") -> None:
        where = f'x="{_n(self.at_x(x))}" y="{_n(self.at_y(y))}" dy=".35em"'
        self._add(f'<text class="{kind}" {where} text-anchor="{anchor}">{as_text(words)}</text>')

    def svg(self) -> Markup:
        return drawing(self.width, self.height, self.title, "".join(self._parts))

    def _clamped(self, y: float) -> float:
        return self.at_y(min(max(y, self.y.low), self.y.high))

    def _path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        points = [f"{_n(self.at_x(x))} {_n(self.at_y(y))}" for x, y in zip(xs, ys, strict=True)]
        return "M" + "L".join(points)

    def _add(self, part: str) -> None:
        self._parts.append(part)


def drawing(width: int, height: int, title: str, inside: str) -> Markup:
    name = as_text(title)
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" style="--w:{width}px" role="img" aria-label="{name}">{inside}</svg>'
    )


def colour(at: int) -> str:
    """The class of series number `at`."""
    return f"s{at % COLOURS}" + (" dashed" if at // COLOURS % 2 else "")


def as_text(text: str) -> Markup:
    """Text of a drawing or of its attributes."""
    return escape(visible(text))


def figure(value: float) -> str:
    """A number in its shortest readable form."""
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, power = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(power)}"
    return f"{value:.6g}".replace("-", "−")


def _n(value: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _tipped(tag: str, attributes: str, tip: str) -> str:
    return f"<{tag} {attributes}><title>{as_text(tip)}</title></{tag}>" if tip else f"<{tag} {attributes}/>"
