"""``asd-ray <verb> …`` is ``python -m asd_ray.<verb> …``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from asd_ray import __version__
from asd_ray._terminal import make_ready, say
from asd_ray.errors import AsdRayError, unknown

VERBS = {  # verb -> (module that has `main(argv)`, what it does)
    "data": ("asd_ray.data", "check a dataset, decode it into a bank, or make the demo set"),
    "evaluate": ("asd_ray.evaluate", "score submission files with the official metrics of a DCASE year"),
    "search": ("asd_ray.cli.search", "let Ray Tune and Optuna try every detector family for your machines"),
    "ensemble": (
        "asd_ray.cli.ensemble",
        "choose and combine the best detectors of each machine, and measure that",
    ),
    "report": ("asd_ray.cli.report", "write the report of a run: one page that needs no network, CSV, JSON, Markdown"),
    "ledger": ("asd_ray.ledger.__main__", "list, show, verify, import, export or compact stored trials"),
    "conformance": ("asd_ray.cli.conformance", "check that your own detector keeps to the contract"),
}

EXAMPLES = """\
examples:
  asd-ray data demo demo/
  asd-ray data check demo/
  asd-ray search fan
  asd-ray data --help"""


def main(argv: Sequence[str] | None = None) -> int:
    make_ready()
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv == ["--version"]:
        say(f"asd_ray {__version__}")
        return 0
    if not argv or argv[0] in ("-h", "--help"):
        say("usage: asd-ray <verb> …        (the same as python -m asd_ray.<verb> …)\n\nverbs:", lines=True)
        for verb, (_, summary) in VERBS.items():
            say(f"  {verb:<12} {summary}")
        say(f"\n{EXAMPLES}", lines=True)
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        error: AsdRayError = unknown("verb", verb, VERBS)
        say(f"asd-ray: {error}", error=True)
        return 2
    status: int = importlib.import_module(VERBS[verb][0]).main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
