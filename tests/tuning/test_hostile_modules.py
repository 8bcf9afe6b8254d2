"""Users' own classes and modules that cannot be searched: one message, exit status 2, before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd_ray.cli import conformance
from asd_ray.conformance import checks
from asd_ray.search import main

from ..hostile import Verbs

GOOD = '''
import numpy as np
from asd_ray.detectors import Progress, Resources
from asd_ray.features import PRESETS

PAPER = {"x": 0.5}


def space(trial):
    return {"x": trial.suggest_float("x", 0.0, 1.0)}


class Mine:
    """Finds nothing."""

    RESOURCES = Resources()

    def __init__(self, context, *, x=0.5):
        self.front_end = PRESETS["baseline"]

    def fit(self, train):
        yield Progress(1, {"loss": 1.0})

    def score(self, clips):
        return {"level": np.arange(len(clips), dtype=float)}

    def state(self):
        return {}

    def load(self, state): ...
'''
ABSTRACT = "import abc\n" + GOOD.replace("class Mine:", "class Mine(abc.ABC):").replace(
    "    def load", "    @abc.abstractmethod\n    def load"
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the default run is a folder here
    monkeypatch.syspath_prepend(tmp_path / "modules")


@pytest.fixture
def module(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str | bytes], str]:
    """Write a module of a name of its own, for Python keeps modules; its name."""

    def write(text: str | bytes, more: str = "") -> str:
        name = f"own_{abs(hash((request.node.name, more))):x}"
        path = tmp_path / "modules" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


def made(tmp_path: Path) -> set[str]:
    return {each.name for each in tmp_path.iterdir()} - {"modules"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (\n", ("SyntaxError: invalid syntax, ", ".py:1)", "fix that line")),
        ("x = 1\n  y = 2\n", ("IndentationError: ", ".py:2)")),
        ("\n1 / 0\n", ("ZeroDivisionError: division by zero, ", ".py:2)")),
        ("import sys\nsys.exit()\n", ("it calls sys.exit(None)", ".py:2)")),
        ("import sys\nsys.exit(0)\n", ("it calls sys.exit(0)", ".py:2)")),
        ("raise SystemExit('done')\n", ("it calls sys.exit('done')", ".py:1)")),
        ("import no_such_package\n", ("No module named 'no_such_package'", "install what it imports", ".py:1)")),
        ("from os import no_such_name\n", ("ImportError: cannot import name 'no_such_name'", ".py:1)")),
        ("def f():\n    f()\n\n\nf()\n", ("RecursionError",)),
        ("class Odd(BaseException): ...\n\n\nraise Odd\n", ("Odd, ", ".py:4)")),
        ("class Odd(Exception):\n    def __str__(self):\n        1 / 0\nraise Odd\n", ("its text cannot be shown",)),
        ("raise ValueError('x' * 100000)\n", ("ValueError: xxx", "…")),
        ("raise ValueError('\\ud800')\n", ("ValueError: ",)),
        ("x = '\0'\n", ("null bytes",)),
        (b"x = '\xff\xfe'\n", ("SyntaxError: (unicode error)",)),
        ("def __getattr__(name):\n    raise OSError('gone')\n", ("OSError: gone", ".py:2)")),
        ("PAPER = {}\n", ("has no attribute 'Mine'", "PYTHONPATH")),
        ("Mine = None\n", ("has no attribute 'Mine'",)),
        ("def Mine(context): ...\n", ("is of type function, but must be a class",)),
        ("import json as Mine\n", ("is of type module, but must be a class",)),
        (GOOD + "\n\nMine = Mine(None)\n", ("is of type Mine, but must be a class",)),
        ("class Mine: ...\n", ("lacks RESOURCES, fit, score, state, load of the contract",)),
        (GOOD + "\n\nMine.fit = None\n", ("lacks fit of the contract", "asd_ray/detectors/_base.py")),
        (GOOD + "\n\nMine.RESOURCES = {'cpu': 1}\n", ("has RESOURCES = {'cpu': 1}, which must be a Resources(",)),
        (GOOD + "\n\nMine.RESOURCES = Resources\n", ("has RESOURCES = <class", "which must be a Resources(")),
        (GOOD + "\n\nMine.RESOURCES = Resources(cpu=0)\n", ("resources need cpu above 0", ".py:")),
        (GOOD + "\n\nMine.RESOURCES = Resources(cpu=1e11)\n", ("resources need cpu above 0 and at most",)),
        (
            ABSTRACT,
            ("is abstract (load), so it cannot make detectors",),
        ),
        ("from asd_ray.detectors import Detector as Mine\n", ("is abstract (it is a Protocol)",)),
        (GOOD.replace("PAPER", "PEPPER"), ("a search space needs PAPER = {…}",)),
        (GOOD.replace('{"x": 0.5}', "[1]"), ("a search space needs PAPER = {…}",)),
        (GOOD.replace("*, x=0.5", "x=0.5"), ("PAPER has 'x', which ", "does not take")),
        (GOOD.replace('{"x": 0.5}', '{"x": 5}'), ("PAPER['x'] = 5 is out of the range 0 … 1 of space(); widen it",)),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)  # fmt: skip
def test_a_module_that_cannot_serve_is_said_at_once(
    verbs: Verbs, module: Callable[..., str], tmp_path: Path, text: str | bytes, words: tuple[str, ...]
) -> None:
    target = f"{module(text)}:Mine"
    answer = verbs.refused("search", "fan", "--serial", "--families", target, words=(*words, target.partition(":")[0]))
    assert len(answer.err) < 1500
    assert made(tmp_path) == set()


@pytest.mark.parametrize("target", [":X", ".x:Y", "x:", "x:1y", "a/b.py:X", "x:Y:Z", "x:Y.Z", "a b:X", "..:..", "x::Y"])
def test_what_is_no_module_and_class_is_said_with_how_to_write_it(verbs: Verbs, tmp_path: Path, target: str) -> None:
    words = (f"family {target!r} is not of the form package.module:Class",)
    verbs.refused("search", "fan", "--serial", "--families", target, words=words)
    assert made(tmp_path) == set()


def test_two_classes_of_one_name_are_said_before_anything_starts(
    verbs: Verbs, module: Callable[..., str], tmp_path: Path
) -> None:
    one, two = f"{module(GOOD)}:Mine", f"{module(GOOD, 'two')}:Mine"
    words = (f"families {one} and {two} would both be called mine; rename one of the classes",)
    verbs.refused("search", "fan", "--serial", "--families", f"{one},{two}", words=words)
    assert made(tmp_path) == set()


def test_a_class_whose_name_is_no_folders_name_is_said(verbs: Verbs, module: Callable[..., str]) -> None:
    target = f"{module(GOOD.replace('Mine', 'Über'))}:Über"
    words = (f"family {target}", "the family name 'über'")
    verbs.refused("search", "fan", "--serial", "--families", target, words=words)


@pytest.mark.parametrize("names", ["", ",", " , "])
def test_no_family_at_all_is_refused(verbs: Verbs, tmp_path: Path, names: str) -> None:
    verbs.refused("search", "fan", "--serial", "--families", names, words=("must name at least one",), lines=60)
    assert made(tmp_path) == set()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--cpus-per-trial", "1e11", ("--cpus-per-trial 1e+11: this computer has ", "ask for at most that")),
        ("--cpus-per-trial", "100000", ("this computer has ",)),
        ("--seed", "4294967296", ("must be a whole number from 0 to 4294967295",)),
        ("--seed", "9" * 5000, ("must be a whole number from 0 to 4294967295",)),
    ],
)
def test_a_number_that_would_fail_every_trial_is_refused(
    verbs: Verbs, tmp_path: Path, option: str, value: str, words: tuple[str, ...]
) -> None:
    verbs.refused("search", "fan", "--serial", "--families", "twfr_gmm", option, value, words=words, lines=60)
    assert made(tmp_path) == set()


def test_ctrl_c_while_a_module_is_imported_stays_ctrl_c(
    module: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"{module('raise KeyboardInterrupt')}:Mine"
    assert main(["fan", "--serial", "--families", target]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (\n", ("SyntaxError: ", ".py:1)")),
        ("import sys\nsys.exit(0)\n", ("it calls sys.exit(0)", ".py:2)")),
        ("Mine = 1\n", ("is of type int, but must be a class",)),
        (None, ("is not of the form package.module:Class",)),
    ],
)
def test_conformance_says_the_same(
    module: Callable[..., str], capsys: pytest.CaptureFixture[str], text: str | None, words: tuple[str, ...]
) -> None:
    assert conformance.main([f"{module(text)}:Mine" if text else ":Mine"]) == 2
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    assert [word for word in words if word not in err] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--space", "nowhere.py"], ("nowhere.py: no such file",)),
        (["--device", "cuda:x"], ("--device",)),
        (["--device", "toaster"], ("--device",)),
        (["--seconds", "nan"], ("--seconds",)),
        (["--seconds", "-1"], ("--seconds",)),
        (["--seconds", "1e9"], ("--seconds",)),
    ],
    ids=" ".join,
)
def test_conformance_refuses_options_that_fail_every_check(
    capsys: pytest.CaptureFixture[str], options: list[str], words: tuple[str, ...]
) -> None:
    try:
        status = conformance.main(["twfr_gmm", *options])
    except SystemExit as left:
        status = left.code  # type: ignore[assignment]
    out, err = capsys.readouterr()
    assert status == 2
    assert "FAILED" not in out
    assert [word for word in words if word not in err] == []


def test_a_check_of_conformance_in_which_the_class_exits_is_one_that_fails(
    module: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exits: Any = (checks.check_progress, checks.check_scores)
    monkeypatch.setattr("asd_ray.conformance.run.CHECKS", exits)
    name = module(GOOD.replace('        yield Progress(1, {"loss": 1.0})', "        raise SystemExit(3)"))
    assert conformance.main([f"{name}:Mine"]) == 1
    out = capsys.readouterr().out
    assert out.count("FAILED") == 2
    assert "it calls sys.exit(3)" in out
