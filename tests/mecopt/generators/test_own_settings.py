"""Settings of one's own: a file wherever a named setting stands, and what is wrong with one in one line."""

import json

import pytest
from click.testing import CliRunner

import mecopt
from mecopt.cli import cli

YARD = {
    "format": "mecopt-setting/1",
    "name": "yard",
    "about": "three cameras' yard",
    "base": "camera-vgg-load",
    "parameters": {
        "servers": 3,
        "slots": 4,
        "rate_bps": {"uniform": [4e6, 8e6]},
        "server_load_factor": "0.5..1",
    },
}


@pytest.fixture
def yard(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yard.json").write_text(json.dumps(YARD))
    return "yard.json"


def run(*words):
    return CliRunner().invoke(cli, list(words), standalone_mode=False)


def test_it_is_its_base_with_the_changes(yard):
    instance = mecopt.generate(yard, seed=3)
    same = mecopt.generate(
        "camera-vgg-load", seed=3, servers=3, slots=4, rate_bps=mecopt.Range(4e6, 8e6),
        server_load_factor=mecopt.Range(0.5, 1.0),
    )  # fmt: skip
    assert instance.sha256 == same.sha256
    assert instance.name == "yard:seed=3"
    assert instance.origin["command"] == "mecopt generate --setting yard.json --seed 3"
    assert mecopt.load(f"{yard}:servers=2,seed=1").server_count == 2
    assert [spec.title for spec in mecopt.expand(f"{yard}:seed=1..2")] == ["yard:seed=1", "yard:seed=2"]


def test_one_of_two_that_exclude_each_other_drops_what_the_base_says(yard, tmp_path):
    (tmp_path / "busy.json").write_text('{"base": "crowd", "parameters": {"slot_s": 2.5, "release_rate": 5}}')
    instance = mecopt.generate("busy.json")
    assert instance.slot_s == 2.5
    assert instance.name == "busy:seed=0"


def test_generate_and_compare_take_it(yard, tmp_path):
    made = run("generate", "--setting", yard, "--seed", "3", "--servers", "2", "--out", "i.json", "--json")
    assert made.exception is None, made.stderr
    assert json.loads(made.stdout)["name"] == "yard:servers=2,seed=3"
    compared = run(
        "compare", f"{yard}:seed=1..2", yard, "--methods", "trellis", "--out", "o", "--workers", "1", "--json"
    )
    assert compared.exception is None, compared.stderr
    names = {row["instance"] for row in json.loads(compared.stdout)["runs"]}
    assert names == {"yard:seed=1", "yard:seed=2", "yard:seed=0"}
    solved = run("solve", yard, "--method", "trellis", "--json")
    assert json.loads(solved.stdout)["status"] == "optimal"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": []}, r"base: \[\], expected a text"),
        ({"parameter": {}}, "'parameter': no such field; did you mean parameters?"),
        ({"parameters": {"server": 3}}, "yard.json: server: no such parameter, did you mean servers"),
        ({"parameters": {"servers": 0}}, "yard.json: servers: 0, expected"),
        ({"base": "camera"}, "yard.json: no setting 'camera'; did you mean"),
        ({"base": "yard.json"}, "base: 'yard.json', expected one of mecopt's own settings"),
        ({"name": "a:b"}, "name: 'a:b', expected one without any of"),
        ({"format": "mecopt-setting/9"}, "format: 'mecopt-setting/9', expected 'mecopt-setting/1'"),
        ({"parameters": [1]}, "parameters: .*, expected an object"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(yard, tmp_path, changes, words):
    (tmp_path / "yard.json").write_text(json.dumps({**YARD, **changes}))
    done = run("generate", "--setting", yard)
    assert isinstance(done.exception, mecopt.InputError)
    with pytest.raises(mecopt.InputError, match=words):
        raise done.exception
    assert str(done.exception).startswith("yard.json: ")
    assert not list(tmp_path.glob("yard_*"))


def test_what_is_no_setting(yard, tmp_path):
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "no.json").write_text("{")
    assert "list.json: no object; expected" in str(run("generate", "--setting", "list.json").exception)
    assert "no.json: not JSON" in str(run("generate", "--setting", "no.json").exception)
    assert "none.json" in str(run("generate", "--setting", "none.json").exception)
    assert "expected one of them" in str(run("generate", "paper", "--setting", yard).exception)
    assert "ends in .json" in str(run("generate", "--setting", "paper").exception)
