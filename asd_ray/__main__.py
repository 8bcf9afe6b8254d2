"""``asd-ray <verb> …`` is ``python -m asd_ray.<verb> …``."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

from asd_ray import __version__
from asd_ray._ending import end_quickly
from asd_ray._terminal import make_ready, say
from asd_ray.errors import AsdRayError, unknown

VERBS = {  # verb -> (module that has `main(argv)`, what it does)
    "data": ("asd_ray.cli.data", "check a dataset, decode it into a bank, or make the demo set"),
    "evaluate": ("asd_ray.cli.evaluate", "score submission files with the official metrics of a DCASE year"),
    "search": ("asd_ray.cli.search", "let Ray Tune and Optuna try every detector family for your machines"),
    "status": ("asd_ray.cli.status", "show how the searches of a run are going"),
    "ensemble": ("asd_ray.cli.ensemble", "choose and combine the best detectors of each machine, and measure them"),
    "report": ("asd_ray.cli.report", "write the report of a run: one page that needs no network, CSV, JSON, Markdown"),
    "bundle": ("asd_ray.cli.bundle", "write an ensemble with what its members have learned, to score new sound"),
    "score": ("asd_ray.cli.score", "score new recordings with a bundle, and say which are anomalies"),
    "explain": ("asd_ray.cli.explain", "show where and when a recording is anomalous: a heat map, regions, a sentence"),
    "watch": ("asd_ray.cli.watch", "listen to a machine, from a folder or a pipe, and raise one alarm per fault"),
    "onnx": ("asd_ray.cli.onnx", "write the members of a bundle as ONNX files, for machines without torch"),
    "serve": ("asd_ray.cli.serve", "score recordings that programs send over HTTP, with Ray Serve"),
    "submission": ("asd_ray.cli.submission", "write or check the official submission files of a DCASE year"),
    "verify": ("asd_ray.cli.verify", "check every file of a run: its ledger, and its ensembles against the ledger"),
    "ledger": ("asd_ray.cli.ledger", "list, show, verify, import, export, compact or forget stored trials"),
    "paper": ("asd_ray.cli.paper", "show the tables of published papers, and which of their rows can be run here"),
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
    if argv is None:  # as the program of this process
        _import_from_working_directory()
        end_quickly()
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv == ["--version"]:
        say(f"asd_ray {__version__}")
        return 0
    if not argv or argv[0] in ("-h", "--help"):
        say("usage: asd-ray <verb> …        (the same as python -m asd_ray.<verb> …)\n\nverbs:", lines=True)
        width = max(40, shutil.get_terminal_size().columns - 2)  # as wide as the help of a verb
        for verb, (_, summary) in VERBS.items():
            say(textwrap.fill(f"  {verb:<12} {summary}", width, subsequent_indent=15 * " "), lines=True)
        say(f"\n{EXAMPLES}", lines=True)
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        error: AsdRayError = unknown("verb", verb, VERBS)
        say(f"asd-ray: {error}", error=True)
        return 2
    status: int = importlib.import_module(VERBS[verb][0]).main(rest)
    return status


def _import_from_working_directory() -> None:
    """Let ``--families mydet:MyDetector`` name a module of the working directory, as ``python -m`` does by itself.

    An installed script has its own folder first on sys.path instead. Neither is there in Python's safe path mode.
    """
    with contextlib.suppress(FileNotFoundError):  # the working directory was deleted
        folder = os.getcwd()
        if not sys.flags.safe_path and not {"", folder} & set(sys.path):
            sys.path.insert(0, folder)


if __name__ == "__main__":
    sys.exit(main())
