"""Hooks of the documentation site: what lies beside docs/ in the repository becomes part of it.

Pages link to reports, data and the changelog by their place in the repository, so that the links work
there too. The site has docs/ as its root, hence one level less.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
BESIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/protocol.md",
    "mecopt/data/regimes.json",
    "instances/README.md",
)
PICTURES = (".md", ".svg", ".png")
UP = re.compile(r"(\]\((?:\.\./)*)\.\./(?=(?:reports|mecopt|instances|benchmarks|CHANGELOG|CONTRIBUTING)\b)")
DOWN = re.compile(r"(\]\((?:\.\./)*)docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie beside docs/."""
    reports = [p for p in sorted(ROOT.glob("reports/*/**/*")) if p.suffix in PICTURES]
    for path in [ROOT / name for name in BESIDE] + reports:
        where = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, where, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links into the repository into links into the site."""
    if Path(page.file.abs_src_path).is_relative_to(ROOT / "docs"):
        return UP.sub(r"\1", markdown)
    return DOWN.sub(r"\1", markdown)
