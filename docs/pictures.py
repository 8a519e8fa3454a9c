"""Make the pictures of the README and the site again: ``python docs/pictures.py``."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
COMMAND = ("solve", "instances/alexnet_6es.json")
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


def main() -> None:
    """Write docs/assets/solve.svg."""
    (ROOT / "docs" / "assets" / "solve.svg").write_text(terminal(*COMMAND), encoding="utf-8")


if __name__ == "__main__":
    main()
