"""Files: what is written is read back as the same instance, and its identity is that of its content."""

import copy
import gzip
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import EXAMPLE, MINIMAL, documents, examples

import mecopt
from mecopt import files
from mecopt.files import write_bytes
from mecopt.io import from_json, load_solution, to_json
from mecopt.json_schemas import json_schema

PACKED = gzip.compress(b"{}", mtime=0)


# --- round trips ---
@examples(100)
@given(documents())
def test_a_written_instance_is_read_back(document):
    instance = mecopt.from_dict(document)
    for again in (
        from_json(json.dumps(document).encode()),
        mecopt.from_dict(mecopt.to_dict(instance)),
        from_json(to_json(instance).encode()),
    ):
        assert again == instance
        assert again.sha256 == instance.sha256
        assert mecopt.to_dict(again) == mecopt.to_dict(instance)


@examples(20)
@given(document=documents())
def test_files_packed_or_not_are_the_same_instance(tmp_path, document):
    instance = mecopt.from_dict(document)
    for name in ("plain.json", "packed.json.gz", "no_suffix"):
        mecopt.save(instance, tmp_path / name)
        again = mecopt.load(str(tmp_path / name))
        assert again == instance
        assert again.name == instance.name
    assert (tmp_path / "packed.json.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert (
        gzip.decompress((tmp_path / "packed.json.gz").read_bytes()) == (tmp_path / "plain.json").read_bytes()
    )


def test_packing_leaves_no_trace_of_the_time(tmp_path):
    """The same instance packs to the same bytes, so that a checksum of the file means something."""
    instance = mecopt.from_dict(EXAMPLE)
    mecopt.save(instance, tmp_path / "one.json.gz")
    mecopt.save(instance, tmp_path / "two.json.gz")
    assert (tmp_path / "one.json.gz").read_bytes() == (tmp_path / "two.json.gz").read_bytes()


def test_the_documented_example():
    instance = mecopt.from_dict(EXAMPLE)
    assert instance.name == "two_slots"
    assert (instance.description, instance.origin) == ("optional", {"optional": "how it was made"})
    assert instance.rules == mecopt.Rules.preset("paper", couplings={"energy", "capacity", "memory"})
    assert instance.servers[1].cycles_per_s.tolist() == [3.0e9, 1.5e9]
    assert instance.tasks.max_delay_s.tolist() == [[2.0, 2.0], [2.0, np.inf]]
    assert instance.tasks.batch.tolist() == [1, 4]
    assert instance.models[0].blocks[1].measured_seconds == {"rpi4": 0.031}
    written = mecopt.to_dict(instance)
    assert (written["name"], written["description"], written["origin"]) == (
        EXAMPLE["name"],
        EXAMPLE["description"],
        EXAMPLE["origin"],
    )


def test_defaults_of_the_fields_left_out():
    instance = mecopt.from_dict(MINIMAL)
    assert instance.slot_s == 1.0
    assert instance.rules == mecopt.Rules(False, True, False, "hard", 1.0, frozenset())
    block, device, server = instance.models[0].blocks[0], instance.devices[0], instance.servers[0]
    assert (block.param_bytes, block.measured_seconds, instance.models[0].output_bits) == (0.0, {}, 0.0)
    assert (device.transmit_power_w, device.kappa) == (0.0, 1e-26)
    assert {device.compute_power_w, device.energy_budget_j, device.memory_bytes, device.hardware} == {None}
    assert {server.memory_bytes, server.hardware} == {None}
    assert (block.name, server.name) == ("block1", "es1")
    assert instance.tasks.batch.tolist() == [1]
    assert instance.tasks.max_delay_s.tolist() == [[np.inf]]
    assert instance.links.server_latency_s.tolist() == [[0.0]]
    assert instance.links.device_latency_s.tolist() == [0.0]
    explicit = copy.deepcopy(MINIMAL)
    explicit["rules"] = {"preset": "paper", "hop_energy": None, "couplings": []}
    explicit["models"][0]["blocks"][0]["measured_seconds"] = None
    explicit["devices"][0] |= {"compute_power_w": None, "energy_budget_j": None, "hardware": None}
    explicit["tasks"][0] |= {"max_delay_s": [None], "batch": 1}
    assert mecopt.from_dict(explicit) == instance


@pytest.mark.parametrize(
    ("rules", "switches"),
    [
        ({}, (False, True, False)),
        ({"preset": "paper"}, (False, True, False)),
        ({"preset": "physical"}, (True, False, True)),
        ({"preset": "physical", "return_result": False}, (True, False, False)),
        ({"return_transfer": True, "hop_energy": False}, (True, False, False)),
    ],
)
def test_presets_and_switches(rules, switches):
    read = mecopt.from_dict({**MINIMAL, "rules": rules}).rules
    assert (read.return_transfer, read.hop_energy, read.return_result) == switches


