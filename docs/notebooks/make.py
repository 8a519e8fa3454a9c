"""Run the notebooks again and keep their outputs: ``python docs/notebooks/make.py [NAME ...]``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def run(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a fresh kernel, which is this Python."""
    notebook = nbformat.read(path, as_version=4)
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    here = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=600, resources=here, coalesce_streams=True)
    client.execute(env={**os.environ, "PATH": programs})  # `mecopt` is this environment's
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
    return notebook


def main(names: list[str]) -> None:
    """Run all notebooks, or those named."""
    for path in sorted(HERE.glob("*.ipynb")):
        if not names or path.stem in names:
            nbformat.write(run(path), path)
            print(f"ran {path.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
