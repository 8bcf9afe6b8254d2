"""``asd-ray explain``: where in a recording its score comes from."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import parser
from asd_ray.cli._bundle_options import add_bundle_options, add_sounds, bundle_of, sounds_of
from asd_ray.cli._next import say_next
from asd_ray.cli._run import run
from asd_ray.cli._types import local_path, positive
from asd_ray.cli._weights_option import weights_again
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # torch is imported where it is used, so that --help answers at once
    from asd_ray.deploy.explain import Explanation

EXAMPLES = (
    "asd-ray explain fan.bundle new.wav",
    "asd-ray explain fan.bundle new.wav --json --no-png",
    "asd-ray explain fan.bundle long.wav --from 60 --to 75 --out pictures/",
    "asd-ray explain fan.bundle new.wav --own",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "explain",
        "Show where and when a recording is anomalous. Patches of its spectrogram are filled with what is normal\n"
        "there, and the recording is scored again: the map is the drop of the score. A picture of each recording is\n"
        "written, and the strongest region is one sentence.",
        EXAMPLES,
    )
    add_bundle_options(command)
    add_sounds(command)
    add = command.add_argument
    add("--from", dest="start", type=_seconds, default=0.0, metavar="SECONDS", help="explain the part from here on")
    add("--to", dest="end", type=_seconds, metavar="SECONDS", help="explain the part up to here")
    add(
        "--own",
        action="store_true",
        help="map the members' own errors instead: autoencoder, idnn, group_made, aegan_ad",
    )
    add("--bands", type=positive, default=16, metavar="N", help="patches from 0 Hz to half the rate (default 16)")
    add("--span", type=_seconds, default=0.5, metavar="SECONDS", help="length of a patch (default 0.5)")
    output = command.add_argument_group("output").add_argument
    output("--out", type=local_path, default=Path(), metavar="DIR", help="folder of the pictures (default: this one)")
    output("--no-png", action="store_true", help="write no picture")
    output("--json", action="store_true", help="print one JSON object per line: regions, and how the map was made")
    return run(command, _explain, argv)


def _explain(args: argparse.Namespace) -> int:
    from asd_ray._progress import progress_bar
    from asd_ray.deploy.explain import Grid
    from asd_ray.deploy.explain.files import explain_file, picture_paths
    from asd_ray.storage.places import make_folder

    grid = Grid(args.bands, args.span)
    bundle = bundle_of(args)
    files = sounds_of(args, bundle)
    pictures = [None] * len(files) if args.no_png else picture_paths(files, args.out)
    if not args.no_png:
        make_folder(args.out, "pictures", "name another folder with --out")
    failed = 0
    for file, picture in zip(files, pictures, strict=True):
        try:
            with progress_bar("scoring altered") as progress:
                explanation = explain_file(
                    bundle, file, start=args.start, end=args.end, grid=grid, own=args.own, progress=progress
                )
        except AsdRayError as error:
            if len(files) == 1:
                raise
            failed += 1
            say(f"not explained: {error}", error=True)
            continue
        if picture is not None:
            explanation.save_png(picture)
        _print(explanation, picture, args.json)
    if failed:
        raise AsdRayError(f"{failed} of {len(files)} files could not be explained; see above")
    if not args.json:
        say_next("watch", args.bundle, "recordings/", *weights_again(args))
    return 0


def _print(explanation: Explanation, picture: Path | None, as_json: bool) -> None:
    if as_json:
        say(json.dumps({**explanation.to_json(), "picture": None if picture is None else str(picture)}))
        return
    first = f"score {explanation.score:.4f}, threshold {explanation.threshold:.4f}: {explanation.decision}"
    say(f"{Path(explanation.name).name}: {first}")
    say(f"  {explanation.sentence}")
    for number, region in enumerate(explanation.regions[1:], start=2):
        say(f"  {number}. {region.words}; the score falls to {region.score_without:.3g}")
    if len(explanation.regions) > 1:
        say(f"  with normal sound in all {len(explanation.regions)} regions: {explanation.score_without:.3g}")
    for warning in explanation.warnings:
        say(f"  warning: {warning}")
    if picture is not None:
        say(f"  picture: {picture}")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 but got {text!r}")
    return value
