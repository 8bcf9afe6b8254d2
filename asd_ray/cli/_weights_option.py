"""The option --weights of every verb that loads or checks detectors, or trains the rows of a paper."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext


def add_weights_option(to: argparse._ActionsContainer) -> None:
    to.add_argument(
        "--weights",
        dest="brought",
        action="append",
        default=[],
        metavar="NET=FILE",
        help="pretrained weights that detectors need, such as beats=BEATs.pt; also looked for in the folder of "
        "$ASD_RAY_WEIGHTS",
    )


def weights_again(args: argparse.Namespace) -> list[str]:
    """The option as it was typed, for the command that comes next."""
    return [word for text in args.brought for word in ("--weights", text)]


def brought_weights_of(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Within it, detectors find the files that the option names. `run` enters it for every verb."""
    texts = getattr(args, "brought", [])
    if not texts:
        return nullcontext()
    from asd_ray.families.weights import brought, read_weights

    return brought(read_weights(texts))
