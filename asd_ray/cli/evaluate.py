"""``asd-ray evaluate``: score submission files with the official metrics of a DCASE year."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from asd_ray._terminal import say, say_json
from asd_ray.cli._arguments import parser
from asd_ray.cli._next import say_next
from asd_ray.cli._run import run
from asd_ray.errors import AsdRayError

EXAMPLES = (
    "asd-ray evaluate --year 2020 --truth ground_truth/ --submission submissions/my_system/",
    "asd-ray evaluate --year 2023 --truth ground_truth/ --submission submissions/ --json > results.json",
    "asd-ray evaluate --year 2024 --truth ground_truth/ --submission teams/A_1/ teams/B_1/ --scores-only",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "evaluate",
        "Score submission files with the official metrics of a DCASE Task 2 year. Clips are matched to the ground\n"
        "truth by file name; every missing, repeated, unknown or misnamed file or clip is listed (exit status 2).",
        EXAMPLES,
    )
    add = command.add_argument
    add("--year", type=int, required=True, help="DCASE year, such as 2020: which files to expect, how to score them")
    add(
        "--truth",
        type=Path,
        required=True,
        metavar="DIR",
        help="ground truth: the evaluator's ground_truth_* folders or eval_data_list.csv",
    )
    add(
        "--submission",
        type=Path,
        required=True,
        nargs="+",
        action="extend",
        metavar="DIR",
        help="folder of one system's csv files, or of such folders; one or more",
    )
    add("--wide", action="store_true", help="also print precision, recall and F1")
    add("--json", action="store_true", help="print JSON: the entry of one system, or {systems: …} of several")
    add("--scores-only", action="store_true", help="do not ask for decision files; leave out precision, recall and F1")
    add(
        "--bug-compatible",
        action="store_true",
        help="print what the official evaluator prints even where it is known to be wrong, such as its interval",
    )
    return run(command, _evaluate, argv)


def _evaluate(args: argparse.Namespace) -> int:
    from asd_ray.metrics.evaluation import evaluate_submissions

    evaluation = evaluate_submissions(
        args.truth, args.submission, args.year, scores_only=args.scores_only, bug_compatible=args.bug_compatible
    )
    for warning in evaluation.warnings:
        say(f"warning: {warning}", error=True)
    if not args.json:
        from asd_ray.cli._official_tables import print_systems

        print_systems(evaluation.systems, args.wide)
    elif evaluation.systems:
        say_json(evaluation.to_json())
    if evaluation.problems:
        raise AsdRayError("\n".join(evaluation.problems))
    if not args.json:
        say_next("ledger", "import", "RUN", next(iter(evaluation.systems)), "--truth", args.truth, "--year", args.year)
    return 0
