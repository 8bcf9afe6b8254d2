from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from asd_ray._shipped import shipped
from asd_ray.detectors import FAMILIES, Family, family
from asd_ray.errors import AsdRayError

Module = Callable[[str, str], Path]

OWN = """
PAPER = {"power": 2.0}


def space(trial):
    return {"power": trial.suggest_float("power", 1.0, 3.0)}


class MyLoudness:
    RESOURCES = None

    def __init__(self, context, *, power=2.0): ...
    def fit(self, train): ...
    def score(self, clips): ...
    def state(self): ...
    def load(self, state): ...
"""


def test_an_unknown_family_gets_a_suggestion() -> None:
    with pytest.raises(
        AsdRayError, match="unknown family 'twfr_gm'; did you mean 'twfr_gmm'\\? known: aegan_ad, anogan, autoencoder, "
    ):
        family("twfr_gm")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_of_the_table_is_found_by_its_name(name: str) -> None:
    found = family(name)
    assert (found.name, found.target) == (name, FAMILIES[name])
    assert found.detector.__name__ == FAMILIES[name].partition(":")[2]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_ships_a_search_space(name: str) -> None:
    found = family(name).search_space()
    assert Path(found.path).name == f"{name}.py"
    assert {*found.paper, *found.later} == family(name).parameters
    defaults = inspect.signature(family(name).detector).parameters
    assert found.later == {each: defaults[each].default for each in found.later}


def test_every_search_space_that_ships_belongs_to_a_family() -> None:
    files = {path.stem for path in shipped("search_spaces").glob("*.py")}
    assert files == set(FAMILIES)
    assert len(files) == 14


def test_a_users_family_is_a_module_and_a_class(module: Module) -> None:
    module("own_family", OWN)
    found = family("own_family:MyLoudness")
    assert found.name == "my_loudness"
    assert found.detector.__name__ == "MyLoudness"
    assert found.parameters == {"power"}
    assert found.search_space().paper == {"power": 2.0}


def test_a_family_can_be_pickled_for_a_worker(module: Module) -> None:
    module("travelling_family", OWN)
    found = family("travelling_family:MyLoudness")
    assert found.parameters == {"power"}
    there = pickle.loads(pickle.dumps(found))
    assert there == found
    assert there.parameters == {"power"}


@pytest.mark.parametrize(
    ("name", "snake"),
    [("MyOwnNet", "my_own_net"), ("AEGAN", "aegan"), ("KNNDetector", "knn_detector"), ("Net2D", "net2_d"), ("a", "a")],
)
def test_its_name_is_the_class_in_snake_case(name: str, snake: str) -> None:
    assert family(f"some.module:{name}").name == snake


def test_it_cannot_have_the_name_of_a_shipped_family() -> None:
    with pytest.raises(AsdRayError, match="would get the name twfr_gmm, which a shipped family has; rename the class"):
        family("mine:TwfrGmm")


@pytest.mark.parametrize("target", ["no_such_module_here:Mine", "own_family:NoSuchClass"])
def test_a_failed_import_is_reported_with_a_cure(module: Module, target: str) -> None:
    module("own_family", OWN)
    with pytest.raises(AsdRayError, match=f"family {target}: .*PYTHONPATH"):
        _ = family(target).detector


def test_a_class_that_lacks_part_of_the_contract_is_reported(module: Module) -> None:
    module("half_family", "class Half:\n    RESOURCES = None\n\n    def fit(self, train): ...\n")
    with pytest.raises(AsdRayError, match="half_family:Half lacks score, state, load of the contract"):
        _ = family("half_family:Half").detector


def test_a_users_space_replaces_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "narrow.py"
    path.write_text('PAPER = {"r": 0.5}\n\n\ndef space(trial):\n    return {}\n')
    assert family("twfr_gmm").search_space(path).paper == {"r": 0.5}
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == ["narrow.py"]  # no __pycache__ next to it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "space.py: no such file; give a Python file with PAPER and def space\\(trial\\)"),
        ("PAPER = {", "space.py: cannot be run \\(SyntaxError: .*space.py:1\\); fix that line"),
        ("PAPER = {'r': nothing}", "space.py: cannot be run \\(NameError: name 'nothing'"),
        ("def space(trial): ...", "space.py: a search space needs PAPER = {…}"),
        ("PAPER = {}", "space.py: a search space needs PAPER = {…} .* and def space\\(trial\\)"),
        ("PAPER = 1\ndef space(trial): ...", "a search space needs PAPER"),
    ],
)
def test_a_broken_space_is_reported_with_its_file(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "space.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AsdRayError, match=message):
        Family("twfr_gmm", FAMILIES["twfr_gmm"]).search_space(path)


def test_a_class_without_a_space_in_its_module_is_reported(module: Module) -> None:
    module("spaceless_family", "class Bare:\n    RESOURCES = None\n    fit = score = state = load = print\n")
    with pytest.raises(AsdRayError, match="spaceless_family:Bare: a search space needs PAPER"):
        family("spaceless_family:Bare").search_space()
