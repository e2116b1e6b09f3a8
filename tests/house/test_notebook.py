"""examples/quickstart.ipynb runs from its first cell to its last, and lies in the repository without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.places import ROOT

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[dev]'")
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_has_no_outputs() -> None:
    notebook = read()
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.slow
def test_it_shows_spectrograms_and_players(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install -e '.[dev]'")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install -e '.[notebook]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the notebook makes its folder
    notebook = read()
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pages = [output.data for output in shown if output.output_type == "display_data"]
    assert sum("image/png" in data for data in pages) == 2
    assert sum("<audio" in data.get("text/html", "") for data in pages) == 5
    text = "".join(output.text for output in shown if output.output_type == "stream" and output.name == "stdout")
    assert "24 segments" in text
    assert "5 epochs" in text
