"""Run the notebooks in a real kernel and store their outputs: ``python notebooks/execute.py [NOTEBOOK …]``.

Each notebook runs in an empty folder with an empty cache, as a new user runs it. ``make notebooks`` runs all of them.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LIVE = "application/vnd.jupyter.widget-view+json"


PNG = "image/png"


def executed(path: Path, folder: Path) -> NotebookNode:
    """The notebook with the outputs of a run in `folder`. CellExecutionError for a cell that fails."""
    notebook = nbformat.read(path, as_version=4)
    with _environment(folder):
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where, coalesce_streams=True).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of each cell
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_passing(output)]
            for output in cell.outputs:
                if PNG in output.get("data", {}):
                    output.data[PNG] = _smaller(output.data[PNG])
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = NotebookNode(name="python")  # without the version of this Python
    return notebook


def _is_passing(output: NotebookNode) -> bool:
    """Whether it was seen only while the cell ran: a progress bar, and the empty line that it leaves."""
    data = output.get("data", {})
    return LIVE in data or ("text/html" in data and not data.get("text/plain", "").strip())


def _smaller(picture: str) -> str:
    """A picture with 64 colours, so that the repository stays small."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(picture))) as read:
        read.convert("RGB").quantize(64).save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """The kernel imports this checkout and leaves nothing outside `folder`."""
    before = dict(os.environ)
    above = os.pathsep.join(filter(None, [str(FOLDER.parent), before.get("PYTHONPATH")]))
    os.environ |= {
        "PYTHONPATH": above,
        "ASD_RAY_CACHE": str(folder / ".cache"),
        "IPYTHONDIR": str(folder / ".ipython"),
        "JUPYTER_DATA_DIR": str(Path(sys.prefix, "share", "jupyter")),
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or NOTEBOOKS:
        with tempfile.TemporaryDirectory() as empty:
            nbformat.write(executed(path, Path(empty)), path)
        print(path)
