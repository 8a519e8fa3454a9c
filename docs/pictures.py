"""Make the pictures of the README and the site again: ``python docs/pictures.py``.

That of a measured run is the one that its notebook drew last; ``python docs/notebooks/make.py measured-run``
measures again.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
COMMAND = ("solve", "instances/alexnet_6es.json")
NOTEBOOK = "docs/notebooks/measured-run.ipynb"
COLUMNS = 80
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # would ask a server for the font


def terminal(*command: str) -> str:
    """Return what a command shows on a terminal with colours, as SVG that asks nothing of the network."""
    colours = {
        "FORCE_COLOR": "1",
        "COLORTERM": "truecolor",
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mecopt", *command],
        cwd=ROOT,
        env={**os.environ, **colours},
        capture_output=True,
        text=True,
        check=True,
    )
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
    console.print(Text.from_ansi(done.stdout))
    title = " ".join(("mecopt", *command))
    return FONT_FACE.sub("", console.export_svg(title=title, unique_id="terminal"))


def drawn() -> str:
    """Return the SVG among the outputs of the notebook of a measured run."""
    cells = json.loads((ROOT / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    return "".join(next(data["image/svg+xml"] for data in outputs if "image/svg+xml" in data))


def main() -> None:
    """Write docs/assets/solve.svg and run.svg."""
    for name, text in (("solve", terminal(*COMMAND)), ("run", drawn())):
        (ROOT / "docs" / "assets" / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
