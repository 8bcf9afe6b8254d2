"""The house rules of the design: which floor may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "asd_ray"
# floor -> floors of ours that it may stand on (modules beside the package's folders belong to every floor)
FLOORS = {
    "storage": set(),
    "metrics": {"storage"},
    "ledger": {"storage", "metrics"},  # metrics: the official file shapes, for imports
    "clips": {"storage", "metrics"},  # metrics: the same, for evaluation labels
    "features": {"storage", "clips"},
    "families": {"ledger"},
    "detectors": {"clips", "features", "families"},
    "conformance": {"clips", "features", "families", "detectors"},
    "tuning": {"storage", "clips", "features", "families", "detectors", "metrics", "ledger"},
    "ensembling": {"storage", "metrics", "ledger"},
    "deploy": {"storage", "clips", "features", "families", "detectors", "metrics", "ledger", "ensembling"},
    "papers": {"metrics", "ledger", "families"},
    "experiments": {"clips", "families", "metrics", "ledger", "tuning", "ensembling", "papers"},
    "figures": {"storage", "clips", "features", "families", "detectors", "ledger", "deploy", "papers"},
    "reporting": {"storage", "families", "ensembling", "metrics", "ledger", "papers", "experiments"},
}
TOP = {"cli"}  # stands on all of them
ENTRIES = {"__main__.py", "detectors/conformance.py"}  # of ``python -m``: they call cli/
NEVER = {  # floor -> packages that it must not import, not even inside a function
    "metrics": {"torch", "torchaudio", "ray", "optuna", "soundfile"},
    "ledger": {"torch", "torchaudio", "ray", "optuna", "soundfile"},
    "clips": {"torch", "ray", "optuna", "torchaudio"},
    "features": {"ray", "optuna", "torchaudio"},
    "families": {"torch", "torchaudio", "ray", "soundfile"},
    "storage": {"torch", "torchaudio", "ray", "optuna", "soundfile"},
    "conformance": {"ray", "torchaudio"},
    "detectors": {"ray", "optuna", "torchaudio"},
    "tuning": {"torchaudio"},
    "ensembling": {"torch", "torchaudio", "ray", "soundfile"},
    "deploy": {"ray", "optuna", "torchaudio"},
    "papers": {"torch", "torchaudio", "ray", "optuna", "soundfile"},
    "experiments": {"torch", "torchaudio", "ray", "optuna", "soundfile"},
    "figures": {"ray", "optuna", "torchaudio"},
    "reporting": {"torch", "torchaudio", "ray", "soundfile"},
}
ALLOWED = {"deploy/serve": {"ray"}}  # folder -> packages that it may import although its floor must not


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms(names: set[str]) -> set[str]:
    """The folders of ours that these imports lead to."""
    return {name.split(".")[1] for name in names if name.startswith("asd_ray.")} & {*FLOORS, *TOP}


def is_entry(path: Path) -> bool:
    return path.name in ENTRIES or path.relative_to(PACKAGE).as_posix() in ENTRIES


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_stands_only_on_those_below(floor: str) -> None:
    files = [path for path in sorted((PACKAGE / floor).rglob("*.py")) if not is_entry(path)]
    assert len(files) > 3
    for path in files:
        names = imported(path)
        allowed = ALLOWED.get(path.parent.relative_to(PACKAGE).as_posix(), set())
        assert not {name.split(".")[0] for name in names} & NEVER[floor] - allowed, path
        assert rooms(names) <= FLOORS[floor] | {floor}, path


def test_what_is_allowed_to_a_folder_is_needed_there() -> None:
    for folder, packages in ALLOWED.items():
        names = {name.split(".")[0] for path in (PACKAGE / folder).glob("*.py") for name in imported(path)}
        assert packages <= names


def test_dataset_and_run_stand_on_all_floors() -> None:
    """Only the command line and the package itself import them."""
    top = {"asd_ray.dataset", "asd_ray.run"}
    users = {path for path in PACKAGE.rglob("*.py") if imported(path) & top}
    own = {PACKAGE / "__init__.py", PACKAGE / "run.py"}
    assert users
    assert {path for path in users - own if path.parent.name != "cli" and "cli" not in path.parts} == set()


def test_argparse_is_for_the_command_line_alone() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if "argparse" in imported(path)]
    above = [path for path in files if path.parent == PACKAGE or PACKAGE / "cli" in path.parents]
    assert sorted(files) == sorted(above)
    assert len(files) > 3


def imports_of(path: Path, modules: dict[str, Path]) -> set[Path]:
    """The files that a file imports. ``from asd_ray.tuning import plan`` imports plan.py, not the package's names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in modules else node.module)
    return {modules[name] for name in names if name in modules} - {path}


