"""The tour: notebook and script are one text, its outputs are there, and it runs."""

import importlib.util

import pytest
from helpers import ROOT

pytest.importorskip("jupytext", reason="needs the extra tour")
nbformat = pytest.importorskip("nbformat", reason="needs the extra tour")


def tour_maker():
    spec = importlib.util.spec_from_file_location("make_tour", ROOT / "docs" / "make_tour.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)


def test_notebook_and_script_are_one_text(stored):
    made = tour_maker().made()
    assert [(cell.cell_type, cell.source) for cell in stored.cells] == [(c.cell_type, c.source) for c in made.cells]


def test_outputs_are_stored_without_errors(stored):
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    if not any(cell.execution_count for cell in code):
        pytest.skip("docs/tour.ipynb has no outputs yet; python docs/make_tour.py writes them")
    assert all(cell.execution_count for cell in code)
    kinds = [output.output_type for cell in code for output in cell.outputs]
    assert "error" not in kinds
    pictures = sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)
    assert pictures >= 10
    assert not any(output.get("name") == "stderr" for cell in code for output in cell.outputs)
    assert (ROOT / "docs" / "tour.ipynb").stat().st_size < 2_000_000


@pytest.mark.slow
def test_the_tour_runs():
    from nbclient import NotebookClient

    notebook = tour_maker().made()
    place = {"metadata": {"path": str(ROOT / "docs")}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    table = next(
        output.text for cell in notebook.cells for output in cell.get("outputs", []) if "TPR" in output.get("text", "")
    )
    assert "mnad wells" in table
