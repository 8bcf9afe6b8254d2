"""The notebooks run in a real kernel, in an empty folder, and their stored outputs are those of such a run."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NAMES = ["dcase_machine", "from_search_to_alarm", "ledger_tables", "normal_sound", "own_detector"]
KILOBYTES = 150  # of a notebook with its outputs
PRINTED = {  # in the outputs of a fresh run
    "dcase_machine": ("official score of DCASE 2022", "anomaly_score_fan_section_00_test.csv", "report.html"),
    "from_search_to_alarm": ("'event': 'alarm'", "'event': 'alarm_ended'", "MODEL_CARD.md", "image/png"),
    "ledger_tables": ("mean_rank", "fan-twfr_gmm-0000", "shape: (5, 2)"),
    "normal_sound": ("faults", "label_free", "anomaly"),
    "own_detector": ("fan-nearest_normal-0000", "planted anomalies", "better than the best single detector"),
}
# Folders of a computer, which tell a reader nothing. /tmp is in the names of cells in messages, too.
OF_A_COMPUTER = re.compile(r"/(?:home|root|Users|tmp|work|opt|var)/|[A-Z]:\\\\")


@pytest.fixture(scope="module")
def execute() -> ModuleType:
    """The script that stores the outputs."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", ROOT / "notebooks" / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stored(name: str) -> Any:
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def kinds(notebook: Any) -> list[set[tuple[str, ...]]]:
    """For each cell the kinds of its outputs: what is the same on every computer, however fast it is."""
    return [
        {(each.output_type, *sorted(each.get("data", {}))) for each in cell.outputs}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_gives_outputs_like_those_stored(name: str, execute: ModuleType, tmp_path: Path) -> None:
    fresh = execute.executed(ROOT / "notebooks" / f"{name}.ipynb", tmp_path)
    outputs = json.dumps([cell.outputs for cell in fresh.cells if cell.cell_type == "code"])
    assert [text for text in PRINTED[name] if text not in outputs] == []
    assert kinds(fresh) == kinds(stored(name)), "store its outputs again: make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_stored_outputs_are_whole_small_and_of_no_computer(name: str) -> None:
    path, notebook = ROOT / "notebooks" / f"{name}.ipynb", stored(name)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run it from start to end"
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    text = json.dumps([{key: value for key, value in each.items() if key != "image/png"} for each in outputs])
    assert OF_A_COMPUTER.findall(text) == []
    assert path.stat().st_size < 1000 * KILOBYTES


def test_every_notebook_is_here_and_is_linked() -> None:
    assert [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))] == NAMES
    page = (ROOT / "docs" / "library.md").read_text()
    assert all(f"(../notebooks/{name}.ipynb)" in page for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_links_of_a_notebook_lead_to_files(name: str) -> None:
    text = "\n".join(cell.source for cell in stored(name).cells if cell.cell_type == "markdown")
    for link in re.findall(r"\]\(([^)\s#]+)\)", text):
        assert (ROOT / "notebooks" / link).exists(), link