def test_text_beyond_ascii_survives(tmp_path):
    instance = mecopt.from_dict({**EXAMPLE, "name": "Übung ☂", "description": "línea\nzwei"})
    mecopt.save(instance, tmp_path / "ü.json")
    again = mecopt.load(tmp_path / "ü.json")
    assert (again.name, again.description) == (instance.name, instance.description)


def test_a_document_handed_out_is_a_copy():
    """Changing what `to_dict` returned, or what `from_dict` was given, must not reach into the instance."""
    document = copy.deepcopy(EXAMPLE)
    instance = mecopt.from_dict(document)
    identity = mecopt.from_dict(EXAMPLE).sha256
    document["models"][0]["blocks"][1]["measured_seconds"]["rpi4"] = 5.0
    mecopt.to_dict(instance)["models"][0]["blocks"][1]["measured_seconds"]["rpi4"] = 7.0
    assert instance.replace().sha256 == identity


# --- identity ---
@given(documents(), st.text(), st.none() | st.text(), st.dictionaries(st.text(), st.text()))
def test_name_description_and_origin_are_not_the_content(document, name, description, origin):
    renamed = {**document, "name": name, "description": description, "origin": origin}
    assert mecopt.from_dict(renamed) == mecopt.from_dict(document)


def expanded(document):
    """Write out every short form: numbers as lists and matrices, defaults, the preset as switches."""
    long = copy.deepcopy(document)
    count, slots = len(long["servers"]), long["slots"]["count"]
    lengths = {model["name"]: len(model["blocks"]) for model in long["models"]}
    instance = mecopt.from_dict(document)
    switches = {
        name: getattr(instance.rules, name) for name in ("return_transfer", "hop_energy", "return_result")
    }
    long["rules"] = {"deadline": instance.rules.deadline.value, **document.get("rules", {}), **switches}
    for name, values in (("server_bps", 0.0), ("server_latency_s", 0.0)):
        value = long.setdefault("links", {}).get(name, values)
        if not isinstance(value, list):  # the diagonal means nothing
            long["links"][name] = [[value if i != j else 77.0 for j in range(count)] for i in range(count)]
    latency = long["links"].get("device_latency_s", 0.0)
    long["links"]["device_latency_s"] = latency if isinstance(latency, list) else [latency] * count
    for n, server in enumerate(long["servers"], 1):
        server.setdefault("name", f"es{n}")
        if not isinstance(server["cycles_per_s"], list):
            server["cycles_per_s"] = [server["cycles_per_s"]] * slots
    for task in long["tasks"]:
        if not isinstance(task.get("max_delay_s"), list):
            task["max_delay_s"] = [task.get("max_delay_s")] * lengths[task["model"]]
        task["batch"] = task.get("batch", 1)
    return long


@given(documents())
def test_short_and_long_forms_are_the_same_instance(document):
    assert mecopt.from_dict(expanded(document)) == mecopt.from_dict(document)


def leaves(value, path=()):
    """Yield the path of every number of a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


def changed(document, path, value):
    document = copy.deepcopy(document)
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return document


def at(document, path):
    for step in path:
        document = document[step]
    return document


@examples(200)
@given(documents(), st.data())
def test_any_other_number_is_the_content(document, data):
    """One number changed, anywhere, is another instance; the diagonal of a matrix is nowhere."""
    path = data.draw(st.sampled_from(sorted(leaves(document), key=str)))
    assume(path != ("slots", "count"))  # it would take lists of speeds with it
    assume(not (path[0] == "links" and len(path) == 4 and path[2] == path[3]))
    assume(not (path[:2] == ("links", "server_bps") and len(document["servers"]) == 1))
    assume(not (path[:2] == ("links", "server_latency_s") and len(document["servers"]) == 1))
    value = at(document, path)
    other = value * 2 if value else 1
    if path[-1] == "slot":
        other = (value + 1) % document["slots"]["count"]
        assume(other != value)
    assert mecopt.from_dict(changed(document, path, other)).sha256 != mecopt.from_dict(document).sha256


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("slots", "count"), 3),
        (("rules", "deadline"), "soft"),
        (("rules", "preset"), "physical"),
        (("rules", "couplings"), ["energy"]),
        (("models", 0, "name"), "other"),
        (("models", 0, "blocks", 0, "name"), "other"),
        (("devices", 0, "name"), "other"),
        (("devices", 0, "hardware"), None),
        (("devices", 0, "energy_budget_j"), None),
        (("servers", 0, "name"), "other"),
        (("servers", 0, "hardware"), "rpi4"),
        (("tasks", 0, "max_delay_s"), None),
        (("tasks", 1, "max_delay_s"), [None, 2.0]),
    ],
)
def test_texts_and_choices_are_the_content_too(path, value):
    document = changed(EXAMPLE, path, value)
    document["servers"][1]["cycles_per_s"] = 1.0e9
    for task in document["tasks"]:
        task["model"], task["device"] = document["models"][0]["name"], document["devices"][0]["name"]
    before = changed(EXAMPLE, ("servers", 1, "cycles_per_s"), 1.0e9)
    assert mecopt.from_dict(document) != mecopt.from_dict(before)


def test_order_of_tasks_is_the_content():
    """A placement is in the instance's own order, so the order belongs to the identity."""
    turned = {**EXAMPLE, "tasks": EXAMPLE["tasks"][::-1]}
    assert mecopt.from_dict(turned) != mecopt.from_dict(EXAMPLE)


