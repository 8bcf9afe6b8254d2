"""``asd-ray report``: which detectors, combined how, for these machines, and can it be believed: on one page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from asd_ray import _cli

EXAMPLES = (
    "asd-ray report --run runs/demo",
    "asd-ray report --run s3://bucket/runs/fan --out report/",
)


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser(
        "report",
        "Write the report of a run whose ensembles were chosen (asd-ray ensemble): report.html, which needs no\n"
        "network and prints to PDF, and the same tables as report.json, report.md and CSV.",
        EXAMPLES,
    )
    made.add_argument("--run", metavar="RUN", help="folder or s3://… of results (default: the one folder in runs/)")
    made.add_argument("--out", metavar="DIR", help="where the files go (default: RUN/report)")
    return _cli.run(made, _report, argv)


def _report(args: argparse.Namespace) -> int:
    from asd_ray.ensemble import only_run
    from asd_ray.ledger import Ledger, RunLayout
    from asd_ray.reporting import gather, write

    ledger = Ledger(args.run or only_run()).require()
    facts = gather(ledger)
    if args.out:
        target = RunLayout(args.out)
        written = write(facts, target, target.base)
    else:
        written = write(facts, ledger.layout, ledger.layout.report)
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
