"""A key that stands twice in an object of an instance file is refused, with its place."""

import json

import pytest

from mecopt.errors import InstanceError
from mecopt.io import from_json, load, save, to_json

TEXT = to_json(load("instances/tiny_energy.json"))


@pytest.mark.parametrize(
    ("written", "twice", "place"),
    [
        ('"name"', '"name": "x", "name"', "name"),
        ('"tasks"', '"tasks": [], "tasks"', "tasks"),
        ('"slot": 0', '"slot": 5, "slot" : 0', "tasks[0].slot"),
        ('"seconds"', '"seconds"\n:\t3.0, "seconds"', "slots.seconds"),
        ('"cycles"', '"cycles": 3, "cycles"', "models[0].blocks[0].cycles"),
        ('"rules"', '"origin": {"a": [{"b": 1, "b": 1}]}, "rules"', "origin.a[0].b"),
    ],
)
def test_a_key_given_twice_is_named(written, twice, place):
    with pytest.raises(InstanceError, match="given twice") as error:
        from_json(TEXT.replace(written, twice, 1).encode())
    assert error.value.problems == (f"{place}: given twice",)


def test_every_one_of_them_is_named():
    text = TEXT.replace('"cycles"', '"cycles": 3, "cycles"')
    with pytest.raises(InstanceError) as error:
        from_json(text.encode())
    assert len(error.value.problems) == text.count('"cycles"') // 2


def test_what_looks_like_a_key_inside_a_text_is_none(tmp_path):
    document = json.loads(TEXT)
    document["name"] = 'a "name": "name" :'
    document["origin"] = {"measured_seconds": {"pi": 1, "PI": 2}, "list": [{"x": 1}, {"x": 1}]}
    instance = from_json(json.dumps(document).encode())
    assert instance.name == document["name"]
    save(instance, tmp_path / "saved.json.gz")
    assert load(tmp_path / "saved.json.gz").sha256 == instance.sha256
