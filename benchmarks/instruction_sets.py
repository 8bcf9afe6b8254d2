"""Whether tests pass whatever instruction set computes: a table of instruction set × tests passed and failed.

    python benchmarks/instruction_sets.py [tests/detectors tests/features -k planted …]

The arguments are pytest's; without any, the tests of detectors and features run. PyTorch chooses among its own kernels
and oneDNN among its, by what the processor has; both can be told to use less. Each set rounds otherwise, and training
amplifies that: a threshold that holds under one of them only is a matter of luck. A set that the processor lacks is
left out, with the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
TESTS = ("tests/detectors", "tests/features")
LEVELS = ("DEFAULT", "AVX2", "AVX512")  # as torch.backends.cpu.get_cpu_capability() calls them, each with those before
SETTINGS = {  # variable -> value -> the level that the processor must have
    "ATEN_CPU_CAPABILITY": {"default": "DEFAULT", "avx2": "AVX2", "avx512": "AVX512"},
    "ONEDNN_MAX_CPU_ISA": {"SSE41": "DEFAULT", "AVX2": "AVX2", "AVX512_CORE": "AVX512"},
}


@dataclass
class Outcome:
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main(arguments: Sequence[str]) -> int:
    for name in SETTINGS:
        os.environ.pop(name, None)
    has = torch.backends.cpu.get_cpu_capability()
    print(f"PyTorch finds up to {has} on this processor\n")
    print("| setting | passed | failed | seconds |\n|---|---|---|---|", flush=True)
    failed: dict[str, list[str]] = {}
    for name, values in SETTINGS.items():
        for value, needed in values.items():
            setting = f"{name}={value}"
            if not offers(has, needed):
                print(f"| {setting} | left out: the processor has no {needed} | | |", flush=True)
                continue
            outcome = run(arguments or TESTS, {name: value})
            failed[setting] = outcome.failed
            print(f"| {setting} | {outcome.passed} | {len(outcome.failed)} | {outcome.seconds:.0f} |", flush=True)
    for setting, names in failed.items():
        print(*(f"\n{setting}: {test}" for test in names), sep="", end="\n" if names else "")
    return 1 if any(failed.values()) else 0


def offers(has: str, needed: str) -> bool:
    """Whether a processor of level `has` can run `needed`; one of another make, as ARM, only what every one can."""
    return needed == LEVELS[0] or (has in LEVELS and LEVELS.index(needed) <= LEVELS.index(has))


def run(arguments: Sequence[str], setting: dict[str, str]) -> Outcome:
    """What pytest finds in a process of its own, as both libraries read their variable once."""
    with tempfile.TemporaryDirectory() as folder:
        report, began = Path(folder) / "report.xml", time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **setting}, capture_output=True, text=True)
        if done.returncode > 1 or not report.exists():  # 0: all passed; 1: some failed; else none ran
            raise SystemExit(done.stdout + done.stderr)
        cases = list(xml.parse(report).iter("testcase"))
    outcome = Outcome(seconds=time.monotonic() - began)
    for case in cases:
        kinds = {part.tag for part in case}
        if kinds & {"failure", "error"}:
            outcome.failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" not in kinds:
            outcome.passed += 1
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
