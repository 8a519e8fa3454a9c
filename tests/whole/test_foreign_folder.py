"""A user's own folders and files beside his script take the place of nothing of ours."""

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

RAISE = "raise ImportError('the file of a user was imported in the place of another')\n"
SMALL = ROOT / "instances" / "tiny_paper.json"
SCRIPTS = {
    "solve": "import mecopt\nprint(mecopt.solve(mecopt.load(FILE)).status)",
    "compare": "import mecopt\nprint(*mecopt.compare([FILE], ['trellis', 'greedy']).status)",
}
TRAIN = ["train", "paper:slots=2", "--learner", "markov-a3c", "--episodes", "4"]


@pytest.fixture
def folder(tmp_path):
    """Return a folder as that of a thesis: its own packages, and modules named as Python's and numpy's."""
    for package in ("rl", "solvers", "numpy_helpers", "mecopt_helpers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(RAISE)
    for module in ("types", "numbers", "enum", "abc", "random", "queue", "policy", "auto", "learner"):
        (tmp_path / f"{module}.py").write_text(RAISE)
    return tmp_path


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("what", SCRIPTS)
def test_scripts(folder, what):
    """A script beside the user's packages; `-P` spares it his own types.py, which no program survives."""
    for module in folder.glob("*.py"):
        module.unlink()
    script = folder / "script.py"
    script.write_text(SCRIPTS[what].replace("FILE", repr(str(SMALL))))
    assert "optimal" in run(folder, sys.executable, str(script))


@pytest.mark.parametrize(
    "words",
    [
        ["solve", str(SMALL)],
        ["compare", str(SMALL), "--methods", "trellis,greedy", "--out", "table"],
        [*TRAIN, "--workers", "1", "--out", "training"],
        [*TRAIN, "--workers", "2", "--out", "training"],
    ],
    ids=lambda words: " ".join(words[:1] + words[-4:-2]),
)
def test_commands(folder, words):
    run(folder, str(Path(sys.executable).parent / "mecopt"), *words)


def test_trainings_side_by_side(folder, tmp_path_factory):
    """The pool of `reproduce` starts processes of its own, the first of them for its locks."""
    command = tmp_path_factory.mktemp("bin") / "command"  # in another folder, as an installed command is
    command.write_text(
        "from pathlib import Path\nfrom mecopt_rl.reproduce.running import _side_by_side\n"
        "if __name__ == '__main__':\n    _side_by_side(Path(), [], 2, print)"
    )
    done = subprocess.run([sys.executable, str(command)], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["rl", "solvers"])
def test_nothing_of_that_name_is_on_the_import_path(tmp_path, name):
    code = f"from importlib.util import find_spec; print(find_spec({name!r}))"
    assert run(tmp_path, sys.executable, "-c", code) == "None\n"
