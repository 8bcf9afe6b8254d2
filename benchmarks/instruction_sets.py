"""Run tests under each instruction set of this processor, and print how many passed and failed under each.

    python benchmarks/instruction_sets.py [tests/conformance tests/detectors -k planted …]

Arguments are passed to pytest; the default is the tests of detectors, conformance and features. PyTorch and oneDNN
each choose their kernels by what the processor offers, and both can be limited to less by an environment variable.
Instruction sets round differently, and training amplifies the difference, so a threshold that holds under only one of
them holds by chance. Sets that the processor lacks are left out, and the table names the reason.
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
TESTS = ("tests/detectors", "tests/conformance", "tests/features")
LEVELS = ("DEFAULT", "AVX2", "AVX512")  # torch.backends.cpu.get_cpu_capability(); each includes those before it
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
    """Whether a processor of level `has` can run level `needed`. Levels that are not of x86 run only the first one."""
    return needed == LEVELS[0] or (has in LEVELS and LEVELS.index(needed) <= LEVELS.index(has))


def run(arguments: Sequence[str], setting: dict[str, str]) -> Outcome:
    """Run pytest in its own process, because both libraries read their variable only once."""
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
