"""The official evaluators' own numbers, from the golden data beside the repository (skipped where it is absent)."""

import json
from pathlib import Path

import pytest

from asd_ray.metrics import match, official_score, read_submission, read_truth

GOLDEN = Path(__file__).parents[2] / "../shared/golden"
SYSTEMS = {
    2020: [f"Haunschmid_CPJKU_task2_{number}" for number in (1, 2, 3, 4)],
    2023: ["synthetic_A", "synthetic_B"],
}
CASES = [(year, system) for year, systems in SYSTEMS.items() for system in systems]


def leaves(tree, path=()):
    """Every leaf of nested dictionaries by its path."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {key: leaf for name, branch in tree.items() for key, leaf in leaves(branch, (*path, name)).items()}


def scored(year: int, system: str, bug_compatible: bool):
    folder = GOLDEN / f"dcase{year}"
    if not folder.is_dir():
        pytest.skip("the golden data is not beside the repository")
    expected = json.loads((folder / "expected.json").read_text())["systems"][system]
    table = match(read_truth(folder / "ground_truth", year), read_submission(folder / "submissions" / system, year))
    ours = official_score(table, year, bug_compatible=bug_compatible).entry("here")
    drop = {("source",), ("kind",)}  # where the files came from, which only the golden file's makers know
    assert {path[0] for path in leaves(ours)} == {path[0] for path in leaves(expected)}
    return [{path: leaf for path, leaf in leaves(tree).items() if path not in drop} for tree in (ours, expected)]


@pytest.mark.parametrize(("year", "system"), CASES)
def test_bug_compatible_entry_is_the_evaluators(year, system):
    ours, expected = scored(year, system, bug_compatible=True)
    assert list(ours) == list(expected)  # the same keys in the same order
    for path, value in expected.items():
        assert type(ours[path]) is type(value), path
        assert ours[path] == (pytest.approx(value, rel=0, abs=1e-9) if isinstance(value, float) else value), path


@pytest.mark.parametrize(("year", "system"), CASES)
def test_default_entry_differs_only_in_the_values_of_known_defects(year, system):
    ours, expected = scored(year, system, bug_compatible=False)
    for path, value in expected.items():
        if path[-1] == "value":
            value = expected[(*path[:-1], "corrected")]
        if path[-1] == "value_affected":
            value = False
        assert ours[path] == (pytest.approx(value, rel=0, abs=1e-9) if isinstance(value, float) else value), path


def test_every_golden_system_is_checked():
    if not GOLDEN.is_dir():
        pytest.skip("the golden data is not beside the repository")
    files = {int(folder.name.removeprefix("dcase")): folder / "expected.json" for folder in GOLDEN.glob("dcase*")}
    assert {year: list(json.loads(path.read_text())["systems"]) for year, path in files.items()} == SYSTEMS
