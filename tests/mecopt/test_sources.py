"""A text stands for the same instance everywhere: a file, a generator's spec, or a shipped one's name."""

import json
from pathlib import Path

import pytest
from places import ROOT

import mecopt
from mecopt import sources
from mecopt.errors import InputError
from mecopt.generators.specs import names

TINY = "tiny_paper"
OPTIMUM = [[1, 0, 2], [2, 2, 2]]
SPEC = "camera-vgg:slots=3,seed=5"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Stand in a folder that holds nothing."""
    monkeypatch.chdir(tmp_path)


def test_the_shipped_instances_are_those_of_the_repository():
    files = {p for p in (ROOT / "instances").glob("*.json*") if p.name != "best_known.json"}
    assert set(sources.shipped().values()) == files
    assert list(sources.shipped()) == sorted(sources.shipped())


@pytest.mark.parametrize("name", sorted(set(names()) & set(sources.shipped())))
def test_a_name_of_both_kinds_means_one_instance(name):
    shipped = mecopt.load(sources.shipped()[name])
    assert (shipped.sha256, shipped.name) == (mecopt.load(name).sha256, mecopt.load(name).name)


def test_every_name_loads():
    for name in ("tiny_energy", "energy_k10_n4", "camera_vgg_load"):
        assert mecopt.load(name) == mecopt.load(sources.shipped()[name])
    assert mecopt.load(SPEC) == mecopt.generate("camera-vgg", slots=3, seed=5)


@pytest.mark.parametrize("kind", [str, Path])
def test_files_go_first(kind, tmp_path):
    for name in (TINY, "paper", "camera-vgg:slots=3"):
        mecopt.save(mecopt.load("tiny_energy"), tmp_path / name)
        assert mecopt.load(kind(name)) == mecopt.load("tiny_energy")


def test_folders_are_no_instances(tmp_path):
    (tmp_path / TINY).mkdir()
    assert mecopt.load(TINY).task_count == 2
    with pytest.raises(InputError, match="is a folder, expected a file"):
        mecopt.load(tmp_path)


def test_functions_take_what_load_takes(tmp_path):
    mecopt.save(mecopt.load(TINY), tmp_path / "own.json")
    for source in (mecopt.load(TINY), "own.json", tmp_path / "own.json", TINY):
        assert mecopt.solve(source).placement.tolist() == OPTIMUM
        assert mecopt.evaluate(source, OPTIMUM).total_delay_s == pytest.approx(4.155)
    assert mecopt.solve(SPEC).instance == mecopt.load(SPEC)
    table = mecopt.compare([TINY, "own.json", SPEC, mecopt.load("tiny_energy")], ["auto"], workers=1)
    assert set(table.instance) == {TINY, SPEC, "tiny_energy"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tiny_papr", "tiny_papr: no file, setting or shipped .*did you mean tiny_paper"),
        ("papr", "did you mean paper"),
        ("papr:servers=3", "did you mean paper"),
        ("qqqq", "see `mecopt instances`"),
        ("", "^'': no file, setting"),
        ("x" * 5000, "^'x{80}': no file"),
        ("q\0", "no file, setting"),
        ("q\0.json", "no file can have this name"),
        ("qqqq.json", r"^qqqq\.json: no such file$"),
        ("instances/alexnet_6es.json", "no such file; mecopt ships an instance alexnet_6es"),
        ("tiny_papr.json.gz", "no such file; mecopt ships an instance tiny_paper"),
        ("paper:servers=2..3", "names 2 instances, expected one"),
        ("paper:servrs=2", "servrs: no such parameter, did you mean servers"),
        (42, "instance: a int, expected an Instance, a path"),
        (b"paper", "instance: a bytes, expected"),
        ({"format": "mecopt-instance/1"}, "instance: a dict, expected"),
        (None, "instance: a NoneType, expected"),
    ],
)
def test_what_names_nothing(source, message):
    for function in (mecopt.load, mecopt.solve, lambda given: mecopt.evaluate(given, OPTIMUM)):
        with pytest.raises(InputError, match=message) as caught:
            function(source)
        assert len(str(caught.value)) < 400


def test_a_store_of_the_current_folder_goes_first(tmp_path):
    assert sources.store() == ROOT / "instances" / "best_known.json"
    (tmp_path / "instances").mkdir()
    assert sources.store() == ROOT / "instances" / "best_known.json"
    (tmp_path / "instances" / "best_known.json").write_text("{}")
    assert sources.store() == Path("instances/best_known.json")


def test_files_that_are_not_to_be_read_say_so(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"format": "x"}))
    with pytest.raises(mecopt.InstanceError, match=r"bad\.json: format: 'x'"):
        mecopt.solve(path)
