"""Bad input: one line for every problem, naming the place, exit status 2, no traceback."""

import gzip
import json

import pytest


def changed(path, value):
    """Return an edit of an instance: set (or, with KeyError, drop) what is at the path."""

    def edit(document):
        *way, last = path
        part = document
        for step in way:
            part = part[step]
        if value is KeyError:
            del part[last]
        else:
            part[last] = value
        return json.dumps(document)

    return edit


INSTANCES = {
    "negative cycles": (("models", 0, "blocks", 0, "cycles"), -1.0, "models[0].blocks[0].cycles: -1.0"),
    "zero speed": (("devices", 0, "cycles_per_s"), 0, "devices[0].cycles_per_s: 0"),
    "zero server speed": (("servers", 1, "cycles_per_s"), [1e9, 0], "servers[1].cycles_per_s[1]: 0"),
    "unknown key": (
        ("devices", 0, "cycles_per_sec"),
        1,
        "devices[0].cycles_per_sec: unknown field, did you mean",
    ),
    "missing field": (("tasks", 0, "slot"), KeyError, "tasks[0].slot: missing"),
    "wrong number of rates": (("tasks", 1, "rate_bps"), [1.0], "tasks[1].rate_bps: 1 rates for 2 servers"),
    "wrong number of delays": (
        ("tasks", 1, "max_delay_s"),
        [1.0],
        "tasks[1].max_delay_s: 1 delays for 2 blocks",
    ),
    "slot outside": (("tasks", 1, "slot"), 2, "tasks[1].slot: 2, expected 0 to 1"),
    "unknown device": (("tasks", 1, "device"), "cam9", "tasks[1].device: no device 'cam9'"),
    "unknown model": (("tasks", 1, "model"), "x", "tasks[1].model: no model 'x'"),
    "twice the same server": (("servers", 1, "name"), "es1", "servers[1].name: 'es1'"),
    "empty tasks": (("tasks",), [], "tasks: 0 given, expected at least 1"),
    "zero blocks": (("models", 0, "blocks"), [], "models[0].blocks: 0 given, expected at least 1"),
    "zero slots": (("slots", "count"), 0, "slots.count: 0"),
    "other version": (("format",), "mecopt-instance/2", "format: 'mecopt-instance/2', expected"),
    "not a number": (("slots", "seconds"), float("nan"), "slots.seconds: "),
    "infinity": (("servers", 0, "cycles_per_s"), float("inf"), "servers[0].cycles_per_s: "),
    "text for a number": (("slots", "count"), "two", "slots.count: 'two', expected a whole number"),
    "beyond what numbers hold": (("models", 0, "blocks", 0, "cycles"), 1e300, "tasks[0]: a delay or energy"),
}


@pytest.mark.parametrize("name", INSTANCES)
def test_refused_instances(mecopt, write, toy, name):
    path, value, message = INSTANCES[name]
    file = write(changed(path, value)(toy()))
    done = mecopt("validate", file)
    assert (done.returncode, done.stdout) == (2, "")
    first, *others = done.stderr.splitlines()
    assert first.startswith(f"mecopt: {file}: {message}"), first
    assert all(line.startswith(f"mecopt: {file}: ") for line in others)


def contents(toy):
    whole = json.dumps(toy())
    return {
        "cut.json": (whole[:300].encode(), "not JSON: EOF"),
        "text.json": (b"hello", "not JSON: "),
        "empty.json": (b"", "not JSON: "),
        "list.json": (b"[1]", "a list of 1, expected an object"),
        "bytes.json": (b"\xff\xfe\x00", "not JSON: "),
        "deep.json": (b"[" * 100_000, "not JSON: "),
        "not.json.gz": (whole.encode(), "not a whole gzip file"),
        "cut.json.gz": (gzip.compress(whole.encode())[:100], "not a whole gzip file"),
        "worm.json.gz": (gzip.compress(whole.encode())[:60] + b"\x00" * 60, "not a whole gzip file"),
    }


COMMANDS = {
    "solve": lambda file: ("solve", file),
    "evaluate": lambda file: ("evaluate", file, file),
    "best-known": lambda file: ("best-known", "update", file, "--store", file.parent / "store.json"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_files_that_are_no_instance(mecopt, toy, tmp_path, command, only_files):
    data = contents(toy)
    names = list(data) if command == "solve" else ["cut.json", "not.json.gz"]
    for name in names:
        file = tmp_path / name
        file.write_bytes(data[name][0])
        done = mecopt(*COMMANDS[command](file))
        assert (done.returncode, done.stdout) == (2, ""), name
        assert done.stderr.startswith(f"mecopt: {file}: {data[name][1]}"), done.stderr
        assert done.stderr.count("\n") == 1
    assert only_files(tmp_path) == sorted(names)


def test_places_that_are_no_file(mecopt, tmp_path):
    folder = mecopt("solve", tmp_path)
    assert (folder.returncode, folder.stderr) == (2, f"mecopt: {tmp_path}: is a folder, expected a file\n")
    absent = mecopt("solve", tmp_path / "nosuch.json")
    assert (absent.returncode, absent.stderr) == (2, f"mecopt: {tmp_path / 'nosuch.json'}: no such file\n")
    below = tmp_path / "file"
    below.write_text("")
    inside = mecopt("solve", below / "x.json")
    assert inside.returncode == 2
    assert inside.stderr.count("\n") == 1


def test_many_problems_are_reported_together(mecopt, write, toy):
    document = toy()
    document["tasks"] = [{**document["tasks"][0], "slot": 99, "rate_bps": [1.0]} for _ in range(50)]
    file = write(document)
    done = mecopt("solve", file)
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert len(lines) == 21
    assert lines[-1] == f"mecopt: {file}: and 80 more problems"
    assert len(mecopt("validate", file).stderr.splitlines()) == 100


PLACEMENTS = {
    "too few tasks": ([[0, 1]], "placement: 1 tasks, expected 2"),
    "too few blocks": ([[0, 1], [1]], "placement[1]: 1 nodes for 2 blocks"),
    "no such node": ([[0, 1], [1, 3]], "placement[1][1]: node 3, expected 0 to 2"),
    "negative node": ([[0, -1], [1, 1]], "placement[0][1]: node -1, expected 0 to 2"),
    "huge node": ([[0, 10**30], [1, 1]], "placement[0][1]"),
    "fraction": ([[0, 0.5], [1, 1]], "placement[0][1]: 0.5, expected a whole number"),
    "null": (None, "placement: null, expected a placement"),
    "flat": ([0, 1], "placement[0]: 0, expected a list"),
}


@pytest.mark.parametrize("name", PLACEMENTS)
def test_refused_placements(mecopt, toy_file, write, name):
    placement, message = PLACEMENTS[name]
    file = write({"format": "mecopt-solution/1", "placement": placement}, "solution.json")
    for args in (("evaluate", toy_file, file), ("solve", toy_file, "--warm-start", file)):
        done = mecopt(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"mecopt: {file}: {message}"), done.stderr
        assert "Traceback" not in done.stderr
