"""What the version of a family depends on, and how trials of earlier versions are recognised."""

from __future__ import annotations

import importlib
import linecache
import os
import pickle
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from asd_ray.clips.demo import make_demo
from asd_ray.clips.scan import scan
from asd_ray.detectors import FAMILIES, Family, family
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.storage.study_locks import StudyLocks
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.family_choice import choose_families
from asd_ray.tuning.plan import make_plan

BEFORE = Path(__file__).parents[3] / "shared/golden/run_before/run"
SOURCE = """
'''A module.'''
import math
from dataclasses import dataclass

WIDTH = 8
UNUSED = 1


def helper(x):
    return math.sqrt(x) * WIDTH


def unused(x):
    return x


class Base:
    RESOURCES = None

    def state(self): ...


class Mine(Base):
    '''A detector.'''

    PAPER = {"power": 2.0}

    @staticmethod
    def space(trial):
        return {"power": trial.suggest_float("power", 1.0, 3.0)}

    def __init__(self, context, *, power=2.0):
        self.power = power  # of the level

    def fit(self, train):
        return helper(1.0)

    def score(self, clips): ...
    def load(self, state): ...
"""


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The version of `Mine` in a module of this text, as a new process would find it."""
    monkeypatch.syspath_prepend(tmp_path)

    def of(text: str = SOURCE, nets: str = "") -> str:
        (tmp_path / "identified.py").write_text(text)
        (tmp_path / "identified_nets.py").write_text(nets)
        for name in ("identified", "identified_nets"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        linecache.clearcache()
        return family("identified:Mine").version

    return of


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return helper(1.0)", "return helper(2.0)"),
        ("math.sqrt(x)", "math.exp(x)"),
        ("WIDTH = 8", "WIDTH = 16"),
        ("    def state(self): ...", "    def state(self):\n        return {}"),
        ("power=2.0", "power=3.0"),
    ],
    ids=["a method", "a function that it calls", "a constant that this uses", "a base class", "a default"],
)
def test_an_edited_class_has_another_version(version: Callable[..., str], old: str, new: str) -> None:
    assert old in SOURCE
    assert version() != version(SOURCE.replace(old, new))
    assert version().startswith("code-")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # of the level", "  # of the clip's level"),
        ("'''A detector.'''", "'''Another text.'''"),
        ("def score(self, clips): ...", "def score(\n        self,\n        clips,\n    ): ..."),
        ("UNUSED = 1", "UNUSED = 2"),
        ("    return x\n", "    return x + 1\n"),
        ('suggest_float("power", 1.0, 3.0)', 'suggest_float("power", 1.0, 9.0)'),
        ('PAPER = {"power": 2.0}', 'PAPER = {"power": 2.5}'),
        ('PAPER = {"power": 2.0}', 'PAPER, PAPER_OF = {"power": 2.0}, {2022: {"fan": {"power": 1.5}}}'),
    ],
    ids=[
        "a comment",
        "a docstring",
        "the formatting",
        "another constant",
        "another function",
        "the space",
        "PAPER",
        "PAPER_OF",
    ],
)
def test_what_changes_no_score_changes_no_version(version: Callable[..., str], old: str, new: str) -> None:
    assert old in SOURCE
    assert version() == version(SOURCE.replace(old, new))


def test_a_class_may_say_its_version_itself(version: Callable[..., str]) -> None:
    text = SOURCE.replace("    PAPER", "    VERSION = 3\n    PAPER")
    assert version(text) == version(text.replace("helper(1.0)", "helper(2.0)")) == "3"


@pytest.mark.parametrize("wrong", ["'2'", "0", "True", "1.5"])
def test_a_wrong_version_is_refused(version: Callable[..., str], wrong: str) -> None:
    with pytest.raises(AsdRayError, match="identified:Mine has VERSION = .*; give a whole number from 1"):
        version(SOURCE.replace("    PAPER", f"    VERSION = {wrong}\n    PAPER"))


def test_a_class_of_a_cell_travels_and_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """As IPython does it: the module is __main__, which has no file, and the source is known to linecache alone."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    versions = []
    for cell, text in enumerate((SOURCE, SOURCE.replace("helper(1.0)", "helper(2.0)"))):
        name = f"<ipython-input-{cell}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(module))
        mine = family(vars(module)["Mine"])
        assert (mine.name, mine.identity, mine.own_class) == ("mine", "__main__:Mine", vars(module)["Mine"])
        assert mine.search_space().paper == {"power": 2.0}
        there = pickle.loads(cloudpickle.dumps(mine))
        assert there.detector(None, power=4.0).power == 4.0
        versions.append(mine.version)
    assert len(set(versions)) == 2


def test_a_class_without_a_file_has_a_version_too() -> None:
    versions = []
    for text in (SOURCE, SOURCE, SOURCE.replace("helper(1.0)", "helper(2.0)")):
        names: dict[str, Any] = {"__name__": "nowhere"}
        exec(text, names)
        versions.append(family(names["Mine"]).version)
    assert versions[0] == versions[1] != versions[2]


