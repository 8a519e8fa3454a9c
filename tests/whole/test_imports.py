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


def modules(root):
    """Return the files of all modules of the three packages by their dotted names, a package's own apart."""
    found = {}
    for house in ("mecopt", "solvers", "rl"):
        for path in sorted((root / house).glob("mecopt*/**/*.py")):
            if path.name != "__init__.py":  # these offer what lies below them
                found[".".join(path.relative_to(root / house).with_suffix("").parts)] = path
    return found


def only_for_types(tree):
    """Return the nodes of a file that never run: what stands under `if TYPE_CHECKING`."""
    branches = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    return {id(node) for branch in branches for part in branch.body for node in ast.walk(part)}


def neighbours(name, path, known):
    """Return which of the known modules a file imports, inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped, found = only_for_types(tree), set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return (found & known.keys()) - {name}


def circles(root):
    """Return the circles among modules: sets of modules each of which is reached from each."""
    known = modules(root)
    graph = {name: neighbours(name, path, known) for name, path in known.items()}

    def reached(start):
        seen, ahead = set(), [start]
        while ahead:
            fresh = graph[ahead.pop()] - seen
            seen |= fresh
            ahead += fresh
        return seen

    reach = {name: reached(name) for name in graph}
    return {frozenset(b for b in reach[a] if a in reach[b]) for a in graph if a in reach[a]}


def test_no_modules_import_each_other_in_a_circle():
    assert {"mecopt.judge", "mecopt_solvers.auto", "mecopt_rl.learners.dqn"} <= modules(ROOT).keys()
    assert [sorted(circle) for circle in circles(ROOT)] == []


def test_a_circle_is_found_also_inside_functions(tmp_path):
    room = tmp_path / "rl" / "mecopt_rl"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("from mecopt_rl import a\n")
    (room / "a.py").write_text("from mecopt_rl.b import x\nif TYPE_CHECKING:\n    import mecopt_rl.d\n")
    (room / "b.py").write_text("def x():\n    from mecopt_rl import c\n")
    (room / "c.py").write_text("import mecopt_rl.a\n")
    (room / "d.py").write_text("import mecopt_rl.a\n")
    assert circles(tmp_path) == {frozenset({"mecopt_rl.a", "mecopt_rl.b", "mecopt_rl.c"})}
