"""Run the checks on one family, one result per check."""

from __future__ import annotations

import inspect
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asd_ray.conformance.checks import CHECKS, Check
from asd_ray.conformance.workspace import RATE, Workspace
from asd_ray.errors import AsdRayError
from asd_ray.families import Family, family
from asd_ray.families.user_code import description
from asd_ray.families.weights import WEIGHTS_VARIABLE, weights_files

LONGEST = 60.0  # seconds of a clip


@dataclass(frozen=True)
class CheckResult:
    name: str
    problem: str = ""  # empty: the check passed
    traceback: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem


def check_family(
    tested: str | type | Family,
    *,
    seconds: float = 1.0,
    rate: int = RATE,
    device: str = "cpu",
    space: Path | None = None,
    checks: Sequence[Check] | None = None,
) -> Iterator[CheckResult]:
    """One result per check, of all checks unless `checks` are given. What would fail all is an AsdRayError at once.

    `seconds` is the length of a clip; a detector with long windows needs more than one second. A family that needs
    weights of the user is checked with those that are brought.
    """
    tested = tested if isinstance(tested, Family) else family(tested)
    _refuse(tested, seconds, device, space)
    brought = _with_brought_weights(tested)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with so little work, threads would only wait for each other
    try:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(Path(folder), seconds, device, space, rate, smaller=brought)
            for check in CHECKS if checks is None else checks:
                yield _result(check, tested, workspace)
    finally:
        torch.set_num_threads(threads)


def _result(check: Check, tested: Family, workspace: Workspace) -> CheckResult:
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        check(tested, workspace)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's class raises, SystemExit too
        is_rule = isinstance(error, AssertionError | AsdRayError)
        problem = str(error).strip() if is_rule else description(error)
        return CheckResult(name, problem or type(error).__name__, traceback.format_exc())
    return CheckResult(name)


def _with_brought_weights(tested: Family) -> dict[str, Any]:
    """The parameters that choose brought weights, of a family that needs some: PAPER may name a net without a file."""
    if not tested.needs_weights:
        return {}
    chosen, files = dict[str, Any](), weights_files()
    for parameter, nets in tested.weights.items():
        brought = [net for net in nets if net in files]
        if not brought:
            raise AsdRayError(
                f"{tested.name} needs pretrained weights, and none are brought; give them with --weights NET=FILE, or "
                f"in the folder of ${WEIGHTS_VARIABLE}, for one of {', '.join(nets)}"
            )
        usual = inspect.signature(tested.detector.__init__).parameters[parameter].default
        chosen[parameter] = usual if usual in brought else brought[0]
    return chosen


def _refuse(tested: Family, seconds: float, device: str, space: Path | None) -> None:
    _ = tested.detector
    if space is not None:
        tested.search_space(space)
    if not 0 < seconds <= LONGEST:
        raise AsdRayError(f"--seconds must be above 0 and at most {LONGEST:g} but got {seconds:g}")
    try:
        torch.zeros(1, device=device)
    except Exception as error:  # of a device that torch does not know, or does not have
        reason = str(error).strip().partition("\n")[0]
        raise AsdRayError(f"--device {device}: torch cannot compute there ({reason}); try cpu, or cuda") from error
