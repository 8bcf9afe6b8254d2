"""Run the rows of all published tables on a dataset, shortened, and print the tables in Markdown.

    python -m benchmarks.bench_papers --data DIR [--run RUN] [--paper liu2022 …] [--machine fan …] [--epochs-cap 1]

Each table takes the machines that the dataset has. After each table comes its time, and at the end what failed. To
resume, name the same run again. `python -m benchmarks papers` measures what one Ray for all searches of a table saves.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asd_ray import AsdRayError, Dataset, Run
from asd_ray.cli._paper_results import markdown_lines
from asd_ray.clips.demo import make_demo
from asd_ray.experiments import NothingToRun
from asd_ray.papers import PAPERS, Paper, PaperTable, find
from benchmarks import _timing

SEEDS = 3  # searches on one Ray


def tables(keys: Sequence[str]) -> Iterator[tuple[Paper, PaperTable]]:
    for key in keys:
        paper = find(key)
        yield from ((paper, table) for table in paper.tables)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="the dataset")
    parser.add_argument("--run", metavar="RUN", help="folder of results (default: a temporary one)")
    parser.add_argument("--paper", nargs="+", default=list(PAPERS), choices=PAPERS, metavar="KEY", help="default: all")
    parser.add_argument("--machine", nargs="+", default=[], help="only these (default: all that a table has)")
    parser.add_argument("--epochs-cap", type=int, default=1, metavar="N", help="epochs of a trial (default: 1)")
    parser.add_argument("--serial", action="store_true", help="without Ray")
    args = parser.parse_args(argv)
    failed = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        data, run = Dataset(args.data), Run(args.run or f"{folder}/run")
        for paper, table in tables(args.paper):
            began = time.perf_counter()
            place = f"{paper.key}, table {table.number}"
            print(f"## {place}\n", flush=True)
            known = table.machines or data.machines
            machines = [machine for machine in args.machine or data.machines if machine in known]
            if not machines:
                print("Not run: it has none of these machines\n", flush=True)
                continue
            try:
                result = run.paper(
                    paper.key,
                    table.number,
                    data,
                    machines,
                    epochs_cap=args.epochs_cap,
                    serial=args.serial,
                    quiet=True,
                )
            except NothingToRun as error:
                print(f"Not run: {error}\n", flush=True)
                continue
            except AsdRayError as error:
                print(f"Failed: {error}\n", flush=True)
                failed.append(f"{place}: {error}")
                continue
            print("\n".join(markdown_lines(result)))
            print(f"\n{time.perf_counter() - began:.0f} s\n", flush=True)
            failed += [f"{place}: {line}" for line in result.failed]
    print(f"All tables: {time.perf_counter() - started:.0f} s. Failed: {len(failed)}")
    print("\n".join(f"- {line}" for line in failed))
    return 1 if failed else 0


def run() -> Iterator[_timing.Row]:
    """The time of a table with several searches on one Ray, against a command for each search."""
    with tempfile.TemporaryDirectory() as folder:
        data = Dataset(make_demo(Path(folder) / "demo", size="tiny", machines=["fan"]), cache=f"{folder}/cache")
        how: dict[str, Any] = {"rows": "IDNN", "epochs_cap": 1, "quiet": True, "dashboard": False}
        Run(f"{folder}/warm").paper("liu2022", "2", data, serial=True, **how)

        def each() -> None:
            for seeds in range(1, SEEDS + 1):  # every command finds the seeds of those before
                Run(f"{folder}/each").paper("liu2022", "2", data, seeds=seeds, **how)

        one = _timing.seconds(lambda: Run(f"{folder}/one").paper("liu2022", "2", data, seeds=SEEDS, **how))
        several = _timing.seconds(each)
    yield f"{SEEDS} searches of a table, on one Ray", "a command for each", several / one, f"{one:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
