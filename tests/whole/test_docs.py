"""The documentation builds without a warning, its links hold, and the reference has every public name."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import jsonschema
import pytest
from places import ROOT

import mecopt
from mecopt.json_schemas import json_schema

for needed in ("mkdocs", "nbconvert", "latex2mathml", "mkdocs_click"):
    pytest.importorskip(needed, reason="the docs extra is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = subprocess.run(
        # Not --quiet, under which mkdocs drops warnings before --strict can count them.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
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
    assert "@font-face" not in (site / "assets" / "solve.svg").read_text()


def test_formulas_and_commands_are_made_at_build_time(site: Path) -> None:
    model = (site / "model" / "index.html").read_text()
    assert model.count("<math") > 20
    assert 'class="arithmatex"' not in model
    commands = (site / "commands" / "index.html").read_text()
    sections = {
        part.partition('"')[0]: part for part in commands.split('id="mecopt-')[1:]
    }  # from one heading to the next
    missing = []
    for entry in entry_points(group="mecopt.commands"):
        options = [o for p in entry.load().params if isinstance(p, click.Option) for o in p.opts]
        missing += [f"{entry.name} {o}" for o in options if o not in sections.get(entry.name, "")]
    assert missing == []
    assert "Sentinel" not in commands


def test_notebooks_are_pages_with_their_outputs(site: Path) -> None:
    for notebook in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        page = (site / "notebooks" / notebook.stem / "index.html").read_text()
        assert "image/png" not in page
        assert any((site / "notebooks").glob(f"{notebook.stem}_*.png"))
        assert 'class="dataframe"' not in page


def test_the_schemas_are_those_of_the_program() -> None:
    for name in ("instance", "solution", "model", "profile"):
        assert json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_text()) == json_schema(name)


def test_the_examples_of_the_formats_hold() -> None:
    instance_text, wider_text, solution_text = blocks("docs/formats.md", "json")
    instance, solution = mecopt.from_dict(json.loads(instance_text)), json.loads(solution_text)
    jsonschema.validate(json.loads(instance_text), json_schema("instance"))
    jsonschema.validate(json.loads(wider_text), json_schema("instance"))
    jsonschema.validate(solution, json_schema("solution"))
    fresh = mecopt.solve(instance).to_dict()
    assert set(fresh) == set(solution)
    changing = {"runtime_s", "trace", "mecopt_version", "options"}
    assert {k: fresh[k] for k in fresh.keys() - changing} == {k: solution[k] for k in fresh.keys() - changing}


@pytest.mark.parametrize("page", ["README.md", "docs/start.md"])
def test_the_python_of_a_page_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = blocks(page, "python")
    names: dict[str, Any] = {}
    exec(code, names)
    table = names["table"]
    assert set(table.status) <= {"optimal", "feasible", "violating"}
    assert table[table.method == "trellis"].gap_to_best_bound.max() == 0
    assert names["result"].status == "optimal"


def test_the_files_and_commands_of_the_start_are_there() -> None:
    commands = {entry.name for entry in entry_points(group="mecopt.commands")}
    for page in ("README.md", "docs/start.md"):
        for line in "\n".join(blocks(page, "sh")).splitlines():
            for part in line.split("#")[0].split(" && "):
                words = part.split()
                if words and words[0].endswith("/mecopt"):
                    assert words[1] in commands, line
                    assert [w for w in words if w.startswith("instances/") and not (ROOT / w).exists()] == []


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_a_run_is_the_notebooks(pictures: ModuleType) -> None:
    kept = (ROOT / "docs" / "assets" / "run.svg").read_text()
    assert kept == pictures.drawn()
    assert "predicted" in kept


def test_the_picture_shows_what_the_command_prints(pictures: ModuleType) -> None:
    def texts(svg: str) -> list[str]:
        found = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
        return [text for text in found if not re.match(r"(&#160;)*Time", text)]

    kept = (ROOT / "docs" / "assets" / "solve.svg").read_text()
    assert texts(kept) == texts(pictures.terminal(*pictures.COMMAND))


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def test_the_places_that_pages_name_exist() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    name = re.compile(
        r"(?<![\w/<])((?:mecopt|solvers|rl|benchmarks|reports|instances|tests|docs)/[\w/.-]*[\w/])"
    )
    missing = [
        f"{page.relative_to(ROOT)}: {place}"
        for page in pages
        for place in name.findall(page.read_text())
        if not any(ROOT.glob(f"{place}*")) and not place.endswith("-v0")  # an environment's name
    ]
    assert missing == []