def test_identity_does_not_change_between_releases():
    """Solutions on disk name this hash: a change of the canonical form is a change of the format."""
    assert mecopt.from_dict(EXAMPLE).sha256.startswith("4e512a635e2815eb62d5c1bed8565dac")
    assert mecopt.from_dict(MINIMAL).sha256.startswith("2170654f6626ee1ef3c0e4c362375239")


def test_zero_has_no_sign():
    negative = changed(
        changed(EXAMPLE, ("tasks", 1, "rate_bps", 0), -0.0), ("links", "device_latency_s"), -0.0
    )
    assert mecopt.from_dict(negative) == mecopt.from_dict(EXAMPLE)


def test_an_instance_is_a_key():
    one, other = mecopt.from_dict(EXAMPLE), mecopt.from_dict({**EXAMPLE, "name": "same content"})
    assert len({one, other}) == 1
    assert one != EXAMPLE


# --- JSON Schema ---
@pytest.mark.parametrize("name", ["instance", "solution"])
def test_schema_is_valid(name):
    document = json_schema(name)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(document)
    json.dumps(document, allow_nan=False)


def test_unknown_schema():
    with pytest.raises(mecopt.InputError, match="'solutions', expected one of instance, solution"):
        json_schema("solutions")


@given(documents())
def test_schema_accepts_what_is_read_and_written(document):
    validator = jsonschema.Draft202012Validator(json_schema("instance"))
    assert list(validator.iter_errors(document)) == []
    assert list(validator.iter_errors(mecopt.to_dict(mecopt.from_dict(document)))) == []


@examples(30)
@given(documents())
def test_schema_accepts_every_solution(document):
    result = mecopt.solve(mecopt.from_dict(document), "trellis", relax=True)
    validator = jsonschema.Draft202012Validator(json_schema("solution"))
    assert list(validator.iter_errors(result.to_dict())) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("slots", "count"), 0),
        (("slots", "seconds"), 0),
        (("devices", 0, "cycles_per_s"), -1),
        (("servers", 1, "cycles_per_s"), [1, 0]),
        (("tasks", 0, "rate_bps"), [1, "2"]),
        (("tasks", 0, "unknown"), 1),
        (("format",), "mecopt-instance/3"),
        (("links", "server_bps"), [1, 2]),
        (("tasks", 0, "max_delay_s"), [-1, None]),
    ],
)
def test_schema_refuses_what_the_reader_refuses(path, value):
    validator = jsonschema.Draft202012Validator(json_schema("instance"))
    assert not validator.is_valid(changed(EXAMPLE, path, value))


# --- solutions ---
@examples(30)
@given(document=documents())
def test_a_written_solution_is_read_back(tmp_path, document):
    instance = mecopt.from_dict(document)
    result = mecopt.solve(instance, "trellis", relax=True)
    result.save(tmp_path / "solution.json")
    text = (tmp_path / "solution.json").read_text()
    assert (
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the file")) == result.to_dict()
    )
    again = load_solution(tmp_path / "solution.json")
    assert again.instance_sha256 == instance.sha256
    assert again.status == result.status
    if again.placement is not None:
        assert mecopt.evaluate(instance, again.placement).objective == result.objective


