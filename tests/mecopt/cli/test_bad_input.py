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
    "other version": (("format",), "mecopt-instance/3", "format: 'mecopt-instance/3', expected"),
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


def test_a_byte_order_mark_and_whole_floats(mecopt, tmp_path, toy):
    document = toy(slots={"count": 2.0})
    data = b"\xef\xbb\xbf" + json.dumps(document).encode()
    (tmp_path / "a.json").write_bytes(data)
    assert mecopt("validate", tmp_path / "a.json").returncode == 0
    for text in (data, gzip.compress(data)):
        assert mecopt("validate", "-", stdin=text, binary=True).returncode == 0


def test_a_misspelt_hardware(mecopt, write, toy):
    """A warning where cycles count, refused where a block would be free."""
    document = toy()
    document["servers"][0]["hardware"] = "Pi"
    for block in document["models"][0]["blocks"]:
        block["measured_seconds"] = {"pi": 0.1}
    file = write(document)
    done = mecopt("validate", file)
    expected = f"{file}: servers[0].hardware: no block has measured seconds for 'Pi', did you mean 'pi'?"
    assert (done.returncode, done.stderr) == (0, f"mecopt: warning: {expected}; cycles count there\n")
    document["models"][0]["blocks"][1]["cycles"] = 0
    done = mecopt("solve", write(document))
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(
        f"mecopt: {file}: models[0].blocks[1]: block 'fc' has neither cycles nor measured"
    )
    assert "servers[0] 'es1' (hardware 'Pi')" in lines[1]


@pytest.mark.parametrize("option", ["--nosuch", "--method", "--pin", "--option", "--seed", "--out", "--plot"])
@pytest.mark.parametrize("text", ["x" * 5000, "a\nb\x1b[31m\u202e" * 9])
def test_a_line_of_an_argument_is_short_and_visible(mecopt, toy_file, option, text):
    done = mecopt("solve", toy_file, f"{option}={text}", cwd=toy_file.parent)
    assert done.returncode == (
        0 if option == "--out" and len(text) < 255 else 2
    )  # a name that a file can have
    (line,) = done.stderr.removesuffix("\n").split("\n")
    assert len(line) <= 400
    assert line.isprintable()
    assert line.startswith("mecopt")


def test_a_line_is_short_where_the_terminal_has_only_ascii(mecopt, tmp_path):
    done = mecopt("solve", tmp_path / ("\u00e9" * 100 + ".json"), PYTHONIOENCODING="ascii")
    assert len(done.stderr.strip()) <= 400
    assert done.stderr.endswith(": no such file\n")
