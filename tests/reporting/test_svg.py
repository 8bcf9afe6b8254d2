from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from asd_ray.reporting.svg import Axis, Plot, axis, colour, drawing, figure


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Axis(0, 1), ["0", "0.25", "0.5", "0.75", "1"]),
        (Axis(0, 0.1), ["0", "0.025", "0.05", "0.075", "0.1"]),
        (Axis(-0.2, 0.2), ["−0.2", "−0.1", "0", "0.1", "0.2"]),
        (Axis(-0.5, 2.5, whole=True), ["0", "1", "2"]),
        (Axis(1e-5, 1e-2, log=True), ["1e-5", "1e-4", "0.001", "0.01"]),
        (Axis(3, 40, log=True), ["5", "10", "20"]),
        (Axis(4100, 4160, log=True), ["4100", "4120", "4140", "4160"]),
        (Axis(0, 1, names=("fan", "pump")), ["fan", "pump"]),
    ],
)
def test_ticks_are_round_and_inside(scale: Axis, ticks: list[str]) -> None:
    assert [name for _, name in scale.ticks(5)] == ticks


def test_ticks_of_any_scale_are_few_and_inside() -> None:
    for low, high in [(0.6512, 0.6513), (-3.0, 1e6), (1e-9, 2e-9), (0.499, 0.501)]:
        for log in (False, low > 0):
            scale = Axis(low, high, log=log)
            values = [value for value, _ in scale.ticks()]
            assert len(values) <= 7
            assert all(low * 0.99 <= value <= high * 1.01 for value in values if low > 0)


def test_an_axis_holds_all_values_and_has_a_width_when_they_are_equal() -> None:
    scale = axis([0.7, 0.9])
    assert scale.low < 0.7 < 0.9 < scale.high
    assert axis([0.7, 0.9], margin=0) == Axis(0.7, 0.9)
    for log in (False, True):
        assert axis([3.0], log=log).low < 3 < axis([3.0], log=log).high
    assert axis([0.0]).low < 0 < axis([0.0]).high
    assert not axis([0.0, 5.0], log=True).log


def test_shares_of_a_logarithmic_axis() -> None:
    assert Axis(0.01, 100, log=True).share(1.0) == pytest.approx(0.5)


def test_a_plot_is_well_formed_whatever_words_it_is_given() -> None:
    evil = "<script>&\"'"
    plot = Plot(Axis(0, 1, evil), Axis(0, 1, evil), title=evil)
    plot.line((0, 1), (0, 1), "s0", evil)
    plot.dot(0.5, 0.5, "s0", evil)
    plot.cross(0.5, 0.5, "s0", evil)
    plot.text(0.5, 0.5, evil)
    plot.bars((0, 0.5, 1), (0.2, 0.4), "normal")
    plot.points((0, 0.5), (0.2, 9), "normal", (f"{evil}\n", evil))
    plot.area(0, 0.5, evil)
    plot.box((0, 0.2, 0.3, 0.4, 9), 0.5, "normal", evil, high=10)
    plot.band(0, 0.1, "region")
    root = ET.fromstring(plot.svg())
    assert root.attrib["aria-label"] == evil
    assert [each.text for each in root.iter("title")] == [evil] * 5
    (tips,) = (each.attrib["data-tips"] for each in root if "data-tips" in each.attrib)
    assert tips == f"{evil}\\n\n{evil}"  # a line break in a name is shown as its code
    assert not list(root.iter("script"))


def test_points_lie_inside_the_frame() -> None:
    plot = Plot(Axis(0, 1, "x"), Axis(0, 1, "y"), title="t")
    assert plot.left == plot.at_x(0) < plot.at_x(1) <= plot.width
    assert 0 <= plot.at_y(1) < plot.at_y(0) < plot.height


def test_values_beyond_the_axes_are_drawn_at_their_ends() -> None:
    plot = Plot(Axis(0, 1), Axis(0, 1), title="t")
    plot.points((0.5, 0.5), (-9, 9), "normal", ("low", "high"))
    plot.threshold(9.0)
    plot.threshold(-9.0, upright=False)
    points, upright, flat = list(ET.fromstring(plot.svg()))[-3:]
    assert points.attrib["d"] == f"M{plot.at_x(0.5):g} {plot.at_y(0):g}h0M{plot.at_x(0.5):g} {plot.at_y(1):g}h0"
    assert upright.attrib["transform"] == f"translate({plot.at_x(1):g} 0)"
    assert flat.attrib["transform"] == f"translate(0 {plot.at_y(0):g})"


def test_long_labels_move_the_frame() -> None:
    narrow = Plot(Axis(0, 1), Axis(0, 1, names=("a", "b")), title="t")
    wide = Plot(Axis(0, 1), Axis(0, 1, names=("a", "ToyConveyor")), title="t")
    assert wide.left > narrow.left + 40


def test_more_series_than_colours_are_told_apart_by_dashes() -> None:
    assert len({colour(at) for at in range(16)}) == 16


def test_numbers_are_short() -> None:
    assert [figure(each) for each in (0.0, 0.5, 1000.0, 1e-5, 2e6, -0.1)] == ["0", "0.5", "1000", "1e-5", "2e6", "−0.1"]


def test_a_drawing_says_its_own_width() -> None:
    assert 'viewBox="0 0 30 20"' in drawing(30, 20, "t", "")