def test_a_solution_needs_only_its_placement(tmp_path):
    (tmp_path / "s.json").write_text('{"format": "mecopt-solution/1", "placement": [[0, 1]]}')
    assert load_solution(tmp_path / "s.json").placement == [[0, 1]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"format": "mecopt-solution/1"}', "placement: missing"),
        ('{"format": "mecopt-solution/3", "placement": []}', "format: 'mecopt-solution/3', expected"),
        (
            '{"format": "mecopt-instance/1", "slots": {}}',
            "format: 'mecopt-instance/1', expected 'mecopt-solution/1'",
        ),
        (
            '{"format": "mecopt-solution/1", "placement": [[0, 1.5]]}',
            "placement[0][1]: 1.5, expected a whole number",
        ),
        ('{"format": "mecopt-solution/1", "placement": [0]}', "placement[0]: 0, expected a list"),
        ('{"format": "mecopt-solution/1", "placement": [[0]], "gap": NaN}', "gap"),
        ('{"format": "mecopt-solution/1", "placement": [[0', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_malformed_solutions(tmp_path, text, problem):
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(mecopt.InputError) as error:
        load_solution(path)
    assert f"{path}: {problem}" in str(error.value)
    assert not isinstance(error.value, mecopt.InstanceError)


# --- files ---
@pytest.fixture
def unprivileged():
    """Run the test as nobody, since permissions do not hold for root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def sealed(tmp_path):
    """Return a folder that cannot be entered, with a file in it that cannot be read."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    (folder / "secret.json").write_text("{}")
    (folder / "secret.json").chmod(0)
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


def refused(action, *arguments):
    with pytest.raises(mecopt.InputError) as error:
        action(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_reading_what_cannot_be_read(tmp_path):
    assert refused(mecopt.load, tmp_path / "none.json") == f"{tmp_path}/none.json: no such file"
    assert refused(mecopt.load, tmp_path) == f"{tmp_path}: is a folder, expected a file"
    assert refused(load_solution, tmp_path / "none.json") == f"{tmp_path}/none.json: no such file"
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refused(mecopt.load, tmp_path / "file" / "x.json")
    assert "name too long" in refused(mecopt.load, tmp_path / ("x" * 300))


def test_no_permission_to_read(sealed, unprivileged):
    assert refused(mecopt.load, sealed / "secret.json") == f"{sealed}/secret.json: no permission"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\x1f\x8b",
        PACKED[:-4],
        PACKED[:12],
        PACKED[:-8] + b"\0" * 8,
        b"\x1f\x8b\x08" + b"\xff" * 40,
    ],
    ids=["empty", "JSON", "two bytes", "no length", "half", "wrong checksum", "garbage"],
)
def test_a_gzip_that_is_not_one(tmp_path, data):
    path = tmp_path / "x.json.gz"
    path.write_bytes(data)
    text = refused(mecopt.load, path)
    assert text.startswith(f"{path}: not ")


def test_a_packed_file_without_its_suffix(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(gzip.compress(json.dumps(MINIMAL).encode()))
    assert refused(mecopt.load, path).startswith(f"{path}: not JSON")


def test_writing_where_nothing_can_be_written(tmp_path):
    instance = mecopt.from_dict(MINIMAL)
    gone = tmp_path / "gone" / "x.json"
    assert refused(mecopt.save, instance, gone) == f"{gone}: folder '{tmp_path}/gone' does not exist"
    assert refused(mecopt.save, instance, tmp_path) == f"{tmp_path}: is a folder, expected a file name"
    (tmp_path / "file").write_text("kept")
    refused(mecopt.save, instance, tmp_path / "file" / "x.json")
    assert "name too long" in refused(mecopt.save, instance, tmp_path / ("x" * 300))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_no_permission_to_write(sealed, unprivileged):
    assert (
        refused(mecopt.save, mecopt.from_dict(MINIMAL), sealed / "x.json")
        == f"{sealed}/x.json: no permission"
    )


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, step, error):
    path = tmp_path / "x.json"
    mecopt.save(mecopt.from_dict(MINIMAL), path)
    before = path.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises((mecopt.MecoptError, KeyboardInterrupt)):
        mecopt.save(mecopt.from_dict(EXAMPLE), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line():
    with pytest.raises(mecopt.MecoptError, match="could not be written: No space left"):
        mecopt.save(mecopt.from_dict(MINIMAL), "/dev/full")


def test_new_files_have_the_usual_permissions(tmp_path):
    """A temporary file is private; the file that takes its place is not."""
    mecopt.save(mecopt.from_dict(MINIMAL), tmp_path / "x.json")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o666 & ~mask


def test_writing_to_a_pipe(tmp_path):
    """As in `--out /dev/stdout`: what is no regular file is written to, not replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    mecopt.save(mecopt.from_dict(MINIMAL), pipe)
    assert from_json(os.read(reader, 1 << 16)) == mecopt.from_dict(MINIMAL)
    os.close(reader)


KILLED = """
import os, signal, sys
from mecopt import files
from mecopt.files import write_bytes
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(sys.argv[1], b"x" * 10**6)
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="needs files without names")
def test_a_kill_leaves_no_part_of_a_file(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.json")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == []


def test_files_without_names_are_not_needed(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "a.json"
    write_bytes(path, b"1")
    write_bytes(path, b"2")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"2", ["a.json"])
