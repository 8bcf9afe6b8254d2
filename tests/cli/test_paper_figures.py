"""``asd-ray paper --figure``: what it writes, lists and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from asd_ray.__main__ import main

from ..figures.conftest import SmallRun, small

__all__ = ["small"]


def shown(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["paper", *words]) == status
    printed = capsys.readouterr()
    return printed.err if status else printed.out


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("jiang2023", "--figure", "3"), "three.svg"),
        (("kim2021", "--figure", "4", "--machine", "fan", "--id", "00", "--figure-seed", "2"), "four.PNG"),
    ],
)
def test_png_and_svg_are_written(
    words: tuple[str, ...], name: str, small: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new folder" / name
    printed = shown(capsys, *words, *small.words, "--out", str(out))
    assert f"figure: {out}" in printed
    assert "left open by the paper: which" in printed
    assert [path.name for path in out.parent.iterdir()] == [name]
    if name.endswith("svg"):
        assert out.read_text().rstrip().endswith("</svg>")
    else:
        with Image.open(out) as picture:
            assert picture.format == "PNG"
            assert picture.size[0] > 500


def test_the_default_name(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown(capsys, "jiang2023", "--figure", "4", *small.words)
    assert [path.name for path in tmp_path.glob("*.png")] == ["jiang2023_figure_4.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("jiang2023", "--figure", "2"), "figure 2 of jiang2023 is a diagram of the method"),
        (("jiang2023", "--figure", "7"), "unknown figure '7'"),
        (("--figure", "3"), "name a paper"),
        (("jiang2023", "--figure", "3"), "give the dataset with --data"),
        (("jiang2023", "--figure", "3", "--data", "x", "--table", "1"), "--table is for tables"),
        (("jiang2023", "--figure", "3", "--data", "x", "--out", "a.gif"), "a.gif: a figure is written as .png or .svg"),
        (("jiang2023", "--out", "a.png"), "--out is for drawing a figure"),
        (("liu2022", "--id", "00"), "--id is for drawing a figure"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in shown(capsys, *words, status=2)


def test_figures_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "jiang2023")
    assert "Figure 3: t-SNE of the mean and deviation" in out
    assert "Figure 4: Localisation" in out
    assert "Left open: which clips." in out
    assert max(map(len, out.splitlines())) <= 80
    assert "Figure" not in shown(capsys, "jiang2023", "--table", "1")
    assert "figures: kim2021 (1, 4), liu2022 (2), jiang2023 (3, 4)" in shown(capsys, "--list")
