"""The options of every verb that reads a bundle."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._weights_option import add_weights_option
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # torch is imported where it is used, so that --help answers at once
    from asd_ray.deploy.bundle import Bundle
    from asd_ray.deploy.scoring import SoundFile


def add_bundle_options(to: argparse.ArgumentParser) -> None:
    add = to.add_argument
    add("bundle", metavar="BUNDLE", help="a folder that asd-ray bundle wrote")
    add("--threshold", type=_number, metavar="X", help="call a score above it an anomaly, instead of the bundle's")
    add(
        "--false-alarms",
        type=share,
        metavar="1%",
        help="set the threshold so that about this share of normal clips exceeds it: 1%% or 0.01",
    )
    add("--device", default="cpu", metavar="DEVICE", help="cpu (default), cuda or cuda:1")
    add_weights_option(to)


def bundle_of(args: argparse.Namespace) -> Bundle:
    """The bundle, with the threshold that the options ask for."""
    if args.threshold is not None and args.false_alarms is not None:
        raise AsdRayError("--threshold and --false-alarms both set the threshold; leave one of them out")
    from asd_ray.deploy.bundle import Bundle

    return with_threshold_of(args, Bundle.load(args.bundle, device=args.device))


def add_sounds(to: argparse.ArgumentParser) -> None:
    """The recordings that a verb scores, and the id that they are compared with."""
    to.add_argument("sounds", nargs="+", metavar="FILE", help="recordings, or folders of recordings")
    to.add_argument(
        "--id", metavar="ID", help="the machine's id (default: from names such as section_00 and id_02, else any id)"
    )


def sounds_of(args: argparse.Namespace, bundle: Bundle, layout: str | None = None) -> list[SoundFile]:
    """The recordings with their ids. Notes on ids go to standard error."""
    from asd_ray.deploy.scoring import files_of, files_of_layout, id_notes

    if layout is None:
        files = list(files_of(args.sounds, bundle.ids))
    else:
        files = [file for folder in args.sounds for file in files_of_layout(folder, layout, bundle.machine)]
    if args.id is not None:
        files = [replace(file, id=args.id) for file in files]
    for note in id_notes(bundle, files):
        say(f"note: {note}", error=True)
    return files


def with_threshold_of(args: argparse.Namespace, bundle: Bundle) -> Bundle:
    """The bundle with the threshold that the options ask for, if they do."""
    if args.threshold is not None:
        return bundle.with_threshold(args.threshold)
    return bundle if args.false_alarms is None else bundle.with_false_alarms(args.false_alarms)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number but got {text!r}")
    return value


def share(text: str) -> float:
    """1% or 0.01"""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a share between 0 and 1, such as 1% or 0.01, but got {text!r}")
    return value
