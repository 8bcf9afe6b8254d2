"""Print the table of docs/speed.md: `python -m benchmarks [name …]`, e.g. `python -m benchmarks features ledger`.

Every ratio is measured in this run, against the reference named in its row. Above 1 means that asd_ray is faster.
"""

from __future__ import annotations

import importlib
import platform
import sys
from pathlib import Path

from asd_ray.errors import unknown


def main(names: list[str]) -> int:
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    for name in names:
        if name not in known:
            print(unknown("benchmark", name, known), file=sys.stderr)
            return 2
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    print("| what | against | ratio | measured |\n|---|---|---|---|")
    for name in names or known:
        for what, reference, ratio, detail in importlib.import_module(f"benchmarks.bench_{name}").run():
            print(f"| {what} | {reference} | {ratio:.2f}× | {detail} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
