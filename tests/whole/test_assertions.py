"""Every test can fail: it asserts, expects an error, or calls a helper of the tests that does."""

import ast

import pytest
from places import ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))
EXPECTS = {"raises", "warns", "fail", "check_env"}


def functions(tree):
    """Yield every function of a file; what is nested in one counts as a part of it too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def asserts(function, helpers):
    """Say whether a function asserts: itself, by pytest, numpy or a helper called by its bare name."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.split(".")[-1]
            # A process whose failure is raised is one that asserts in its script.
            script = any(ast.unparse(word) == "check=True" for word in node.keywords)
            if name in helpers or last in EXPECTS or last.startswith("assert_") or script:
                return True
    return False


def asserting(trees, known=frozenset()):
    """Return the names of the helpers that assert, also through one another."""
    helpers = [node for tree in trees for node in functions(tree) if not node.name.startswith("test_")]
    found = set(known)
    while more := {node.name for node in helpers if node.name not in found and asserts(node, found)}:
        found |= more
    return found


def without(tree, shared):
    """Return the names of a file's tests that assert nothing."""
    own = asserting([tree], shared)
    return [node.name for node in functions(tree) if node.name.startswith("test_") and not asserts(node, own)]


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
SHARED = asserting(tree for path, tree in TREES.items() if not path.name.startswith("test_"))


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name.startswith("test_")], ids=lambda p: p.name
)
def test_every_test_asserts(path):
    assert without(TREES[path], SHARED) == []


def test_the_scan_knows_what_asserts():
    tree = ast.parse(
        "def helper(): assert f()\n"
        "def through(): helper()\n"
        "def mute(): f()\n"
        "def test_a(): assert f()\n"
        "def test_b(): through()\n"
        "def test_c():\n with pytest.raises(E): f()\n"
        "def test_d(): np.testing.assert_allclose(f(), 1)\n"
        "def test_e(): f()\n"
        "def test_f(): mute(); f.helper()\n"
        "def test_h(): run(f, check=True)\n"
        "class Tests:\n def test_g(self): f()\n"
    )
    assert without(tree, set()) == ["test_e", "test_f", "test_g"]