def test_no_two_files_import_each_other() -> None:
    """Directly or through others, imports inside functions and for type checkers too."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(("asd_ray", *path.relative_to(PACKAGE).with_suffix("").parts))
        modules[name.removesuffix(".__init__")] = path
    graph = {path: imports_of(path, modules) for path in modules.values()}
    circles = [group for group in _groups(graph) if len(group) > 1]
    assert [sorted(str(path.relative_to(PACKAGE)) for path in group) for group in circles] == []


def _groups(graph: dict[Path, set[Path]]) -> list[list[Path]]:
    """Files that reach each other (Tarjan's strongly connected components)."""
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    found: list[list[Path]] = []

    def visit(path: Path) -> None:
        index[path] = low[path] = len(index)
        stack.append(path)
        for other in graph[path]:
            if other not in index:
                visit(other)
                low[path] = min(low[path], low[other])
            elif other in stack:
                low[path] = min(low[path], index[other])
        if low[path] == index[path]:
            at = stack.index(path)
            found.append(stack[at:])
            del stack[at:]

    for path in graph:
        if path not in index:
            visit(path)
    return found


def test_every_floor_that_exists_has_its_rules() -> None:
    assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} == {*FLOORS, *TOP}


def test_optuna_is_imported_above_tuning_by_those_who_are_named_for_it() -> None:
    """Weights by Optuna, its importances and its database are asked for; each is imported when it is used."""
    floors = ("ensembling", "reporting")
    paths = [path for floor in floors for path in sorted((PACKAGE / floor).rglob("*.py"))]
    users = [path.name for path in paths if any(name.split(".")[0] == "optuna" for name in imported(path))]
    assert users == ["optuna_weights.py", "importances.py", "optuna_db.py", "optuna_trials.py"]


def test_torchaudio_is_imported_in_one_place() -> None:
    users = [p.name for p in PACKAGE.rglob("*.py") if any(n.split(".")[0] == "torchaudio" for n in imported(p))]
    assert users == []  # _torchaudio.py imports it by name, after it has made that possible


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("asd_ray.evaluate", "torch ray optuna pandas"), ("asd_ray.ledger.__main__", "torch ray optuna")]
    + [("asd_ray.ensemble", "torch ray optuna pandas numpy"), ("asd_ray.ensembling", "torch ray optuna")]
    + [("asd_ray.report", "torch ray optuna pandas numpy"), ("asd_ray.reporting", "torch ray optuna")]
    + [("asd_ray.reporting.optuna_db", "torch ray optuna"), ("asd_ray.reporting.importances", "torch ray optuna")]
    + [
        ("asd_ray.data", "torch ray optuna pandas"),
        ("asd_ray.search", "torch ray optuna pandas"),
        ("asd_ray.metrics", "torch ray optuna"),
        ("asd_ray.serve", "torch ray optuna pandas numpy"),
    ]
    + [
        ("asd_ray.tuning.watch.status", "torch ray optuna pandas"),
        ("asd_ray.tuning.watch.status_file", "torch ray optuna pandas"),
    ]
    + [("asd_ray.tuning.on_ray.worker", "scipy sklearn")]
    + [("asd_ray.paper", "torch ray optuna pandas numpy"), ("asd_ray.papers.liu2022", "torch ray optuna pandas numpy")]
    + [("asd_ray.clips.scan", "torch ray optuna"), ("asd_ray.__main__", "torch ray optuna pandas numpy")],
)
def test_what_must_start_quickly_loads_nothing_heavy(module: str, heavy: str) -> None:
    code = f"import sys, {module}; print(*(set('{heavy}'.split()) & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ""
