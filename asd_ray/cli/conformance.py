"""``asd-ray conformance``: check that a detector class keeps to the contract."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from asd_ray._terminal import say
from asd_ray.cli._arguments import parser
from asd_ray.cli._next import say_next
from asd_ray.cli._run import run
from asd_ray.cli._types import positive
from asd_ray.cli._weights_option import add_weights_option, weights_again

EXAMPLES = [
    "asd-ray conformance twfr_gmm",
    "asd-ray conformance mine.detector:Mine    # PAPER and space(trial) in the same file",
    "asd-ray conformance mine.detector:Mine --space mine_space.py --seconds 10",
    "asd-ray conformance mine.detector:Mine --rate 48000    # PRESETS[…].at(self.context.rate)",
]
DEFAULTS = {"space": None, "seconds": 1.0, "rate": 16_000, "device": "cpu"}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser("conformance", "Check that a family of detectors keeps to the contract.", EXAMPLES)
    arguments.add_argument("family", help="a family's name, or your own as package.module:Class")
    arguments.add_argument("--space", type=Path, metavar="FILE", help="its search space (default: the family's own)")
    arguments.add_argument(
        "--seconds", type=float, default=DEFAULTS["seconds"], help="length of a clip (default 1); more for long windows"
    )
    arguments.add_argument(
        "--rate", type=positive, default=DEFAULTS["rate"], metavar="HZ", help="of the clips (default 16000)"
    )
    arguments.add_argument("--device", default=DEFAULTS["device"], help="where to compute (default cpu)")
    add_weights_option(arguments)
    return run(arguments, _check, argv)


def _check(args: argparse.Namespace) -> int:
    from asd_ray._console import console
    from asd_ray.conformance import check_family
    from asd_ray.families import family

    tested = family(args.family)
    results = []
    console().print(f"{tested.target}: {tested.detector.__doc__ or ''}".partition("\n")[0])
    for result in check_family(tested, seconds=args.seconds, rate=args.rate, device=args.device, space=args.space):
        results.append(result)
        if args.debug and result.traceback:
            say(result.traceback, lines=True, error=True)
        say(f"{result.name:32} {f'FAILED: {result.problem}' if result.problem else 'ok'}", lines=True)
        sys.stdout.flush()
    passed = sum(result.passed for result in results)
    say(f"{passed} of {len(results)} checks passed")
    _say_next(args, all_passed=passed == len(results))
    return 0 if passed == len(results) else 1


def _say_next(args: argparse.Namespace, *, all_passed: bool) -> None:
    """A search with the family; or the same checks again, with the traceback of each failure."""
    if all_passed:
        say_next("search", "MACHINE", "--families", args.family, *_options(args, "space", "rate"), *weights_again(args))
    elif not args.debug:
        say_next("conformance", args.family, *_options(args, *DEFAULTS), *weights_again(args), "--debug")


def _options(args: argparse.Namespace, *names: str) -> list[object]:
    """Those of the named options that differ from their default, as they were typed."""
    changed = [name for name in names if getattr(args, name) != DEFAULTS[name]]
    return [word for name in changed for word in (f"--{name}", getattr(args, name))]
