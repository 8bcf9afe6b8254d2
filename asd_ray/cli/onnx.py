"""``asd-ray onnx``: the members of a bundle as ONNX files, for machines without torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from asd_ray._terminal import say
from asd_ray.cli._arguments import parser
from asd_ray.cli._run import run
from asd_ray.cli._weights_option import add_weights_option

EXAMPLES = (
    "asd-ray onnx fan.bundle                       # writes fan_onnx/",
    "asd-ray onnx fan.bundle --out device/models/",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "onnx",
        "Write the members of a bundle as ONNX files, each with its front end: samples in, scores out. A file\n"
        "onnx.json beside them has what turns their scores into that of the ensemble. A member that ONNX cannot\n"
        "express is named with the reason and left out, and the exit status is then 1.",
        EXAMPLES,
    )
    add = command.add_argument
    add("bundle", metavar="BUNDLE", help="a folder that asd-ray bundle wrote")
    add("--out", metavar="DIR", help="folder of the files (default: fan_onnx for fan.bundle)")
    add_weights_option(command)
    return run(command, _onnx, argv)


def _onnx(args: argparse.Namespace) -> int:
    from asd_ray.deploy.bundle import Bundle
    from asd_ray.deploy.onnx.folder import INDEX, export_bundle

    bundle = Bundle.load(args.bundle)
    out = Path(args.out) if args.out else Path(f"{Path(args.bundle).resolve().name.removesuffix('.bundle')}_onnx")
    members = export_bundle(bundle, out, progress=lambda name: say(f"exporting {name}"))
    for path in sorted({out / member.file for member in members if member.file}):
        say(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    say(out / INDEX)
    left_out = [member for member in members if not member.file]
    for member in left_out:
        say(f"asd-ray onnx: left out: {member.name} {member.variant}: {member.why_not}", error=True)
    return 1 if left_out else 0
