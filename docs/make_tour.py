"""Make docs/tour.ipynb from docs/tour.py and run it, so that it reads without running: python docs/make_tour.py."""

from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parent


def made() -> nbformat.NotebookNode:
    """The notebook of ``tour.py``, without outputs; cells are numbered, so the same text gives the same file."""
    notebook = jupytext.read(DOCS / "tour.py")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    return notebook


def main() -> None:
    """Run every cell, then write the notebook with its outputs."""
    notebook = made()
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(DOCS)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
    nbformat.write(notebook, DOCS / "tour.ipynb")


if __name__ == "__main__":
    main()
