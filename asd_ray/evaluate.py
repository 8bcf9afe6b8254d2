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
Rows = dict[tuple[str, str], dict[str, float | None]]  # (machine, what) -> metric -> value
NAMES = {"auc": "AUC", "pauc": "pAUC", "precision": "precision", "recall": "recall", "f1": "F1"}


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser(
        "evaluate",
        "Score submission files with the official metrics of a DCASE Task 2 year. Clips are paired with the ground\n"
        "truth by file name; every missing, doubled, unknown or misnamed file or clip is listed (exit status 2).",
        EXAMPLES,
    )
    add = made.add_argument
    add("--year", type=int, required=True, help="DCASE year, 2020 to 2025: which files to expect and how to score them")
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
        help="folder of one system's csv files, or of such folders; give as many as you like",
    )
    add("--json", action="store_true", help="print JSON: the entry of one system, or {systems: …} of several")
    add("--scores-only", action="store_true", help="ask for no decision files; leave out precision, recall and F1")
    add(
        "--bug-compatible",
        action="store_true",
        help="print what the official evaluator prints even where it is known to be wrong, such as its interval",
    )
    return _cli.run(made, _evaluate, argv)


def _evaluate(args: argparse.Namespace) -> int:
    from asd_ray.metrics import match, official_score, read_submission, read_truth

    if args.truth.is_file():
        raise AsdRayError(f"{args.truth} is a file; name its folder: --truth {args.truth.parent}")
    truth = read_truth(args.truth, args.year)
    folders = [system for given in args.submission for system in _systems(given)]
    scored: dict[Path, Official] = {}
    failed = []
    for folder in folders:
        try:
            submission = read_submission(folder, args.year, scores_only=args.scores_only)
            table = match(truth, submission, scores_only=args.scores_only)
            for stray in submission.strays:  # nothing is missing, so it is none of the files that count
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
    holding = sorted({path.parent for path in folder.rglob("*.csv") if path.name[0] != "." and path.is_file()})
    return [folder] if folder in holding or not holding else holding


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

    screen = console(130)  # which the widest table needs
    for folder, official in scored.items():
        _print_system(screen, folder, official)


def _print_system(console: Console, folder: Path, official: Official) -> None:
    units = "ids" if official.year == 2020 else "sections"
    cells = {
        (machine, each): {key: value for key, value in cell.items() if key != "counts"}
        for machine, entry in official.machines.items()
        for each, cell in entry[units].items()
    }
    console.print(f"{folder.resolve().name}: DCASE {official.year}, in %", style="bold")
    _print_table(console, ("machine", units[:-1]), cells)
    _print_table(console, ("machine", "mean"), _means(official))
    console.print(_verdict(official))
    console.print(f"Definition of {official.year}: {official.definition}.", style="dim")
    console.print()


def _means(official: Official) -> Rows:
    rows: Rows = {}
    if official.year == 2020:
        for machine, entry in official.machines.items():
            rows[machine, "arithmetic mean"] = entry["average"]
        derived = official.summary["derived_not_official"]
        return rows | {("all ids", "arithmetic mean"): {key.split("_")[1]: value for key, value in derived.items()}}
    harmonic = ("harmonic_mean", "source_harmonic_mean", "target_harmonic_mean")
    for machine, entry in official.machines.items():
        shown = harmonic if len(entry["sections"]) > 1 else harmonic[:1]  # one section's domains are shown above
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


def _verdict(official: Official) -> str:
    if official.score is None:
        return f"No official score: the evaluator of {official.year} prints none."
    said = f"Official score: {100 * official.score:.2f} %"
    if official.interval is None:
        return f"{said} (no interval: the evaluator of {official.year} prints none)"
    ci95 = official.summary["overall"]["official_score_ci95"]
    note = (
        "as the official evaluator prints it, N-1 times too narrow"
        if ci95["value_affected"]
        else "the official evaluator prints it N-1 times too narrow: --bug-compatible"
    )
    return (
        f"{said}, jackknife 95 % interval +/- {100 * official.interval:.4g} ({note}); "
        "the interval is of the AUC and pAUC of all machines' pooled scores, not of the score"
    )


if __name__ == "__main__":
    sys.exit(main())
