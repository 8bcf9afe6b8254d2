"""Space files that cannot serve: one message with the file, exit status 2, before anything is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asd_ray.detectors import FAMILIES, Family
from asd_ray.errors import AsdRayError
from asd_ray.families.drawing import PaperTrial, draw, paper_draw
from asd_ray.search import main
from asd_ray.tuning.data import DataSource

from ..hostile import Verbs, bounded

PAPER = 'PAPER = {"r": 0.5}\n'
DEF = PAPER + "def space(trial):\n    "
R = DEF + "return {'r': trial."
RETURNS = "def space(trial):\n    return {}\n"
TINY = Family("twfr_gmm", FAMILIES["twfr_gmm"])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(verbs: Verbs, path: Path, *words: str) -> None:
    options = ("search", "fan", "--serial", "--families", "twfr_gmm", "--space", path)
    answer = verbs.refused(*options, words=(str(path), *words))
    assert len(answer.err) < 1500
    assert {each.name for each in path.parent.iterdir()} <= {path.name, "real.py"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PAPER = {\n", ("cannot be run (SyntaxError: ", "mine.py:1)")),
        ("x = 1\n1 / 0\n", ("cannot be run (ZeroDivisionError: division by zero, ", "mine.py:2)")),
        ("import sys\nsys.exit()\n", ("it calls sys.exit(None)", "mine.py:2)")),
        ("import sys\nsys.exit(0)\n", ("it calls sys.exit(0)", "mine.py:2)")),
        ("import no_such_module\n", ("No module named 'no_such_module'", "mine.py:1)")),
        ("PAPER = {'r': 0.5}\0\n", ("cannot be run (", "null bytes")),
        (b"PAPER = {'\xff': 0.5}\n", ("cannot be run (SyntaxError: (unicode error)",)),
        ("(" * 5000 + ")" * 5000, ("cannot be run (",)),
        ("-" * 50_000 + "1", ("cannot be run (",)),
        ("#" * (1 << 20) + "\n", ("larger than 1 MiB",)),
        ("", ("a search space needs PAPER = {…}",)),
        (PAPER, ("a search space needs PAPER = {…}",)),
        ("PAPER = None\n" + RETURNS, ("a search space needs PAPER",)),
        ("PAPER = [('r', 0.5)]\n" + RETURNS, ("a search space needs PAPER",)),
        (PAPER + "space = 3\n", ("a search space needs PAPER",)),
        (PAPER + "def space(trial): ...\n", ("must return a dictionary of parameters but returned NoneType",)),
        (DEF + "return []\n", ("must return a dictionary of parameters but returned list",)),
        (DEF + "return {'r'}\n", ("must return a dictionary of parameters but returned set",)),
        (DEF + "yield 1\n", ("must return a dictionary of parameters but returned generator",)),
        (PAPER + "async def space(trial):\n    return {}\n", ("dictionary of parameters but returned coroutine",)),
        (PAPER + "class space:\n    def __init__(self, trial): ...\n", ("but returned space",)),
        (PAPER + "def space():\n    return {}\n", ("space(trial) raised TypeError: space() takes 0 positional",)),
        (PAPER + "def space(trial, more):\n    return {}\n", ("space(trial) raised TypeError: ", "'more'")),
        (DEF + "exit(3)\n", ("space(trial) raised SystemExit: 3, ", "mine.py:3")),
        (DEF + "1 / 0\n", ("space(trial) raised ZeroDivisionError", "mine.py:3")),
        (DEF + "return space(trial)\n", ("space(trial) raised RecursionError",)),
        (DEF + "return trial.suggest_flaot('r', 0, 1)\n", ("raised AttributeError", "mine.py:3")),
        (R + "suggest_float('r', 0.6, 1)}\n",
         ("PAPER['r'] = 0.5 is out of the range 0.6 … 1 of space(); widen it",)),
        (R + "suggest_float('r', 0, 1, step=0.3)}\n",
         ("PAPER['r'] = 0.5 is not a multiple of the step 0.3 from 0",)),
        (R + "suggest_int('r', 0, 4)}\n", ("PAPER['r'] = 0.5 is not a multiple of the step 1 from 0",)),
        (R + "suggest_float('r', 1, 0)}\n", ("space(trial) raised ValueError",)),
        (R + "suggest_float('r', 0, 1, log=True)}\n", ("raised ValueError",)),
        (R + "suggest_float('r', 'a', 1)}\n", ("raised TypeError", "mine.py:3")),
        (R + "suggest_categorical('r', [1, 2])}\n",
         ("PAPER['r'] = 0.5 is none of 1, 2; add it to them",)),
        (R + "suggest_categorical('r', [])}\n", ("space(trial) raised ",)),
        (R + "suggest_categorical('r', [0.5, [1]])}\n", ("space(trial) raised ",)),
        (R + "suggest_float('s', 0, 1)}\n",
         ("space() suggests 's', which PAPER does not have; add it there",)),
        (DEF + "return {'s': 1}\n", ("space() gives 's', which PAPER does not have",)),
        (DEF + "return {1: 1}\n", ("space() gives '1', which PAPER does not have",)),
        (DEF + "return {'r': [0.5]}\n", ("space() gives 'r' = [0.5]; a parameter is a finite",)),
        (DEF + "return {'r': trial}\n", ("space() gives 'r' = ", "a parameter is a finite")),
        (DEF + "return {'r': 0.7}\n", ("with PAPER's values space() returns another 'r'",)),
        ("PAPER = {'r': 'half'}\ndef space(trial):\n    return {'r': trial.suggest_float('r', 0, 1)}\n",
         ("PAPER['r'] = 'half' is not a number, but space() suggests one",)),
        ("PAPER = {'r': [0.5]}\n" + RETURNS, ("PAPER has 'r' = [0.5]; a parameter is a finite number",)),
        ("PAPER = {'r': {'a': 1}}\n" + RETURNS, ("PAPER has 'r' = {'a': 1}; a parameter",)),
        ("PAPER = {'r': float('nan')}\n" + RETURNS, ("PAPER has 'r' = nan; a parameter is a finite number",)),
        ("PAPER = {'r': 1e999}\n" + RETURNS, ("PAPER has 'r' = inf; a parameter is a finite number",)),
        ("PAPER = {'r': b'x'}\n" + RETURNS, ("PAPER has 'r' = b'x'; a parameter is a finite number",)),
        ("PAPER = {'r': 1j}\n" + RETURNS, ("PAPER has 'r' = 1j; a parameter is a finite number",)),
        ("PAPER = {'r': print}\n" + RETURNS, ("PAPER has 'r' = <built-in", "a parameter is a finite number")),
        ("PAPER = {'r': '\\ud800'}\n" + RETURNS, ("PAPER has 'r' = ", "a parameter is a finite number")),
        ("PAPER = {'r': 10**310}\n" + RETURNS, ("PAPER has 'r' = 1000", "below 1e300")),
        ("PAPER = {'r': 1e305}\n" + RETURNS, ("PAPER has 'r' = 1e+305; a parameter is a finite number below 1e300",)),
        ("PAPER = {'r': 'x' * 5000}\n" + RETURNS, ("PAPER has 'r' = 'xxxx", "short text")),
        ("PAPER = {'r' * 5000: 1}\n" + RETURNS, ("PAPER has 'rrrr",)),
        ("PAPER = {'\\ud800': 1}\n" + RETURNS, ("PAPER has '\\ud800' = 1; a parameter",)),
        ("PAPER = {'r': 10**5000}\n" + RETURNS, ("PAPER has 'r' = ", "a parameter is a finite number")),
        ("PAPER = {3: 0.5}\n" + RETURNS, ("PAPER has the name 3; names of parameters are text",)),
        ("PAPER = {'': 0.5}\n" + RETURNS, ("PAPER has the name ''; names of parameters are text",)),
        ("PAPER = {'q': 0.5}\n" + RETURNS, ("PAPER has 'q', which twfr_gmm does not take",)),
        ("PAPER = {'epochs': 'ten'}\n" + RETURNS, ("PAPER has 'epochs' = 'ten'; give a whole number from 1",)),
        ("PAPER = {'epochs': 0}\n" + RETURNS, ("PAPER has 'epochs' = 0; give a whole number from 1",)),
        ("PAPER = {'epochs': 10**200}\n" + RETURNS, ("PAPER has 'epochs' = 1000", "give a whole number from 1")),
        ("PAPER = {'epochs': None}\n" + RETURNS, ("PAPER has 'epochs' = None; give a whole number from 1",)),
    ],
    ids=lambda value: value[-50:] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_space_that_cannot_serve_is_said_at_once(
    verbs: Verbs, tmp_path: Path, text: str | bytes, words: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(verbs, path, *words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine.txt", ("the name of a search space ends in .py",)),
        ("mine", ("the name of a search space ends in .py",)),
        ("mine.pyc", ("the name of a search space ends in .py",)),
        ("folder.py", ("a folder, no search space",)),
        ("pipe.py", ("not a file, no search space",)),
        ("loop.py", ("give a Python file with PAPER",)),
        ("nowhere.py", ("no such file; give a Python file with PAPER and def space(trial)",)),
        ("x" * 300 + ".py", ("give a Python file with PAPER",)),
    ],
)
def test_what_is_no_space_file_is_said(verbs: Verbs, tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    (tmp_path / "real.py").write_text(PAPER + RETURNS)
    if name.startswith("mine"):
        (tmp_path / name).write_text(PAPER + RETURNS)
    elif name == "folder.py":
        (tmp_path / name).mkdir()
    elif name == "pipe.py":
        os.mkfifo(tmp_path / name)
    elif name == "loop.py":
        (tmp_path / name).symlink_to(tmp_path / name)
    refused(verbs, tmp_path / name, *words)


def test_a_space_file_is_run_once_a_command(verbs: Verbs, tmp_path: Path, small_machine: DataSource) -> None:
    path = tmp_path / "mine.py"
    body = Path(TINY.search_space().path).read_text()
    path.write_text(body + "\nopen('runs.txt', 'a').write('x')\n")
    data = ("--data", small_machine.table.root, "--run", "r", "--trials", 1)
    assert verbs("search", "fan", "--serial", "--families", "twfr_gmm", "--space", path, *data).status == 0
    assert Path("runs.txt").read_text() == "x"


def test_ctrl_c_in_a_space_stays_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DEF + "raise KeyboardInterrupt\n")
    assert main(["fan", "--serial", "--families", "twfr_gmm", "--space", "mine.py"]) == 130


@pytest.mark.parametrize(
    ("paper", "drawn"),
    [
        ("{'r': np.float64(0.5)}", "{'r': np.float64(0.5)}"),
        ("{'r': np.float32(0.5)}", "{'r': trial.suggest_float('r', 0, 1)}"),
        ("{'r': 1}", "{'r': trial.suggest_int('r', np.int64(0), 3)}"),
        ("{'r': True}", "{'r': trial.suggest_categorical('r', (True, False))}"),
        ("{'r': None}", "{'r': trial.suggest_categorical('r', [None, 'x'])}"),
        ("{'r': 0.3}", "{'r': trial.suggest_float('r', 0, 0.9, step=0.1)}"),
        ("{'r': 0.5}", "{} if trial.number else {}"),
    ],
)
def test_what_is_only_unusual_is_taken(tmp_path: Path, paper: str, drawn: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"import numpy as np\nPAPER = {paper}\ndef space(trial):\n    return {drawn}\n")
    space = TINY.search_space(path)
    paper_draw(space, TINY)
    assert set(draw(space, PaperTrial(space.paper))) == {"r"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from(["r", "components", "epochs", "", "x"]) | st.text(max_size=3)
SUGGESTS = st.tuples(
    st.sampled_from(["suggest_float", "suggest_int", "suggest_categorical", "suggest_loguniform", "set_user_attr"]),
    NAMES,
    st.lists(VALUES, max_size=3),
    st.dictionaries(st.sampled_from(["step", "log", "low", "high", "choices"]), VALUES, max_size=2),
)


def source(paper: Any, calls: list[Any], more: Any) -> str:
    lines = [
        "nan, inf = float('nan'), float('inf')",
        f"PAPER = {paper!r}",
        "def space(trial):",
        f"    drawn = {more!r}",
    ]
    for method, name, values, options in calls:
        words = [repr(name), *map(repr, values), *(f"{key}={value!r}" for key, value in options.items())]
        lines.append(f"    drawn[{name!r}] = trial.{method}({', '.join(words)})")
    return "\n".join([*lines, "    return drawn", ""])


@settings(
    max_examples=int(os.environ.get("SPACES", "100")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.one_of(
        st.builds(
            source,
            st.dictionaries(NAMES, VALUES, max_size=3) | VALUES,
            st.lists(SUGGESTS, max_size=3),
            st.dictionaries(NAMES, VALUES, max_size=1) | VALUES,
        ).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.binary(max_size=60),
    )
)
def test_whatever_a_space_file_holds_is_used_or_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fuzzed.py"
    path.write_bytes(content)
    with bounded(20):
        try:
            space = TINY.search_space(path)
            paper_draw(space, TINY)
        except AsdRayError as error:
            message = str(error)
        else:
            return
    assert str(path) in message
    assert message.encode()
