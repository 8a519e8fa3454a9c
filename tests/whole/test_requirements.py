"""Every import is of a package that the extra which promises it declares: what another brings is luck."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"mecopt", "mecopt_solvers", "mecopt_rl"}

# The extras that a file may count on beyond the core; the longest place that fits counts.
PROMISES = {
    "mecopt/mecopt": set(),
    "mecopt/mecopt/drawing/plot.py": {"report"},
    "mecopt/mecopt/profiling": {"onnx"},
    "mecopt/mecopt/profiling/torch_runtime.py": {"rl"},
    "mecopt/mecopt/drawing/interactive.py": {"report"},
    "mecopt/mecopt/drawing/what_if.py": {"report"},
    "mecopt/mecopt/drawing/deployed.py": {"report"},
    "mecopt/mecopt/plotting.py": {"report"},
    "mecopt/mecopt/reporting": {"report"},
    "mecopt/mecopt/ray_cluster.py": {"ray"},
    "mecopt/mecopt/deployment": {"deploy"},
    "mecopt/mecopt/importing": {"onnx"},
    "mecopt/mecopt/importing/torch_module.py": {"onnx", "rl"},
    "mecopt/mecopt/importing/torch_program.py": {"onnx", "rl"},
    "solvers/mecopt_solvers": set(),
    "rl/mecopt_rl": {"rl"},
    "rl/mecopt_rl/reproduce/paper_figures.py": {"rl", "report"},
    "rl/mecopt_rl/training/ray_engine.py": {"rl", "ray"},
    "rl/mecopt_rl/training/study_journal.py": {"rl", "tune"},
    "rl/mecopt_rl/training/tuning.py": {"rl", "tune"},
    "rl/mecopt_rl/world/sb3_env.py": {"sb3"},
    "rl/mecopt_rl/world/sb3_network.py": {"sb3"},
    "tests": {"test"},
    "benchmarks": {"bench"},
    "docs": {"docs"},
    "docs/notebooks": {"docs", "rl", "report", "deploy"},
}
FOLDERS = ("mecopt", "solvers", "rl", "tests", "benchmarks", "docs")
IMPORTERS = {"import_module", "__import__"}
SKIPPERS = {"importorskip"}
# Hundreds of megabytes for one cross-check of counts that are shipped as data: whoever has it gets the check.
ASKED_OF_NOBODY = {"transformers"}


def code(path: Path) -> str:
    """Return the Python of a file; of a notebook, that of its cells without what only IPython reads."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    cells = [cell if isinstance(cell, str) else "".join(cell) for cell in cells]
    lines = "\n".join(cell for cell in cells if not cell.startswith("%%")).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def imported(text: str, called: set[str]) -> Iterator[str]:
    """Yield the top-level package of every import, wherever it is, also by functions of these names."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import) and called is IMPORTERS:
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and called is IMPORTERS:
            yield str(node.module).split(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in called:
            yield from (str(arg.value).split(".")[0] for arg in node.args if isinstance(arg, ast.Constant))


def third_party(path: Path, called: set[str]) -> set[str]:
    beside = {p.stem for folder in (path.parent, ROOT / "tests") for p in folder.glob("*.py")}
    beside |= {p.parent.name for p in (ROOT / "tests").glob("*/__init__.py")}
    return set(imported(code(path), called)) - OURS - beside - set(sys.stdlib_module_names)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def declared(extra: str | None) -> frozenset[str]:
    """Return the distributions that the core (None) or an extra declares, its own extras followed."""
    lines = PROJECT["dependencies" if extra is None else "optional-dependencies"]
    found: set[str] = set()
    for line in lines if extra is None else lines[extra]:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", line).groups()  # type: ignore[union-attr]
        if name == PROJECT["name"]:
            found |= {one for part in extras.split(",") for one in declared(part)}
        else:
            found.add(normal(name))
    return frozenset(found)


def promised(path: Path) -> frozenset[str]:
    place = path.relative_to(ROOT).as_posix()
    longest = max((p for p in PROMISES if place == p or place.startswith(f"{p}/")), key=len)
    return declared(None).union(*(declared(extra) for extra in PROMISES[longest]))


@cache
def distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def undeclared(names: set[str], known: frozenset[str]) -> set[str]:
    """Return the imports that no declared distribution provides; one not installed is its own."""
    return {name for name in names if not known & {normal(d) for d in distributions().get(name, [name])}}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_import_is_declared(folder: str) -> None:
    files = [path for kind in ("*.py", "*.ipynb") for path in sorted((ROOT / folder).rglob(kind))]
    assert files
    missing = {path: undeclared(third_party(path, IMPORTERS), promised(path)) for path in files}
    assert {str(path): names for path, names in missing.items() if names} == {}


def test_what_tests_skip_when_it_is_missing_is_in_some_extra() -> None:
    files = sorted((ROOT / "tests").rglob("*.py"))
    skipped = set().union(*(third_party(path, SKIPPERS) for path in files)) - ASKED_OF_NOBODY
    assert undeclared(skipped, declared("dev")) == set()


def test_the_scan_sees_every_kind_of_import() -> None:
    text = "import a.b, c\nfrom d.e import f\nfrom . import g\ndef h():\n import i\n x.import_module('j.k')\n"
    assert set(imported(text, IMPORTERS)) == {"a", "c", "d", "i", "j"}
    assert set(imported("pytest.importorskip('l.m')", SKIPPERS)) == {"l"}
    assert undeclared({"PIL", "no_such"}, declared("report")) == {"no_such"}


def test_every_version_that_is_promised_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    assert declared(None) | declared("dev") <= pinned
