"""The wheel: three packages and nothing beside, with the benchmark set; it works from any folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a folder that holds what the wheel holds, as an installation would."""
    pytest.importorskip("hatchling", reason="the test extra is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed, cwd, *args):
    command = [sys.executable, "-P", "-m", "mecopt", *args]
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_what_it_holds(installed):
    found = sorted(path.name for path in installed.iterdir() if not path.name.endswith(".dist-info"))
    assert found == ["mecopt", "mecopt_rl", "mecopt_solvers"]
    shipped = {path.name for path in (installed / "mecopt" / "instances").iterdir()}
    assert shipped == {path.name for path in (ROOT / "instances").iterdir()}
    assert list((installed / "mecopt_rl" / "policies").glob("*.safetensors"))
    assert [name for name in found if not (installed / name / "py.typed").exists()] == []


def test_it_works_from_any_folder(installed, tmp_path):
    listed = run(installed, tmp_path, "instances", "--json")
    assert listed.returncode == 0, listed.stderr
    files = {row["name"]: Path(row["file"]) for row in json.loads(listed.stdout)}
    assert files["alexnet_6es"] == installed / "mecopt" / "instances" / "alexnet_6es.json"
    solved = run(installed, tmp_path, "solve", "tiny_paper", "--json")
    assert json.loads(solved.stdout)["status"] == "optimal", solved.stderr


def test_its_store_is_read_and_not_written(installed, tmp_path):
    store = installed / "mecopt" / "instances" / "best_known.json"
    before = store.read_bytes()
    assert run(installed, tmp_path, "best-known", "show").returncode == 0
    for more in ((), ("--store", str(store))):
        done = run(installed, tmp_path, "best-known", "update", "tiny_paper", *more)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"mecopt: --store: {store} belongs to the installation and is not written, expected a file\n"
        )
    assert (
        run(installed, tmp_path, "best-known", "update", "tiny_paper", "--store", "own.json").returncode == 0
    )
    assert store.read_bytes() == before
