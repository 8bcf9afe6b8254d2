"""``asd-ray score``: the score of new recordings, and whether they are anomalies."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import parser
from asd_ray.cli._bundle_options import add_bundle_options, add_sounds, bundle_of, sounds_of
from asd_ray.cli._next import say_next
from asd_ray.cli._run import run
from asd_ray.cli._weights_option import weights_again
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # torch is imported where it is used, so that --help answers at once
    from asd_ray.deploy.result import ClipScore
    from asd_ray.deploy.scoring import Unscored

EXAMPLES = (
    "asd-ray score fan.bundle new.wav",
    "asd-ray score fan.bundle recordings/ --id 02 --false-alarms 1%",
    "asd-ray score fan.bundle dataset/ --layout dcase2022 --csv > scores.csv",
    "asd-ray score fan.bundle new.wav --exit-status && echo normal",
)
ANOMALY_FOUND = 3  # exit status with --exit-status


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "score",
        "Score recordings with a bundle. Higher is more anomalous. One line per file: its score, the share of the\n"
        "machine's normal clips that score lower, and the decision. Any rate and length; wav and flac.",
        EXAMPLES,
    )
    add_bundle_options(command)
    add_sounds(command)
    add = command.add_argument
    add("--layout", metavar="NAME", help="read a dataset's folder by this naming scheme, for ids and domains")
    output = command.add_mutually_exclusive_group()
    output.add_argument("--wide", action="store_true", help="also print the id that each file was scored as")
    output.add_argument("--csv", action="store_true", help="print CSV")
    output.add_argument("--json", action="store_true", help="print one JSON object per line, with every member's score")
    add("--exit-status", action="store_true", help=f"exit with {ANOMALY_FOUND} if any file is an anomaly")
    return run(command, _score, argv)


def _score(args: argparse.Namespace) -> int:
    from asd_ray._progress import progress_bar
    from asd_ray.deploy.scoring import counted, score_files

    bundle = bundle_of(args)
    files = sounds_of(args, bundle, args.layout)
    with progress_bar("scoring", quiet=len(files) < 2) as done:
        anomalies, failed = _print(score_files(bundle, counted(files, done)), args)
    if anomalies and not (args.csv or args.json):
        say_next("explain", args.bundle, anomalies[0], *weights_again(args))
    if failed:
        raise AsdRayError(f"{failed} of {len(files)} files could not be scored; see above")
    return ANOMALY_FOUND if anomalies and args.exit_status else 0


def _print(results: Iterator[ClipScore | Unscored], args: argparse.Namespace) -> tuple[list[str], int]:
    """Print each result as it comes. Returns the names of the anomalies, and how many files could not be scored."""
    from asd_ray.deploy.result import ANOMALY
    from asd_ray.deploy.scoring import Unscored

    anomalies, failed = list[str](), 0
    writer = _Csv() if args.csv else _Json() if args.json else _Table(args.wide)
    for result in results:
        if isinstance(result, Unscored):
            failed += 1
            writer.unscored(result)
        else:
            anomalies += [result.name] * (result.decision == ANOMALY)
            writer.scored(result)
        sys.stdout.flush()
    return anomalies, failed


class _Table:
    """One line per file, aligned, for people. A `wide` one has the id that each file was scored as."""

    def __init__(self, wide: bool) -> None:
        self._wide, self._begun = wide, False

    def scored(self, result: ClipScore) -> None:
        if not self._begun:
            say(f"anomaly: a score above {result.threshold:.4f}; lower: share of normal clips that score lower")
            say(f"{'score':>9}  {'lower':>7}  {'decision':<8}  {'id    ' * self._wide}file")
            self._begun = True
        share, name = f"{100 * result.share_below:.1f} %", Path(result.name).name
        id = f"{result.id or 'any':<4}  " if self._wide else ""
        say(f"{result.score:9.4f}  {share:>7}  {result.decision:<8}  {id}{name}")
        for warning in result.warnings:
            say(f"  warning: {name}: {warning}")

    def unscored(self, result: Unscored) -> None:
        say(f"not scored: {result.name}: {result.reason}", error=True)


class _Json:
    def scored(self, result: ClipScore) -> None:
        say(json.dumps(result.to_json()))

    def unscored(self, result: Unscored) -> None:
        say(json.dumps(result.to_json()))


class _Csv:
    """A header, then one row per file; a file that could not be scored has the reason in the last column."""

    def __init__(self) -> None:
        self._row(["name", "id", "seconds", "score", "share_below", "threshold", "decision", "warnings", "error"])

    def scored(self, result: ClipScore) -> None:
        numbers = [result.seconds, result.score, result.share_below, result.threshold]
        self._row([result.name, result.id, *numbers, result.decision, "; ".join(result.warnings), ""])

    def unscored(self, result: Unscored) -> None:
        self._row([result.name, *[""] * 7, result.reason])

    def _row(self, cells: list[object]) -> None:
        from asd_ray._csv import csv_line

        say(csv_line(cells), lines=True)
