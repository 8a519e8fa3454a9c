"""The notebooks run from a fresh kernel, and what is kept of them is what they show."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from places import ROOT

nbformat = pytest.importorskip("nbformat", reason="the docs extra is not installed")
for needed in ("nbclient", "ipykernel", "torch", "matplotlib", "altair", "onnxruntime", "grpc"):
    pytest.importorskip(needed, reason=f"{needed} is not installed")

FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PLACES = re.compile(r"/(?:home|root|tmp|work|Users|usr|var|opt)/|\bFile \"")


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks_make", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shape(notebook: dict) -> list[list[tuple[str, ...]]]:
    """Return, for every code cell, the kinds of its outputs."""
    return [
        [(o["output_type"], *sorted(o.get("data", {}))) for o in cell["outputs"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"first-plan", "own-policy", "train-and-compare"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
def test_a_notebook_runs_from_fresh(path: Path, make: ModuleType) -> None:
    kept = nbformat.read(path, as_version=4)
    fresh = make.run(path)  # raises where a cell fails
    assert shape(fresh) == shape(kept), f"run {sys.executable} docs/notebooks/make.py {path.stem}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_names_no_machine(path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    outputs = [o for cell in kept.cells if cell.cell_type == "code" for o in cell.outputs]
    assert outputs
    assert {o.output_type for o in outputs} <= {"stream", "display_data", "execute_result"}
    texts = [o.get("text", "") + str(o.get("data", {}).get("text/plain", "")) for o in outputs]
    assert [text for text in texts if PLACES.search(text)] == []
    assert [o.text for o in outputs if o.get("name") == "stderr"] == []
    assert set(kept.metadata) == {"kernelspec", "language_info"}
