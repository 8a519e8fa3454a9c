"""The documentation builds without a warning, its links hold, and the reference has every public name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mecopt

ROOT = Path(__file__).parent.parent
pytest.importorskip("mkdocs", reason="the docs extra is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


def test_the_reference_has_every_public_name(site: Path) -> None:
    reference = (site / "reference" / "index.html").read_text()
    names = [name for name in mecopt.__all__ if name != "__version__"]
    assert [name for name in names if f'id="mecopt.{name}"' not in reference] == []


def test_every_method_has_a_page(site: Path) -> None:
    assert [m.name for m in mecopt.methods() if not (site / "methods" / m.name / "index.html").exists()] == []


def test_the_site_asks_nothing_of_the_network(site: Path) -> None:
    pages = [page.read_text() for page in site.rglob("*.html")]
    assert pages
    assert not any(f'{kind}="http' in page for page in pages for kind in ("src", 'rel="stylesheet" href'))
