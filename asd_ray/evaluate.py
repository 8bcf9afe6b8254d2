"""``asd-ray evaluate``: score submission files with the official metrics of a DCASE year."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray._terminal import say, say_json
from asd_ray.cli import _arguments as _cli
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # pandas and rich are imported where they are used, so that --help answers at once
    from asd_ray._console import Console
    from asd_ray.metrics import Official

EXAMPLES = (
    "asd-ray evaluate --year 2020 --truth ground_truth/ --submission submissions/my_system/",
    "asd-ray evaluate --year 2023 --truth ground_truth/ --submission submissions/ --json > results.json",
    "asd-ray evaluate --year 2024 --truth ground_truth/ --submission teams/A_1/ teams/B_1/ --scores-only",
)
Rows = dict[tuple[str, str], dict[str, float | None]]  # (machine, id or mean) -> metric -> value
NAMES = {"auc": "AUC", "pauc": "pAUC", "precision": "precision", "recall": "recall", "f1": "F1"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = _cli.parser(
        "evaluate",
        "Score submission files with the official metrics of a DCASE Task 2 year. Clips are matched to the ground\n"
        "truth by file name; every missing, repeated, unknown or misnamed file or clip is listed (exit status 2).",
        EXAMPLES,
    )
    add = parser.add_argument
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
    add("--json", action="store_true", help="print JSON: the entry of one system, or {systems: …} of several")
    add("--scores-only", action="store_true", help="do not ask for decision files; leave out precision, recall and F1")
    add(
        "--bug-compatible",
        action="store_true",
        help="print what the official evaluator prints even where it is known to be wrong, such as its interval",
    )
    return _cli.run(parser, _evaluate, argv)


def _evaluate(args: argparse.Namespace) -> int:
    from asd_ray.metrics import match, official_score, read_submission, read_truth

    if args.truth.is_file():
        raise AsdRayError(f"{args.truth} is a file; name its folder: --truth {args.truth.parent}")
    truth = read_truth(args.truth, args.year)
    folders = [system for folder in args.submission for system in _systems(folder)]
    scored: dict[Path, Official] = {}
    failed = []
    for folder in folders:
        try:
            submission = read_submission(folder, args.year, scores_only=args.scores_only)
            table = match(truth, submission, scores_only=args.scores_only)
            for stray in submission.strays:  # only a warning: every file that counts is there
                say(f"warning: {folder}: {stray}", error=True)
            scored[folder] = official_score(table, args.year, bug_compatible=args.bug_compatible)
        except AsdRayError as error:
            failed.append(str(error))
    if args.json:
        _print_json(scored, args.year, one=len(folders) == 1)
    else:
        _print_tables(scored)
    if failed:
        raise AsdRayError("\n".join(failed))
    return 0


def _systems(folder: Path) -> list[Path]:
    """The folder itself, or, if it holds no csv file, the folders below it that do."""
    if not folder.is_dir():
        raise AsdRayError(f"{folder}: no such folder; --submission takes a folder of csv files")
    with_csv = sorted({path.parent for path in folder.rglob("*.csv") if path.name[0] != "." and path.is_file()})
    return [folder] if folder in with_csv or not with_csv else with_csv


def _print_json(scored: dict[Path, Official], year: int, one: bool) -> None:
    if one:
        systems: Any = next((official.entry(str(folder)) for folder, official in scored.items()), None)
    else:
        names = [folder.resolve().name for folder in scored]
        keys = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, scored, strict=True)]
        entries = [official.entry(str(folder)) for folder, official in scored.items()]
        systems = {"format": "asd-golden/1", "year": year, "systems": dict(zip(keys, entries, strict=True))}
    if scored:
        say_json(systems)


def _print_tables(scored: dict[Path, Official]) -> None:
    from asd_ray._console import console

    screen = console(130)  # the widest table needs it
    for folder, official in scored.items():
        _print_system(screen, folder, official)


def _print_system(console: Console, folder: Path, official: Official) -> None:
    cells = {
        (machine, id): {key: value for key, value in cell.items() if key != "counts"}
        for machine in official.machines
        for id, cell in official.cells(machine).items()
    }
    console.print(f"{folder.resolve().name}: DCASE {official.year}, in %", style="bold")
    _print_table(console, ("machine", official.edition.unit), cells)
    _print_table(console, ("machine", "mean"), _means(official))
    console.print(_score_line(official))
    console.print(f"Definition of {official.year}: {official.definition}.", style="dim")
    console.print()


def _means(official: Official) -> Rows:
    rows: Rows = {}
    if not official.edition.cells.domains:
        for machine, entry in official.machines.items():
            rows[machine, "arithmetic mean"] = entry["average"]
        derived = official.summary["derived_not_official"]
        return rows | {("all ids", "arithmetic mean"): {key.split("_")[1]: value for key, value in derived.items()}}
    harmonic = ("harmonic_mean", "source_harmonic_mean", "target_harmonic_mean")
    for machine, entry in official.machines.items():
        several = len(official.cells(machine)) > 1  # the domains of a single section are in the table above
        shown = harmonic if several else harmonic[:1]
        rows |= {(machine, kind.replace("_", " ")): entry["means"][kind] for kind in shown}
    overall = official.summary["overall"]
    return rows | {("all", kind.replace("_", " ")): overall[kind] for kind in ("arithmetic_mean", *harmonic)}


def _print_table(console: Console, heads: tuple[str, str], rows: Rows) -> None:
    from rich.table import Table

    from asd_ray._console import several_lines

    keys = list(next(iter(rows.values())))
    table = Table(*heads, box=None, pad_edge=False)
    for key in keys:
        metric, _, part = key.partition("_")
        table.add_column(several_lines(NAMES[metric], part), justify="right")
    for names, row in rows.items():
        values = [row[key] for key in keys]
        table.add_row(*names, *("-" if value is None else f"{100 * value:.2f}" for value in values))
    console.print(table, "")


def _score_line(official: Official) -> str:
    if official.score is None:
        return f"No official score: the evaluator of {official.year} prints none."
    line = f"Official score: {100 * official.score:.2f} %"
    if official.interval is None:
        return f"{line} (no interval: the evaluator of {official.year} prints none)"
    ci95 = official.summary["overall"]["official_score_ci95"]
    note = (
        "as the official evaluator prints it, N-1 times too narrow"
        if ci95["value_affected"]
        else "the official evaluator prints it N-1 times too narrow: --bug-compatible"
    )
    return (
        f"{line}, jackknife 95 % interval +/- {100 * official.interval:.4g} ({note}); "
        "the interval is of the AUC and pAUC of all machines' pooled scores, not of the score"
    )


if __name__ == "__main__":
    sys.exit(main())
