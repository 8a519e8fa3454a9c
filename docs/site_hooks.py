"""Hooks of the documentation site: what lies beside docs/, the notebooks and the formulas become part of it.

Pages link to reports, data, notebooks and the changelog by their place in the repository, so that the links
work there too. The site has docs/ as its root, hence one level less. Formulas become MathML, which browsers
draw by themselves: no script, no font and no request.
"""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parent.parent
BESIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/protocol.md",
    "mecopt/mecopt/data/regimes.json",
    "instances/README.md",
)
PICTURES = (".md", ".svg", ".png")
UP = re.compile(r"(\]\((?:\.\./)*)\.\./(?=(?:reports|mecopt|instances|benchmarks|CHANGELOG|CONTRIBUTING)\b)")
DOWN = re.compile(r"(\]\((?:\.\./)*)docs/")
NOTEBOOK = re.compile(r"(\]\([^)\s]*)\.ipynb\)")
FRAME = re.compile(r"<style scoped>.*?</style>|(?<=<table) border=\"1\" class=\"dataframe\"", re.DOTALL)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
ORIGIN = "*This page is a notebook that the tests run: `docs/notebooks/{name}.ipynb` in the repository.*"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie beside docs/."""
    reports = [p for p in sorted(ROOT.glob("reports/*/**/*")) if p.suffix in PICTURES]
    for path in [ROOT / name for name in BESIDE] + reports:
        where = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, where, abs_src_path=str(path)))
    for path in sorted(ROOT.glob("docs/notebooks/*.ipynb")):
        page, pictures = _notebook(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page))
        for name, data in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=data))
    return files


@cache
def _notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures."""
    page, resources = MarkdownExporter().from_filename(path, resources={"unique_key": path.stem})
    return f"{FRAME.sub('', page)}\n\n---\n\n{ORIGIN.format(name=path.stem)}\n", resources["outputs"]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links into the repository into links into the site."""
    markdown = NOTEBOOK.sub(r"\1.md)", markdown)
    source = page.file.abs_src_path
    if source is None or Path(source).is_relative_to(ROOT / "docs"):
        return UP.sub(r"\1", markdown)
    return DOWN.sub(r"\1", markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Turn formulas into MathML."""
    from latex2mathml.converter import convert

    def mathml(found: re.Match[str]) -> str:
        display = "inline" if found[1] == "span" else "block"
        return convert(html.unescape(found[2]).strip(), display=display)

    return FORMULA.sub(mathml, content)
