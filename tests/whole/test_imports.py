"""Imports run one way, and importing mecopt is cheap."""

import ast
import subprocess
import sys

import pytest
from places import ROOT

HEAVY = [
    "numpy",
    "pandas",
    "torch",
    "pydantic",
    "numba",
    "pyomo",
    "ortools",
    "highspy",
    "rich",
    "matplotlib",
    "ray",
]
# What each package must not import: mecopt <- mecopt_solvers <- mecopt_rl.
FORBIDDEN = {"mecopt": {"mecopt_solvers", "mecopt_rl"}, "solvers": {"mecopt_rl"}}
MODULES = [path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path):
    """Yield the top-level package of every import in a file, wherever in it, also by `import_module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "import_module",
            "__import__",
        ):
            yield from (str(arg.value).split(".")[0] for arg in node.args if isinstance(arg, ast.Constant))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    assert not FORBIDDEN[package] & set(imported(path))


def test_the_scan_sees_every_kind_of_import(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b\nfrom c.d import e\nfrom . import f\ndef g():\n import h\n import_module('i.j')\n"
    )
    assert set(imported(path)) == {"a", "c", "h", "i"}


def test_importing_mecopt_imports_nothing_heavy():
    code = f"import sys, mecopt; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_solving_a_small_instance_imports_neither_learning_nor_solvers():
    """The trellis needs numpy, and pydantic to read; numba only for many tasks."""
    code = f"""
import sys, mecopt
sys.path.insert(0, {str(ROOT / "tests" / "whole")!r})
import test_public_api as api
mecopt.solve(mecopt.from_dict(api.SMALL), "trellis").to_json()
print(*[name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"numpy", "pydantic"}
