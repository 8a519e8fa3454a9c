"""What every benchmark does first: figures are of a commit, or say that they are not."""

import ast
import runpy
import subprocess
import sys

import pytest
from places import ROOT

FOLDER = ROOT / "benchmarks"
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]


@pytest.fixture
def tree(tmp_path):
    """A repository with a benchmark that prints its commit."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "benchmarks" / "common.py").write_bytes((FOLDER / "common.py").read_bytes())
    script = (
        'import sys\nfrom common import clean_tree, machine\n\nif __name__ == "__main__":\n    clean_tree()\n'
    )
    (tmp_path / "benchmarks" / "one.py").write_text(script + "    print(machine()[0], sys.argv[1:])\n")
    (tmp_path / "reports" / "page.md").write_text("old")
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*GIT, *command], cwd=tmp_path, check=True)
    return tmp_path


def measure(tree, *words):
    command = [sys.executable, "benchmarks/one.py", *words]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)


def test_a_clean_tree_is_measured_also_while_a_report_is_written(tree):
    (tree / "reports" / "page.md").write_text("new")
    done = measure(tree, "--quick")
    assert done.returncode == 0, done.stderr
    assert "dirty" not in done.stdout
    assert done.stdout.endswith("['--quick']\n")


@pytest.mark.parametrize("name", ["benchmarks/one.py", "new.py"])
def test_a_dirty_tree_is_refused_unless_told(tree, name):
    with (tree / name).open("a") as file:
        file.write("\n# changed\n")
    done = measure(tree)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} and 0 more differ from the commit")
    told = measure(tree, "--dirty", "--quick")
    assert told.returncode == 0
    assert "-dirty (with changes that are in no commit)" in told.stdout
    assert told.stdout.endswith("['--quick']\n")


def test_every_benchmark_looks_first():
    others = {"against_work.py"}  # what a benchmark that has looked starts
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.parse(path.read_text()).body if path.name not in others else ():
            if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
                calls = [line for line in node.body if not isinstance(line, ast.ImportFrom)]
                assert ast.unparse(calls[0]) == "clean_tree()", path.name


def test_shapes_of_auto_can_be_drawn(monkeypatch):
    """One of each set of couplings: a coupling that came later must not spoil them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    shapes = runpy.run_path(str(FOLDER / "auto_shapes.py"))
    for i, couplings in enumerate(shapes["SETS"]):
        assert shapes["shape"]("reported", i).instance.rules.couplings == couplings