MORE = """
import functools
import types

import numpy as np
import torch

import identified_nets
from identified_nets import scale

TABLE = np.array([1.0, 2.0])
NAMES = {"a", "b", "c"}


class Settings:
    def __init__(self, width):
        self.width = width


SETTINGS = Settings(4)


def doubled(function):
    @functools.wraps(function)
    def run(x):
        return 2 * function(x)

    return run


@doubled
def decorated(x):
    return x + 1


@torch.no_grad()
def without_gradient(x):
    return x + 2


@functools.cache
def cached(x):
    return x + 3


half = lambda x: x / 2
third = functools.partial(pow, 3)
vectorised = np.vectorize(lambda x: x + 4)


class Mine:
    RESOURCES = None

    def fit(self, train):
        i = [each for each in range(3)]
        return decorated(1), without_gradient(1), cached(1), half(1), third(2), vectorised(1), i

    def score(self, clips):
        return scale(1), identified_nets.width(), TABLE, NAMES, SETTINGS, "a" in {"a", "b", "c"}

    def state(self): ...
    def load(self, state): ...
"""
NETS = "SIZE = 1\n\n\ndef scale(x):\n    return x * 5\n\n\ndef width():\n    return SIZE\n\n\ndef other(): ...\n"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("nets", "x * 5", "x * 6"),
        ("nets", "SIZE = 1", "SIZE = 2"),
        ("mine", "2 * function(x)", "3 * function(x)"),
        ("mine", "x + 1", "x + 9"),
        ("mine", "x + 2", "x + 9"),
        ("mine", "x + 3", "x + 9"),
        ("mine", "x + 4", "x + 9"),
        ("mine", "x / 2", "x / 9"),
        ("mine", "partial(pow, 3)", "partial(pow, 4)"),
        ("mine", "[1.0, 2.0]", "[1.0, 3.0]"),
        ("mine", 'NAMES = {"a", "b", "c"}', 'NAMES = {"a", "b"}'),
        ("mine", "Settings(4)", "Settings(5)"),
        ("mine", "range(3)", "range(4)"),
    ],
)
def test_an_edit_of_what_a_class_uses_counts(version: Callable[..., str], file: str, old: str, new: str) -> None:
    texts = {"mine": MORE, "nets": NETS}
    assert old in texts[file]
    before = version(MORE, nets=NETS)
    assert before == version(MORE, nets=NETS)
    texts[file] = texts[file].replace(old, new)
    assert before != version(texts["mine"], nets=texts["nets"])


@pytest.mark.parametrize("addition", ["i = 3", "each = 'text'", "x = 1.5", "import math"])
def test_names_that_a_class_does_not_use_do_not_count(version: Callable[..., str], addition: str) -> None:
    """Such as a loop variable of another cell of the notebook."""
    assert version(MORE, nets=NETS) == version(f"{MORE}\n{addition}\n", nets=NETS + "\n\ndef more(): ...\n")


def test_the_version_is_of_the_class_that_runs_not_of_its_file(version: Callable[..., str], tmp_path: Path) -> None:
    before = version()
    (tmp_path / "identified.py").write_text(SOURCE.replace("helper(1.0)", "helper(2.0)"))
    linecache.clearcache()
    assert family("identified:Mine").version == before  # as long as it is not imported again


def test_hash_seeds_change_no_version(version: Callable[..., str], tmp_path: Path) -> None:
    version(MORE, nets=NETS)
    found = set()
    for seed in ("1", "2", "3"):
        code = "from asd_ray.families import family; print(family('identified:Mine').version)"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
        found.add(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout)
    assert len(found) == 1
    assert found.pop().startswith("code-")


def test_a_class_derived_from_a_shipped_one_does_not_inherit_its_version(version: Callable[..., str]) -> None:
    text = "from asd_ray.detectors.families.twfr_gmm import TwfrGmm\n\n\nclass Mine(TwfrGmm):\n"
    text += "    score = lambda self, clips: "
    one, other = version(f"{text}super().score(clips)\n"), version(f"{text}{{}}\n")
    assert one.startswith("code-")
    assert one != other


def test_a_new_version_of_a_shipped_family_is_one_of_its_derived_class_too(
    version: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from asd_ray.detectors.families.twfr_gmm import TwfrGmm\n\n\nclass Mine(TwfrGmm): ...\n"
    before = version(text)
    monkeypatch.setattr("asd_ray.detectors.families.twfr_gmm.TwfrGmm.VERSION", 2)
    assert version(text) != before


def test_a_shipped_class_is_the_shipped_family() -> None:
    shipped = family("idnn")
    assert family(shipped.detector) == shipped
    assert (shipped.identity, shipped.version) == ("idnn", "1")


def test_every_shipped_family_has_a_version() -> None:
    versions = {name: family(name).version for name in FAMILIES}
    assert len(versions) == 14
    assert all(version.isdecimal() for version in versions.values())


def test_the_path_of_a_class_is_no_part_of_the_name_of_a_shipped_family() -> None:
    assert Family("idnn", FAMILIES["idnn"]).identity == "idnn"
    assert Family("idnn", "somewhere.else:IDNN").identity == "somewhere.else:IDNN"


@pytest.mark.skipif(not BEFORE.is_dir(), reason="the golden data are not beside the project")
def test_a_run_of_version_0_1_is_not_run_again(tmp_path: Path) -> None:
    """The trials of all its studies, which it named by import paths, count under the names that they have."""
    shutil.copytree(BEFORE, tmp_path / "run")
    ledger = Ledger(tmp_path / "run")
    make_demo(tmp_path / "demo", machines=["fan"])
    source = DataSource(scan(tmp_path / "demo", machines=["fan"]), cache=str(tmp_path / "cache"), is_demo=True)
    source.use(source.bank)
    names = sorted({record.family for record in ledger.records("fan")})
    locks = StudyLocks(ledger.layout)
    try:
        wishes = SearchConfig(["fan"], names, trials=8, epochs_cap=20)
        plan = make_plan(wishes, source, ledger, locks, choose_families(names, has_gpu=False)[0], has_gpu=False)
    finally:
        locks.release()
    assert [study.missing for study in plan.studies] == [0, 0, 0]
    assert sum(study.count() for study in plan.studies) == len(ledger.records("fan")) == 24
    assert [study.incompatible for study in plan.studies] == [0, 0, 0]
