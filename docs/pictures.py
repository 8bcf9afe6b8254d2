"""Make the pictures of the documentation from a run: the report in Chromium, and the map of an explanation.

    python docs/pictures.py RUN BUNDLE CLIP [--machine fan] [--out docs/images]

RUN has a report (`asd-ray report --run RUN`), BUNDLE comes from the same run, and CLIP is a faulty recording, such as
`~/.cache/asd_ray/demo/dev_data/fan/test/section_00_source_test_anomaly_0010_vel_3_loc_A.wav`. It writes

    report.png          the first page of the report
    report-dark.png     the same in dark colours
    report-phone.png    the same on a telephone
    report-machine.png  the page of the machine
    explain.png         the spectrogram of CLIP and the map of where its score comes from
    front.png           the upper part of report.png above explain.png, for README.md
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from asd_ray.__main__ import main as asd_ray

WIDE, TALL, PHONE = (1100, 640), (1100, 1100), (390, 844)  # pixels of a window
GREY = (208, 215, 222)
FRONT = 430  # pixels of the report in front.png: what it says of the machine
GAP = 2  # pixels between the two parts of front.png


def report_pictures(report: Path, machine: str, out: Path) -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--hide-scrollbars"])
        views = (("report", WIDE, "light", ""), ("report-dark", WIDE, "dark", ""), ("report-phone", PHONE, "light", ""))
        for name, size, scheme, tab in (*views, ("report-machine", TALL, "light", f"#machine-{machine}")):
            page: Page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            page.goto(report.resolve().as_uri() + tab)
            page.wait_for_timeout(500)  # milliseconds, for fonts and pictures
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=out / f"{name}.png")
            page.close()
        browser.close()


def explanation(bundle: Path, clip: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if asd_ray(["explain", str(bundle), str(clip), "--out", folder]) != 0:
            raise SystemExit(f"{clip} could not be explained")
        (picture,) = Path(folder).glob("*.png")
        shutil.copy(picture, out / "explain.png")


def one_above_the_other(first: Path, second: Path, out: Path) -> None:
    """The upper part of a picture and another one of the same width, with a line between them."""
    above, below = (Image.open(each).convert("RGB") for each in (first, second))
    above = above.crop((0, 0, above.width, min(above.height, FRONT)))
    both = Image.new("RGB", (above.width, above.height + GAP + below.height), GREY)
    both.paste(above, (0, 0))
    both.paste(below, (0, above.height + GAP))
    both.save(out)


def make_smaller(picture: Path) -> None:
    """At most as wide as a page, and with 256 colours: a third of the size, and no difference to see."""
    image = Image.open(picture).convert("RGB")
    if image.width > WIDE[0]:
        image = image.resize((WIDE[0], round(image.height * WIDE[0] / image.width)), Image.Resampling.LANCZOS)
    image.quantize(256).save(picture, optimize=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--machine", default="fan")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    report_pictures(args.run / "report" / "report.html", args.machine, args.out)
    explanation(args.bundle, args.clip, args.out)
    names = ["report", "report-dark", "report-phone", "report-machine", "explain"]
    for name in names:
        make_smaller(args.out / f"{name}.png")
    one_above_the_other(args.out / "report.png", args.out / "explain.png", args.out / "front.png")
    make_smaller(args.out / "front.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
